-- QR codes. link_id: its entry at qr/<slug>, whose visits are its scans where it is tracked and whose destination is where it
-- leads; image_link_id: the entry that serves its image without a key, to whoever has the token. text: what is in the image.
-- logo_hash, image_hash: blobs. version: rises with each change, so that of two at once one is made again. The entries
-- hold the code's id and are therefore written after it.
CREATE TABLE qr_codes
(
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id     INTEGER NOT NULL REFERENCES workspaces (id),
    link_id          INTEGER NOT NULL UNIQUE REFERENCES links (id) DEFERRABLE INITIALLY DEFERRED,
    image_link_id    INTEGER NOT NULL UNIQUE REFERENCES links (id) DEFERRABLE INITIALLY DEFERRED,
    kind             TEXT NOT NULL,
    name             TEXT NOT NULL,
    text             TEXT NOT NULL,
    size             INTEGER NOT NULL,
    margin           INTEGER NOT NULL,
    foreground       TEXT NOT NULL,
    background       TEXT NOT NULL,
    error_correction TEXT NOT NULL,
    format           TEXT NOT NULL,
    logo_hash        BLOB REFERENCES blobs (hash),
    image_hash       BLOB NOT NULL REFERENCES blobs (hash),
    token            TEXT NOT NULL,
    version          INTEGER NOT NULL,
    created_at       INTEGER NOT NULL
)
;
CREATE INDEX qr_codes_by_workspace ON qr_codes (workspace_id, id)
