-- An endpoint is a consumer's URL without its query. Deliveries that are due are found by their endpoint, so that one that is down costs a look now and
-- then, however many wait for it.
CREATE TABLE endpoints (
    id            TEXT PRIMARY KEY,
    consumer      TEXT NOT NULL,
    live          BOOLEAN NOT NULL,
    url           TEXT NOT NULL,
    failures      BIGINT NOT NULL DEFAULT 0,
    failing_since BIGINT,
    rest_ms       BIGINT NOT NULL DEFAULT 0,
    rests_until   BIGINT,
    proven        BOOLEAN NOT NULL DEFAULT FALSE,
    lane          BIGINT NOT NULL DEFAULT 1,
    due_at        BIGINT,
    UNIQUE (consumer, live, url)
);
CREATE INDEX endpoints_due ON endpoints (lane, due_at) WHERE due_at IS NOT NULL;

-- `due_at` is set while it is a delivery's turn and nobody sends it; `holds` while later ones of its job wait for it.
ALTER TABLE deliveries ADD COLUMN endpoint TEXT;
ALTER TABLE deliveries ADD COLUMN due_at BIGINT;
ALTER TABLE deliveries ADD COLUMN holds BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE deliveries ADD COLUMN since BIGINT NOT NULL DEFAULT 0;

INSERT INTO endpoints (id, consumer, live, url)
    SELECT min(id), consumer, live, substr(url, 1, instr(url || '?', '?') - 1)
    FROM deliveries GROUP BY consumer, live, substr(url, 1, instr(url || '?', '?') - 1);
UPDATE deliveries SET since = next_at, holds = state = 'pending' AND tries < 4,
    endpoint = (SELECT e.id FROM endpoints e WHERE e.consumer = deliveries.consumer AND e.live = deliveries.live
        AND e.url = substr(deliveries.url, 1, instr(deliveries.url || '?', '?') - 1));
UPDATE deliveries SET due_at = next_at WHERE state = 'pending' AND NOT EXISTS (SELECT 1 FROM deliveries o
    WHERE o.job = deliveries.job AND o.endpoint = deliveries.endpoint AND o.holds AND o.sequence < deliveries.sequence);
UPDATE endpoints SET due_at = (SELECT min(due_at) FROM deliveries WHERE endpoint = endpoints.id);

DROP INDEX deliveries_due;
DROP INDEX deliveries_order;
ALTER TABLE deliveries DROP COLUMN next_at;
CREATE INDEX deliveries_due ON deliveries (endpoint, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_turn ON deliveries (endpoint, job, sequence) WHERE holds;
CREATE INDEX deliveries_flying ON deliveries (endpoint) WHERE lease_until > 0;
CREATE INDEX deliveries_open ON deliveries (consumer, live, state, id) WHERE state <> 'delivered';
CREATE INDEX deliveries_of_job ON deliveries (job, sequence);
