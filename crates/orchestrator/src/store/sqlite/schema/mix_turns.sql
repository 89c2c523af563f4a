-- Counts the tries of mixes: the number of the last one for a consumer in this world, 0 before the first.
ALTER TABLE tenants ADD COLUMN mix_turn BIGINT NOT NULL DEFAULT 0;
