-- What endpoints answered.
ALTER TABLE tries ADD COLUMN answer TEXT;
