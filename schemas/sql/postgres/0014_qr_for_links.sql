-- for_link: the link that a QR code was made for, whose id stays when it is deleted; NULL: none.
ALTER TABLE qr_codes ADD COLUMN for_link BIGINT
;
-- What the code holds as its owner gave it; empty: what is in the image.
ALTER TABLE qr_codes ADD COLUMN content TEXT NOT NULL DEFAULT ''
;
-- Images of a code in other formats than its own, each with an entry that serves it.
CREATE TABLE qr_downloads
(
    qr_id      BIGINT NOT NULL REFERENCES qr_codes (id),
    format     TEXT NOT NULL,
    link_id    BIGINT NOT NULL UNIQUE REFERENCES links (id) DEFERRABLE INITIALLY DEFERRED,
    image_hash BYTEA NOT NULL REFERENCES blobs (hash),
    PRIMARY KEY (qr_id, format)
)
