-- Recordings that are finished on the server's disk and not in the bucket yet, with how their jobs end then. No bot has such a job, and it has no place.
CREATE TABLE uploads (
    job    TEXT COLLATE "C" PRIMARY KEY,
    since  BIGINT NOT NULL,
    upload TEXT NOT NULL
);
CREATE INDEX uploads_since ON uploads (since, job);

-- One row: the id by which a bucket knows the servers of this database, and the bucket that has their recordings, as in s3://bucket/prefix; NULL before one was used.
CREATE TABLE storage (
    cluster TEXT NOT NULL,
    url     TEXT
);
INSERT INTO storage (cluster) VALUES (replace(gen_random_uuid()::TEXT, '-', ''));
