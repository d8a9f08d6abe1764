-- Bytes that proxies fetch by their SHA-256: bodies of pages, images, files of other tables. refs: how many rows use them;
-- unused_since: when the last one let go, NULL while there is one. Unused ones are swept after a while.
CREATE TABLE blobs
(
    hash         BLOB NOT NULL PRIMARY KEY,
    size         INTEGER NOT NULL,
    refs         INTEGER NOT NULL,
    unused_since INTEGER,
    bytes        BLOB NOT NULL
)
;
CREATE INDEX blobs_unused ON blobs (unused_since) WHERE unused_since IS NOT NULL
;
-- Finished pages, each perhaps met on many links. kind and key say what it was made of (control-plane/src/store/pages.rs);
-- touched_at: when it was last made or asked for. csp: Content-Security-Policy.
CREATE TABLE pages
(
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    kind         INTEGER NOT NULL,
    key          TEXT NOT NULL,
    status       INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    csp          TEXT NOT NULL,
    hash         BLOB NOT NULL REFERENCES blobs (hash),
    size         INTEGER NOT NULL,
    touched_at   INTEGER NOT NULL,
    UNIQUE (workspace_id, kind, key)
)
;
CREATE INDEX pages_touched ON pages (touched_at)
;
-- Which links show which pages: a page that none shows is swept.
CREATE TABLE page_links
(
    link_id INTEGER NOT NULL REFERENCES links (id) ON DELETE CASCADE,
    page_id INTEGER NOT NULL REFERENCES pages (id),
    PRIMARY KEY (link_id, page_id)
)
;
CREATE INDEX page_links_by_page ON page_links (page_id)
;
CREATE TABLE pixels
(
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    type         TEXT NOT NULL,
    name         TEXT NOT NULL,
    tag          TEXT NOT NULL,
    created_at   INTEGER NOT NULL
)
;
CREATE INDEX pixels_by_workspace ON pixels (workspace_id, id)
;
-- counter: seconds. image, link: URLs or empty.
CREATE TABLE splashes
(
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    name         TEXT NOT NULL,
    title        TEXT NOT NULL,
    message      TEXT NOT NULL,
    image        TEXT NOT NULL,
    button       TEXT NOT NULL,
    link         TEXT NOT NULL,
    counter      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
)
;
CREATE INDEX splashes_by_workspace ON splashes (workspace_id, id)
;
-- type: message or contact. email, subject: of the latter.
CREATE TABLE overlays
(
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    type         TEXT NOT NULL,
    name         TEXT NOT NULL,
    message      TEXT NOT NULL,
    button       TEXT NOT NULL,
    link         TEXT NOT NULL,
    position     TEXT NOT NULL,
    color        TEXT NOT NULL,
    email        TEXT NOT NULL,
    subject      TEXT NOT NULL,
    created_at   INTEGER NOT NULL
)
;
CREATE INDEX overlays_by_workspace ON overlays (workspace_id, id)
;
-- What visitors wrote into contact overlays. Goes with its overlay; link_id is kept when the link is gone.
CREATE TABLE overlay_messages
(
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    overlay_id INTEGER NOT NULL REFERENCES overlays (id) ON DELETE CASCADE,
    link_id    INTEGER NOT NULL,
    name       TEXT NOT NULL,
    email      TEXT NOT NULL,
    message    TEXT NOT NULL,
    created_at INTEGER NOT NULL
)
;
CREATE INDEX overlay_messages_by_overlay ON overlay_messages (overlay_id, id)
