-- The account of the operator as which a job's bots join; NULL for guests.
ALTER TABLE jobs ADD COLUMN account TEXT COLLATE "C";
-- How many bots may be signed in as each account at once, as the settings said when a server last started.
CREATE TABLE accounts (
    name TEXT COLLATE "C" PRIMARY KEY,
    bots BIGINT NOT NULL
);
-- The jobs that wait for their first bot without an account, and those with one, which wait for its place too.
CREATE INDEX jobs_guests_waiting ON jobs (consumer, live, run_at, id) WHERE account IS NULL AND status = 'queued' AND epoch = 0;
CREATE INDEX jobs_account_waiting ON jobs (account, consumer, live, run_at, id) WHERE account IS NOT NULL AND status = 'queued' AND epoch = 0;
CREATE INDEX jobs_account_placed ON jobs (account) WHERE account IS NOT NULL AND epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled');
