-- 1: the slug was drawn and not chosen. Of links from before it is not known; they count as chosen.
ALTER TABLE links ADD COLUMN is_drawn BIGINT NOT NULL DEFAULT 0
;
-- Features that are new here were everybody's.
UPDATE plans SET features = features || ',alias,expiry,qrcolors' WHERE features <> '*'
