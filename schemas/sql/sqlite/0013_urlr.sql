-- deletes_at: from then on the link is not there, in the API as for visitors; a sweep takes the row away. Milliseconds since
-- 1970.
ALTER TABLE links ADD COLUMN deletes_at INTEGER
;
CREATE INDEX links_by_deletion ON links (deletes_at) WHERE deletes_at IS NOT NULL
;
-- The code that scans of a link's own image are counted by: a row of links at qr/<hex> that leads to the link.
CREATE TABLE link_codes
(
    link_id INTEGER PRIMARY KEY REFERENCES links (id) ON DELETE CASCADE,
    code_id INTEGER NOT NULL REFERENCES links (id) ON DELETE CASCADE
)
;
CREATE INDEX link_codes_by_code ON link_codes (code_id)
;
-- color: a word, empty for none. Deleting a folder leaves those in it without a parent.
ALTER TABLE folders ADD COLUMN parent_id INTEGER REFERENCES folders (id) ON DELETE SET NULL
;
CREATE INDEX folders_by_parent ON folders (parent_id)
;
ALTER TABLE folders ADD COLUMN color TEXT NOT NULL DEFAULT ''
;
-- NULL: never changed.
ALTER TABLE folders ADD COLUMN updated_at INTEGER
;
ALTER TABLE domains ADD COLUMN updated_at INTEGER
;
-- The key that ids are shown as UUIDs under. One row, made at the first start.
CREATE TABLE id_keys
(
    id     INTEGER PRIMARY KEY,
    secret BLOB NOT NULL
)
