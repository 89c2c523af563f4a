-- Jobs that had a bot, whose recording was removed or that were deleted since a bucket has been in use. A worker with a data folder of its own removes the files of
-- a job that is not in `jobs` only if the job is here. What a worker that was cut off uploads after the removal is removed at `again_at`; NULL: it was, for the
-- last time.
CREATE TABLE removals (
    job      TEXT COLLATE "C" PRIMARY KEY,
    at       BIGINT NOT NULL,
    again_at BIGINT
);
CREATE INDEX removals_again ON removals (again_at, job) WHERE again_at IS NOT NULL;
CREATE INDEX removals_at ON removals (at);
