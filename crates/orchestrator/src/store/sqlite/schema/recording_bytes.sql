-- How many bytes the files of a job's recording have. NULL until the job has ended, and while they are still to be counted, as those of all jobs are that ended before
-- this column was there.
ALTER TABLE jobs ADD COLUMN recording_bytes BIGINT;
UPDATE jobs SET recording_bytes = 0 WHERE files_since IS NULL AND status IN ('completed', 'failed', 'cancelled');
CREATE INDEX jobs_recording_bytes ON jobs (consumer, live, recording_bytes) WHERE recording_bytes > 0;
CREATE INDEX jobs_uncounted ON jobs (id) WHERE files_since IS NOT NULL AND recording_bytes IS NULL;
