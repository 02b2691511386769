-- Layout 2: a record has a numbered format. What layout 1 holds is of format 1, and stays as it is.
ALTER TABLE attachment ADD COLUMN format INTEGER NOT NULL DEFAULT 1;
ALTER TABLE journal ADD COLUMN format INTEGER NOT NULL DEFAULT 1;
