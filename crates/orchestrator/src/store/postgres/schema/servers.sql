-- The bucket that has all recordings that are finished; NULL where they are on the server's disk, so that no other server may work beside it. And whether it is
-- notified of what others change.
ALTER TABLE nodes ADD COLUMN bucket TEXT, ADD COLUMN hears BOOLEAN NOT NULL DEFAULT TRUE;

-- The server that does what one does for all of them; another one after `until`.
CREATE TABLE duties (
    name  TEXT COLLATE "C" PRIMARY KEY,
    boot  TEXT COLLATE "C" NOT NULL,
    until BIGINT NOT NULL
);

-- When a server heard of the worker with this data folder, which may have recordings that are in no bucket yet.
CREATE TABLE spools (
    folder   TEXT COLLATE "C" PRIMARY KEY,
    heard_at BIGINT NOT NULL
);
