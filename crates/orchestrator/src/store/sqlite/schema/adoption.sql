-- Signs claims, so that a bot can prove one that a restored database does not have.
ALTER TABLE storage ADD COLUMN claim_secret TEXT NOT NULL DEFAULT '';
UPDATE storage SET claim_secret = lower(hex(randomblob(32)));
