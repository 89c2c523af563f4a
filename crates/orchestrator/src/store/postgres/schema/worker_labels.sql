-- The labels that a worker must have to run the consumer's bots, sorted, with commas between them; NULL: any worker runs them.
ALTER TABLE consumers ADD COLUMN worker_labels TEXT;
CREATE INDEX consumers_worker_labels ON consumers (worker_labels) WHERE worker_labels IS NOT NULL;
