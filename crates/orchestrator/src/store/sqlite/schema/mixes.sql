-- Jobs that have ended and whose mix is still to be made, or was made and has not been reported yet. `due_at` is 0 until a try has failed that may work later.
CREATE TABLE mixes (
    job    TEXT PRIMARY KEY REFERENCES jobs (id),
    due_at BIGINT NOT NULL DEFAULT 0,
    tries  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX mixes_due ON mixes (due_at, job);
