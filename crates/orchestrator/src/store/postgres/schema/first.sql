-- Times are UTC milliseconds. Leases count on the database's clock, see meetbot_now().
-- Ids and names are compared byte by byte: other collations change with the C library, and indexes made before are wrong then.
-- JSON is kept as text: it is given back as it came, and JSONB would reorder it.

CREATE TABLE consumers (
    id              TEXT COLLATE "C" PRIMARY KEY,
    name            TEXT COLLATE "C" NOT NULL UNIQUE,
    webhook_secret  TEXT NOT NULL,
    previous_secret TEXT,
    previous_until  BIGINT,
    created_at      BIGINT NOT NULL,
    -- How much it may use: NULL is what the settings say for everybody, 0 is no limit.
    max_bots        BIGINT,
    max_minutes     BIGINT,
    max_queued      BIGINT
);

-- No foreign keys to consumers from here on: each insert would share-lock that one row. What erases a consumer checks instead.
CREATE TABLE keys (
    id           TEXT COLLATE "C" PRIMARY KEY,
    consumer     TEXT COLLATE "C" NOT NULL,
    live         BOOLEAN NOT NULL,
    scope        TEXT NOT NULL,
    prefix       TEXT COLLATE "C" NOT NULL UNIQUE,
    hash         BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX keys_consumer ON keys (consumer);

-- Browsers that are signed in with a key, and links that sign one in: the SHA-256 of what each shows. They go with their key.
CREATE TABLE sessions (
    hash       BYTEA PRIMARY KEY,
    key        TEXT COLLATE "C" NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_key ON sessions (key, created_at);
CREATE INDEX sessions_end ON sessions (expires_at);

CREATE TABLE key_uses (
    id       TEXT COLLATE "C" PRIMARY KEY,
    at       BIGINT NOT NULL,
    key      TEXT COLLATE "C" NOT NULL,
    consumer TEXT COLLATE "C" NOT NULL,
    address  TEXT NOT NULL,
    method   TEXT NOT NULL,
    path     TEXT NOT NULL,
    job      TEXT COLLATE "C",
    status   BIGINT NOT NULL,
    error    TEXT,
    request  TEXT NOT NULL,
    times    BIGINT NOT NULL DEFAULT 1
);

-- `job` is the job as the API shows it. `applied`, `stay_ms` and `stay_since` are those of a job without a lease; a lease has its own.
CREATE TABLE jobs (
    id                TEXT COLLATE "C" PRIMARY KEY,
    consumer          TEXT COLLATE "C" NOT NULL,
    live              BOOLEAN NOT NULL,
    external_id       TEXT COLLATE "C",
    platform          TEXT NOT NULL,
    status            TEXT COLLATE "C" NOT NULL,
    created_at        BIGINT NOT NULL,
    run_at            BIGINT NOT NULL,
    start_by          BIGINT NOT NULL,
    link              TEXT NOT NULL,
    job               TEXT NOT NULL,
    epoch             BIGINT NOT NULL DEFAULT 0,
    token_hash        BYTEA,
    past_tokens       BYTEA NOT NULL DEFAULT '',
    applied           BIGINT NOT NULL DEFAULT 0,
    sequence          BIGINT NOT NULL DEFAULT 0,
    cause             TEXT,
    handovers         BIGINT NOT NULL DEFAULT 0,
    stay_ms           BIGINT,
    stay_since        BIGINT,
    withheld_messages BIGINT NOT NULL DEFAULT 0,
    withheld_captions BIGINT NOT NULL DEFAULT 0,
    ended_at          BIGINT,
    files_since       BIGINT,
    recording_bytes   BIGINT
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX jobs_external ON jobs (consumer, live, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX jobs_newest ON jobs (consumer, live, id);
CREATE INDEX jobs_lost ON jobs (run_at, id) WHERE status = 'queued' AND epoch > 0;
CREATE INDEX jobs_waiting ON jobs (consumer, live, run_at, id) WHERE status = 'queued' AND epoch = 0;
CREATE INDEX jobs_start ON jobs (start_by) WHERE status = 'queued' AND epoch = 0;
CREATE INDEX jobs_placed ON jobs (consumer, live) WHERE epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX jobs_running ON jobs (status) WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL AND files_since IS NULL;
CREATE INDEX jobs_files ON jobs (files_since, id) WHERE files_since IS NOT NULL;
CREATE INDEX jobs_uncounted ON jobs (id) WHERE files_since IS NOT NULL AND recording_bytes IS NULL;
CREATE INDEX jobs_recording_bytes ON jobs (consumer, live, recording_bytes) WHERE recording_bytes > 0;

-- A row while a bot has the job: all that its signs of life change. `node` is the server whose bot it is. No index but the key: nothing else is ever updated
-- so often, and a few thousand rows are read in less than a millisecond.
CREATE TABLE leases (
    job        TEXT COLLATE "C" PRIMARY KEY,
    node       TEXT COLLATE "C" NOT NULL,
    until      BIGINT NOT NULL,
    applied    BIGINT NOT NULL,
    stay_ms    BIGINT,
    stay_since BIGINT
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE events (
    job      TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    id       TEXT NOT NULL,
    name     TEXT NOT NULL,
    at       BIGINT NOT NULL,
    data     TEXT NOT NULL,
    PRIMARY KEY (job, sequence)
);

-- An endpoint is a consumer's URL without its query, found by its SHA-256: a URL may be longer than what an index takes. Its row is the lock of its deliveries.
CREATE TABLE endpoints (
    id            TEXT COLLATE "C" PRIMARY KEY,
    consumer      TEXT COLLATE "C" NOT NULL,
    live          BOOLEAN NOT NULL,
    url           TEXT NOT NULL,
    url_hash      BYTEA NOT NULL,
    failures      BIGINT NOT NULL DEFAULT 0,
    failing_since BIGINT,
    rest_ms       BIGINT NOT NULL DEFAULT 0,
    rests_until   BIGINT,
    proven        BOOLEAN NOT NULL DEFAULT FALSE,
    lane          BIGINT NOT NULL DEFAULT 1,
    due_at        BIGINT
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX endpoints_url ON endpoints (consumer, live, url_hash);
CREATE INDEX endpoints_due ON endpoints (lane, due_at) WHERE due_at IS NOT NULL;

-- `due_at` is set while it is a delivery's turn and nobody sends it; `holds` while later ones of its job wait for it; `node` is the server that sends it.
CREATE TABLE deliveries (
    id          TEXT COLLATE "C" PRIMARY KEY,
    job         TEXT COLLATE "C" NOT NULL,
    sequence    BIGINT NOT NULL,
    consumer    TEXT COLLATE "C" NOT NULL,
    live        BOOLEAN NOT NULL,
    url         TEXT NOT NULL,
    endpoint    TEXT COLLATE "C" NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    tries       BIGINT NOT NULL DEFAULT 0,
    since       BIGINT NOT NULL,
    due_at      BIGINT,
    holds       BOOLEAN NOT NULL,
    lease_until BIGINT NOT NULL DEFAULT 0,
    node        TEXT COLLATE "C",
    -- Of those that are due at the same moment the one that was written first is first.
    number      BIGINT GENERATED ALWAYS AS IDENTITY
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX deliveries_due ON deliveries (endpoint, due_at, number) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_turn ON deliveries (endpoint, job, sequence) WHERE holds;
CREATE INDEX deliveries_flying ON deliveries (endpoint) WHERE lease_until > 0;
CREATE INDEX deliveries_pending ON deliveries (id) WHERE state = 'pending';
CREATE INDEX deliveries_open ON deliveries (consumer, live, state, id) WHERE state <> 'delivered';
CREATE INDEX deliveries_newest ON deliveries (consumer, live, id);
CREATE INDEX deliveries_of_job ON deliveries (job, sequence);

CREATE TABLE tries (
    delivery    TEXT COLLATE "C" NOT NULL,
    number      BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    status      BIGINT,
    error       TEXT,
    answer      TEXT,
    PRIMARY KEY (delivery, number)
);

CREATE TABLE commands (
    id           TEXT COLLATE "C" PRIMARY KEY,
    job          TEXT COLLATE "C" NOT NULL,
    sequence     BIGINT NOT NULL,
    action       TEXT NOT NULL,
    message      TEXT,
    state        TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    UNIQUE (job, sequence)
);

CREATE TABLE answers (
    consumer      TEXT COLLATE "C" NOT NULL,
    live          BOOLEAN NOT NULL,
    key           TEXT COLLATE "C" NOT NULL,
    fingerprint   BYTEA NOT NULL,
    status        BIGINT NOT NULL,
    body          TEXT NOT NULL,
    ignored       TEXT NOT NULL,
    running_until BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (consumer, live, key)
);
CREATE INDEX answers_age ON answers (created_at);

-- `bots` counts the jobs that have a place, `waiting` those that have had no bot. `due_at` is when the first that waits for a place wants to start; it is only
-- set while there is a place for it. The row is the lock of these counts.
CREATE TABLE tenants (
    consumer TEXT COLLATE "C" NOT NULL,
    live     BOOLEAN NOT NULL,
    bots     BIGINT NOT NULL DEFAULT 0,
    waiting  BIGINT NOT NULL DEFAULT 0,
    due_at   BIGINT,
    mix_turn BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (consumer, live)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX tenants_due ON tenants (bots, due_at, consumer, live) WHERE due_at IS NOT NULL;

-- What the settings said when a server last started; one row.
CREATE TABLE default_quota (
    max_bots    BIGINT NOT NULL,
    max_minutes BIGINT NOT NULL,
    max_queued  BIGINT NOT NULL
);
INSERT INTO default_quota VALUES (0, 0, 0);

-- Counted in shards, so that jobs which end at the same time do not wait for one row; the sum counts.
CREATE TABLE minutes (
    consumer TEXT COLLATE "C" NOT NULL,
    live     BOOLEAN NOT NULL,
    month    TEXT COLLATE "C" NOT NULL,
    shard    BIGINT NOT NULL,
    minutes  BIGINT NOT NULL,
    PRIMARY KEY (consumer, live, month, shard)
);
CREATE TABLE endings (
    status       TEXT COLLATE "C" NOT NULL,
    failure_code TEXT COLLATE "C" NOT NULL,
    shard        BIGINT NOT NULL,
    jobs         BIGINT NOT NULL,
    PRIMARY KEY (status, failure_code, shard)
);

CREATE TABLE mixes (
    job    TEXT COLLATE "C" PRIMARY KEY,
    due_at BIGINT NOT NULL DEFAULT 0,
    tries  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX mixes_due ON mixes (due_at, job);

CREATE TABLE room_bots (
    platform    TEXT NOT NULL,
    room        TEXT COLLATE "C" NOT NULL,
    participant TEXT COLLATE "C" NOT NULL,
    job         TEXT COLLATE "C" NOT NULL,
    epoch       BIGINT NOT NULL,
    gives_way   BOOLEAN NOT NULL,
    since       BIGINT NOT NULL,
    gone_at     BIGINT,
    PRIMARY KEY (platform, room, participant)
);
CREATE INDEX room_bots_job ON room_bots (job);
CREATE INDEX room_bots_gone ON room_bots (gone_at) WHERE gone_at IS NOT NULL;

-- Streams of Zoom meetings, by Zoom's ids. `consumer` is the name in the settings of the app that was told of the stream, `heard_ms` Zoom's time of the last
-- event.
CREATE TABLE zoom_streams (
    id           TEXT COLLATE "C" PRIMARY KEY,
    consumer     TEXT COLLATE "C" NOT NULL,
    meeting_uuid TEXT COLLATE "C" NOT NULL,
    meeting      TEXT COLLATE "C",
    server_urls  TEXT NOT NULL,
    state        TEXT NOT NULL,
    stop_reason  BIGINT,
    version      BIGINT NOT NULL,
    since        BIGINT NOT NULL,
    heard_ms     BIGINT NOT NULL,
    job          TEXT COLLATE "C"
);
CREATE INDEX zoom_streams_job ON zoom_streams (job) WHERE job IS NOT NULL;
CREATE INDEX zoom_streams_meeting ON zoom_streams (consumer, meeting);
CREATE INDEX zoom_streams_uuid ON zoom_streams (consumer, meeting_uuid);
CREATE INDEX zoom_streams_free ON zoom_streams (since) WHERE job IS NULL;

CREATE TABLE paused (since BIGINT NOT NULL);

-- One row. Every server signs it each second; one that finds it unsigned for longer, or signed in the future, writes into `up_since` that all were away
-- until now. No lease is over before it could have been renewed since then.
CREATE TABLE cluster (
    up_since  BIGINT NOT NULL,
    signed_at BIGINT NOT NULL
);
INSERT INTO cluster VALUES (-1000000000000000, 0);

-- The server on this database, by the name of its data folder and of its process. A process that is not here any more does nothing.
CREATE TABLE nodes (
    node    TEXT COLLATE "C" PRIMARY KEY,
    host    TEXT NOT NULL,
    boot    TEXT COLLATE "C" NOT NULL,
    seen_at BIGINT NOT NULL
);

-- Lease time: the database's clock, or what this transaction was given in its place.
CREATE FUNCTION meetbot_now() RETURNS BIGINT LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(nullif(current_setting('meetbot.clock', true), '')::BIGINT,
        floor(extract(epoch FROM clock_timestamp()) * 1000)::BIGINT)
$$;
