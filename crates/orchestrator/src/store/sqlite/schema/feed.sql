-- A consumer's feed in one world: `last` is the number of its newest event, `gone` that of the newest one that was deleted with its job. `origin` stands in
-- cursors, and is another one in a restored database.
CREATE TABLE feeds (
    id       INTEGER PRIMARY KEY,
    consumer TEXT NOT NULL,
    live     BOOLEAN NOT NULL,
    origin   TEXT NOT NULL,
    last     BIGINT NOT NULL,
    gone     BIGINT NOT NULL DEFAULT 0,
    UNIQUE (consumer, live)
);
-- An event's feed, and its number there. NULL for those from before there were feeds. What stands in a feed alone has the negative number as its sequence.
ALTER TABLE events ADD COLUMN feed BIGINT;
ALTER TABLE events ADD COLUMN number BIGINT;
CREATE UNIQUE INDEX events_feed ON events (feed, number) WHERE feed IS NOT NULL;
