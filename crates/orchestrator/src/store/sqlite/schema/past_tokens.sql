-- The SHA-256 of the tokens of a job's earlier bots, one behind the other: only they learn that another attempt has the job.
ALTER TABLE jobs ADD COLUMN past_tokens BLOB NOT NULL DEFAULT x'';
