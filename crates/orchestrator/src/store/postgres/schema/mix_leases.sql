-- Which lease of a worker has the mix, until `due_at`; NULL: none had it since it was tried last.
ALTER TABLE mixes ADD COLUMN maker TEXT;
