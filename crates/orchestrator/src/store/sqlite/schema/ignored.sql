-- What was passed over in a request, as the header of its kept answer names it.
ALTER TABLE answers ADD COLUMN ignored TEXT NOT NULL DEFAULT '';
