-- Most QR codes of a workspace; NULL is without limit.
ALTER TABLE plans ADD COLUMN max_qr_codes INTEGER
;
