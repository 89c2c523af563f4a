-- When keys end and were last used, and what they were used for. Ids sort by time; a line outlives its key and its job.
ALTER TABLE keys ADD COLUMN expires_at BIGINT;
ALTER TABLE keys ADD COLUMN last_used_at BIGINT;
CREATE TABLE key_uses (
    id       TEXT PRIMARY KEY,
    at       BIGINT NOT NULL,
    key      TEXT NOT NULL,
    consumer TEXT NOT NULL,
    address  TEXT NOT NULL,
    method   TEXT NOT NULL,
    path     TEXT NOT NULL,
    job      TEXT,
    status   BIGINT NOT NULL,
    error    TEXT,
    request  TEXT NOT NULL
);
