-- Browsers that are signed in with a key, and links that sign one in: the SHA-256 of what each shows. They go with their key.
CREATE TABLE sessions (
    hash       BLOB PRIMARY KEY,
    key        TEXT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_key ON sessions (key, created_at);
CREATE INDEX sessions_end ON sessions (expires_at);
