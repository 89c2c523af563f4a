-- Times are UTC milliseconds; leases count on the server's steady clock and mean nothing to the next process.
-- Plain types, text ids and partial indexes only, so that PostgreSQL takes the same tables.

CREATE TABLE consumers (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    webhook_secret TEXT NOT NULL,
    created_at     BIGINT NOT NULL
);

CREATE TABLE keys (
    id         TEXT PRIMARY KEY,
    consumer   TEXT NOT NULL REFERENCES consumers (id),
    live       BOOLEAN NOT NULL,
    scope      TEXT NOT NULL,
    prefix     TEXT NOT NULL UNIQUE,
    hash       BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

-- `job` is the job as the API shows it; the columns beside it are what it is found by, and what the API does not show.
CREATE TABLE jobs (
    id          TEXT PRIMARY KEY,
    consumer    TEXT NOT NULL REFERENCES consumers (id),
    live        BOOLEAN NOT NULL,
    external_id TEXT,
    platform    TEXT NOT NULL,
    status      TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    run_at      BIGINT NOT NULL,
    start_by    BIGINT NOT NULL,
    link        TEXT NOT NULL,
    job         TEXT NOT NULL,
    epoch       BIGINT NOT NULL DEFAULT 0,
    token_hash  BLOB,
    lease_until BIGINT,
    applied     BIGINT NOT NULL DEFAULT 0,
    sequence    BIGINT NOT NULL DEFAULT 0,
    cause       TEXT
);
CREATE UNIQUE INDEX jobs_external ON jobs (consumer, live, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX jobs_newest ON jobs (consumer, live, id);
CREATE INDEX jobs_queue ON jobs (run_at) WHERE status = 'queued';
CREATE INDEX jobs_start ON jobs (start_by) WHERE status = 'queued' AND epoch = 0;
CREATE INDEX jobs_leases ON jobs (lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE events (
    job      TEXT NOT NULL REFERENCES jobs (id),
    sequence BIGINT NOT NULL,
    id       TEXT NOT NULL,
    name     TEXT NOT NULL,
    at       BIGINT NOT NULL,
    data     TEXT NOT NULL,
    PRIMARY KEY (job, sequence)
);

CREATE TABLE deliveries (
    id          TEXT PRIMARY KEY,
    job         TEXT NOT NULL,
    sequence    BIGINT NOT NULL,
    consumer    TEXT NOT NULL,
    live        BOOLEAN NOT NULL,
    url         TEXT NOT NULL,
    state       TEXT NOT NULL,
    tries       BIGINT NOT NULL DEFAULT 0,
    next_at     BIGINT NOT NULL,
    lease_until BIGINT NOT NULL DEFAULT 0,
    FOREIGN KEY (job, sequence) REFERENCES events (job, sequence)
);
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'pending';
CREATE INDEX deliveries_order ON deliveries (job, url, sequence) WHERE state = 'pending';
CREATE INDEX deliveries_newest ON deliveries (consumer, live, id);

CREATE TABLE tries (
    delivery    TEXT NOT NULL REFERENCES deliveries (id),
    number      BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    status      BIGINT,
    error       TEXT,
    PRIMARY KEY (delivery, number)
);

CREATE TABLE commands (
    id           TEXT PRIMARY KEY,
    job          TEXT NOT NULL REFERENCES jobs (id),
    sequence     BIGINT NOT NULL,
    action       TEXT NOT NULL,
    message      TEXT,
    state        TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    UNIQUE (job, sequence)
);

CREATE TABLE answers (
    consumer      TEXT NOT NULL,
    live          BOOLEAN NOT NULL,
    key           TEXT NOT NULL,
    fingerprint   BLOB NOT NULL,
    status        BIGINT NOT NULL,
    body          TEXT NOT NULL,
    running_until BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (consumer, live, key)
);
CREATE INDEX answers_age ON answers (created_at);

CREATE TABLE signs_of_life (
    name TEXT PRIMARY KEY,
    at   BIGINT NOT NULL
);
