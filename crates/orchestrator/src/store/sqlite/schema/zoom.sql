-- Streams of Zoom meetings, by Zoom's ids. `consumer` is the name in the settings of the app that was told of the stream, `heard_ms` Zoom's time of the last event.
CREATE TABLE zoom_streams (
    id           TEXT PRIMARY KEY,
    consumer     TEXT NOT NULL,
    meeting_uuid TEXT NOT NULL,
    meeting      TEXT,
    server_urls  TEXT NOT NULL,
    state        TEXT NOT NULL,
    stop_reason  BIGINT,
    version      BIGINT NOT NULL,
    since        BIGINT NOT NULL,
    heard_ms     BIGINT NOT NULL,
    job          TEXT REFERENCES jobs (id)
);
CREATE INDEX zoom_streams_job ON zoom_streams (job) WHERE job IS NOT NULL;
CREATE INDEX zoom_streams_meeting ON zoom_streams (consumer, meeting);
CREATE INDEX zoom_streams_uuid ON zoom_streams (consumer, meeting_uuid);
CREATE INDEX zoom_streams_free ON zoom_streams (since) WHERE job IS NULL;
