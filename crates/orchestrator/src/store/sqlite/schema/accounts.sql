-- The account of the operator as which a job's bots join; NULL for guests.
ALTER TABLE jobs ADD COLUMN account TEXT;
-- How many bots may be signed in as each account at once, as the settings said when a server last started.
CREATE TABLE accounts (
    name TEXT PRIMARY KEY,
    bots BIGINT NOT NULL
);
-- The jobs that wait for their first bot without an account, and those with one, which wait for its place too.
DROP INDEX jobs_waiting;
CREATE INDEX jobs_waiting ON jobs (consumer, live, account, run_at, id) WHERE status = 'queued' AND epoch = 0;
CREATE INDEX jobs_account_waiting ON jobs (account, consumer, live, run_at, id) WHERE account IS NOT NULL AND status = 'queued' AND epoch = 0;
CREATE INDEX jobs_account_placed ON jobs (account) WHERE account IS NOT NULL AND epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled');
