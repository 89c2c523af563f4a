-- How much chat and how many captions a job's bots kept to themselves while nothing was to be recorded, and the timeline has not told of yet.
ALTER TABLE jobs ADD COLUMN withheld_messages BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN withheld_captions BIGINT NOT NULL DEFAULT 0;
