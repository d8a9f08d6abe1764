-- Bio pages. link_id: the entry visitors meet, whose row holds title, description, password and expiry. content: how the page
-- looks, JSON (control-plane/src/domain/bio.rs). Its finished page is a row of pages with this id as its key.
CREATE TABLE bio_pages
(
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    link_id      INTEGER NOT NULL UNIQUE REFERENCES links (id) DEFERRABLE INITIALLY DEFERRED,
    content      TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
)
;
CREATE INDEX bio_pages_by_workspace ON bio_pages (workspace_id, id)
;
-- Blocks of a page in the order of position, counted from 1 without gaps. payload: JSON, of the type's own form.
CREATE TABLE bio_blocks
(
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    bio_id     INTEGER NOT NULL REFERENCES bio_pages (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    type       TEXT NOT NULL,
    payload    TEXT NOT NULL,
    created_at INTEGER NOT NULL
)
;
CREATE INDEX bio_blocks_by_page ON bio_blocks (bio_id, position)
;
-- Where blocks lead: each way out is an entry of its own, so its clicks are those of link_id. part: which of its block's.
-- mark: SHA-256 of the entry's bytes. hash: of a file that is too large for
-- its entry, a blob.
CREATE TABLE bio_targets
(
    block_id INTEGER NOT NULL REFERENCES bio_blocks (id) ON DELETE CASCADE,
    part     TEXT NOT NULL,
    bio_id   INTEGER NOT NULL REFERENCES bio_pages (id) ON DELETE CASCADE,
    link_id  INTEGER NOT NULL UNIQUE,
    slug     TEXT NOT NULL,
    mark     BLOB NOT NULL,
    hash     BLOB REFERENCES blobs (hash),
    PRIMARY KEY (block_id, part)
)
;
CREATE INDEX bio_targets_by_page ON bio_targets (bio_id)
;
-- Pictures of a page, fetched once from url and served from here. source: SHA-256 of url. hash: a blob. link_id: the entry
-- that serves it; mark: as above.
CREATE TABLE bio_pictures
(
    bio_id       INTEGER NOT NULL REFERENCES bio_pages (id) ON DELETE CASCADE,
    source       BLOB NOT NULL,
    url          TEXT NOT NULL,
    hash         BLOB NOT NULL REFERENCES blobs (hash),
    size         INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    width        INTEGER NOT NULL,
    height       INTEGER NOT NULL,
    link_id      INTEGER NOT NULL UNIQUE,
    slug         TEXT NOT NULL,
    mark         BLOB NOT NULL,
    PRIMARY KEY (bio_id, source)
)
;
-- What visitors wrote into forms of a page, JSON. They stay when their block is deleted.
CREATE TABLE bio_entries
(
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    bio_id     INTEGER NOT NULL REFERENCES bio_pages (id) ON DELETE CASCADE,
    block_id   INTEGER NOT NULL,
    type       TEXT NOT NULL,
    fields     TEXT NOT NULL,
    created_at INTEGER NOT NULL
)
;
CREATE INDEX bio_entries_by_page ON bio_entries (bio_id, id)
;
CREATE INDEX bio_entries_by_block ON bio_entries (block_id, id)
;
-- Votes in polls, by the words of the option.
CREATE TABLE bio_votes
(
    block_id INTEGER NOT NULL REFERENCES bio_blocks (id) ON DELETE CASCADE,
    choice   TEXT NOT NULL,
    votes    INTEGER NOT NULL,
    PRIMARY KEY (block_id, choice)
)
