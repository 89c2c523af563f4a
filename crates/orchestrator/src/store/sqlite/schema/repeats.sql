-- How often what a line of the audit log says has happened in its minute.
ALTER TABLE key_uses ADD COLUMN times BIGINT NOT NULL DEFAULT 1;
