-- How many jobs a consumer may have in the queue: NULL is what the settings say for everybody, 0 is no limit. `waiting` counts those that have had no bot.
ALTER TABLE consumers ADD COLUMN max_queued BIGINT;
ALTER TABLE default_quota ADD COLUMN max_queued BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN waiting BIGINT NOT NULL DEFAULT 0;
UPDATE tenants SET waiting = (SELECT count(*) FROM jobs WHERE jobs.consumer = tenants.consumer AND jobs.live = tenants.live
    AND status = 'queued' AND epoch = 0);
