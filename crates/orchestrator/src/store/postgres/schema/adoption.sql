-- Which history the database continues: each promotion of a replica begins a new one. Empty where it does not say so, as on services that only resemble PostgreSQL.
CREATE FUNCTION meetbot_timeline() RETURNS TEXT LANGUAGE plpgsql AS $$
BEGIN
    RETURN left(pg_walfile_name(pg_current_wal_lsn()), 8);
EXCEPTION WHEN OTHERS THEN
    RETURN '';
END $$;

-- The history that servers have seen last, and since when it is another one than before, in lease time. And the secret that signs claims, so that a bot can prove one
-- that a promoted replica did not receive.
ALTER TABLE cluster ADD COLUMN timeline TEXT, ADD COLUMN promoted_at BIGINT, ADD COLUMN claim_secret TEXT;
UPDATE cluster SET timeline = meetbot_timeline(), promoted_at = -1000000000000000,
    claim_secret = replace(gen_random_uuid()::TEXT || gen_random_uuid()::TEXT, '-', '');
ALTER TABLE cluster ALTER COLUMN timeline SET NOT NULL, ALTER COLUMN promoted_at SET NOT NULL, ALTER COLUMN claim_secret SET NOT NULL;
