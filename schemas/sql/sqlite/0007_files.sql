-- Bytes in the file storage, once for equal bytes. hash: SHA-256. refs: files that use them; unused_since: milliseconds since
-- 1970, set while refs is 0.
CREATE TABLE stored_objects
(
    hash         BLOB PRIMARY KEY,
    storage_key  TEXT NOT NULL UNIQUE,
    size         INTEGER NOT NULL,
    refs         INTEGER NOT NULL,
    unused_since INTEGER
)
;
CREATE INDEX stored_objects_unused ON stored_objects (unused_since)
;
-- What may lie in the storage without a row of stored_objects: uploads under way, leftovers of crashes, and what is to be
-- deleted. multipart_id: of an upload in parts that was not completed; empty: none. since: milliseconds since 1970.
CREATE TABLE stray_objects
(
    storage_key  TEXT PRIMARY KEY,
    multipart_id TEXT NOT NULL,
    since        INTEGER NOT NULL
)
;
CREATE INDEX stray_objects_since ON stray_objects (since)
;
-- Files. link_id: the entry at its address, whose visits are its downloads; expiry, password and number of downloads are
-- that row's. file_name: what it is downloaded as; name_search: name in lower case. version: rises with each change, so
-- that of two at once one is made again.
CREATE TABLE files
(
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    link_id      INTEGER NOT NULL UNIQUE REFERENCES links (id) DEFERRABLE INITIALLY DEFERRED,
    name         TEXT NOT NULL,
    name_search  TEXT NOT NULL,
    file_name    TEXT NOT NULL,
    content_type TEXT NOT NULL,
    hash         BLOB NOT NULL REFERENCES stored_objects (hash),
    size         INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
)
;
CREATE INDEX files_by_workspace ON files (workspace_id, id)
