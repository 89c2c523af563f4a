-- When a job ended: what the pruning of old jobs looks for. A job with files, of which `files_since` is set, is not looked for.
ALTER TABLE jobs ADD COLUMN ended_at BIGINT;
UPDATE jobs SET ended_at = 1000 * CAST(strftime('%s', json_extract(job, '$.endedAt')) AS INTEGER)
    WHERE status IN ('completed', 'failed', 'cancelled');
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL AND files_since IS NULL;
DROP INDEX jobs_files;
CREATE INDEX jobs_files ON jobs (files_since, id) WHERE files_since IS NOT NULL;
