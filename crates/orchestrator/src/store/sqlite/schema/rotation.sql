-- A secret that was replaced signs along until its time is over.
ALTER TABLE consumers ADD COLUMN previous_secret TEXT;
ALTER TABLE consumers ADD COLUMN previous_until BIGINT;
