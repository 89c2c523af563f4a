-- How many of a job's bots left because their server stopped: they do not count as lost.
ALTER TABLE jobs ADD COLUMN handovers BIGINT NOT NULL DEFAULT 0;
