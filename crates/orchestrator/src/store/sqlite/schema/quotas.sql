-- How much a consumer may use: NULL is what the settings say for everybody, 0 is no limit.
ALTER TABLE consumers ADD COLUMN max_bots BIGINT;
ALTER TABLE consumers ADD COLUMN max_minutes BIGINT;
-- What the settings said when a server last started; one row.
CREATE TABLE default_quota (
    max_bots    BIGINT NOT NULL,
    max_minutes BIGINT NOT NULL
);
INSERT INTO default_quota VALUES (0, 0);

-- `bots` counts the jobs that have a place, `due_at` is when the first that waits for one wants to start; it is only set while there is a place for it.
CREATE TABLE tenants (
    consumer TEXT NOT NULL,
    live     BOOLEAN NOT NULL,
    bots     BIGINT NOT NULL,
    due_at   BIGINT,
    PRIMARY KEY (consumer, live)
);
CREATE INDEX tenants_due ON tenants (bots, due_at, consumer, live) WHERE due_at IS NOT NULL;
INSERT INTO tenants (consumer, live, bots, due_at)
    SELECT consumer, live,
        sum(CASE WHEN epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled') THEN 1 ELSE 0 END),
        min(CASE WHEN epoch = 0 AND status = 'queued' THEN run_at END)
    FROM jobs GROUP BY consumer, live;

DROP INDEX jobs_queue;
CREATE INDEX jobs_lost ON jobs (run_at, id) WHERE status = 'queued' AND epoch > 0;
CREATE INDEX jobs_waiting ON jobs (consumer, live, run_at, id) WHERE status = 'queued' AND epoch = 0;
CREATE INDEX jobs_placed ON jobs (consumer, live) WHERE epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled');

-- For how long bots of a job were in its meeting, as far as they were heard (NULL: never), and since when on the steady clock one is.
ALTER TABLE jobs ADD COLUMN stay_ms BIGINT;
ALTER TABLE jobs ADD COLUMN stay_since BIGINT;
-- The minutes of jobs that ended in a month (UTC, as in 2026-11).
CREATE TABLE minutes (
    consumer TEXT NOT NULL,
    live     BOOLEAN NOT NULL,
    month    TEXT NOT NULL,
    minutes  BIGINT NOT NULL,
    PRIMARY KEY (consumer, live, month)
);
