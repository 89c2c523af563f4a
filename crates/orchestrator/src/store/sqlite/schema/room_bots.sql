-- Under which ids bots are or were in rooms of meetings, so that bots in one room know each other. `since` is when the job's first bot came to the room,
-- `gives_way` its rule `onBotDetected`. A row outlives its bot for a while (`gone_at`), since a meeting may still show it.
CREATE TABLE room_bots (
    platform    TEXT NOT NULL,
    room        TEXT NOT NULL,
    participant TEXT NOT NULL,
    job         TEXT NOT NULL REFERENCES jobs (id),
    epoch       BIGINT NOT NULL,
    gives_way   BOOLEAN NOT NULL,
    since       BIGINT NOT NULL,
    gone_at     BIGINT,
    PRIMARY KEY (platform, room, participant)
);
CREATE INDEX room_bots_job ON room_bots (job);
CREATE INDEX room_bots_gone ON room_bots (gone_at) WHERE gone_at IS NOT NULL;
