-- Which worker has the job's bot; NULL where the server has it.
ALTER TABLE jobs ADD COLUMN worker TEXT;
