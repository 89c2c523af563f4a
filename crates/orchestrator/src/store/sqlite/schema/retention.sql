-- Since when a job that has ended may have files that nobody has removed: what retention looks for.
ALTER TABLE jobs ADD COLUMN files_since BIGINT;
UPDATE jobs SET files_since = 1000 * CAST(strftime('%s', json_extract(job, '$.endedAt')) AS INTEGER)
    WHERE status IN ('completed', 'failed', 'cancelled') AND epoch > 0;
CREATE INDEX jobs_files ON jobs (files_since) WHERE files_since IS NOT NULL;
