-- How jobs ended, counted as they end: a count that neither grows with the jobs nor shrinks when they are erased.
CREATE TABLE endings (
    status       TEXT NOT NULL,
    failure_code TEXT NOT NULL,
    jobs         BIGINT NOT NULL,
    PRIMARY KEY (status, failure_code)
);
INSERT INTO endings (status, failure_code, jobs)
    SELECT status, coalesce(json_extract(job, '$.failureCode'), ''), count(*) FROM jobs
    WHERE status IN ('completed', 'failed', 'cancelled') GROUP BY 1, 2;
CREATE INDEX jobs_running ON jobs (status) WHERE status NOT IN ('completed', 'failed', 'cancelled');
