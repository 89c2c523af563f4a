-- A consumer's feed in one world. `origin` stands in cursors. The event at (`gone_transaction`, `gone_number`) is the newest one that was deleted with its job.
CREATE TABLE feeds (
    id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer         TEXT COLLATE "C" NOT NULL,
    live             BOOLEAN NOT NULL,
    origin           TEXT NOT NULL,
    gone_transaction BIGINT NOT NULL DEFAULT 0,
    gone_number      BIGINT NOT NULL DEFAULT 0,
    UNIQUE (consumer, live)
);
CREATE SEQUENCE feed_numbers;
-- An event's feed, the transaction that wrote it, and its number. Numbers alone are no order to go on in: a smaller one may be committed later. NULL for events
-- from before there were feeds. What stands in a feed alone has the negative number as its sequence.
ALTER TABLE events ADD COLUMN feed BIGINT, ADD COLUMN transaction BIGINT, ADD COLUMN number BIGINT;
CREATE UNIQUE INDEX events_feed ON events (feed, transaction, number) WHERE feed IS NOT NULL;

-- An endpoint's deliveries since a time are found without a look at those of others.
CREATE INDEX deliveries_endpoint ON deliveries (endpoint, id);
