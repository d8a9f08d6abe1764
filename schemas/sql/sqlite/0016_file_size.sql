-- Most bytes of one file; NULL is without limit.
ALTER TABLE plans ADD COLUMN max_file_size INTEGER
;
