-- The link database. Every column is INTEGER (BIGINT on PostgreSQL), TEXT or BLOB (BYTEA), so that one set of queries
-- serves both engines. Times are milliseconds since 1970 (UTC), yes/no is 1/0. Ids are never used twice, for clicks
-- name them for ever: hence AUTOINCREMENT and link_ids.
CREATE TABLE plans
(
    id              INTEGER PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    rate_per_minute INTEGER NOT NULL,
    max_links       INTEGER
)
;
INSERT INTO plans (id, name, rate_per_minute, max_links) VALUES (1, 'free', 30, NULL), (2, 'pro', 120, NULL), (3, 'enterprise', 600, NULL)
;
CREATE TABLE workspaces
(
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    plan_id    INTEGER NOT NULL REFERENCES plans (id),
    suspended  INTEGER NOT NULL,
    created_at INTEGER NOT NULL
)
;
CREATE TABLE users
(
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id  INTEGER NOT NULL REFERENCES workspaces (id),
    email         TEXT NOT NULL UNIQUE,
    username      TEXT NOT NULL UNIQUE,
    password_hash TEXT,
    is_admin      INTEGER NOT NULL,
    plan_ends_at  INTEGER,
    created_at    INTEGER NOT NULL
)
;
CREATE TABLE api_keys
(
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id    INTEGER NOT NULL REFERENCES workspaces (id),
    user_id         INTEGER NOT NULL REFERENCES users (id),
    name            TEXT NOT NULL,
    prefix          TEXT NOT NULL,
    hash            BLOB NOT NULL UNIQUE,
    scopes          TEXT NOT NULL,
    rate_per_minute INTEGER,
    expires_at      INTEGER,
    revoked_at      INTEGER,
    created_at      INTEGER NOT NULL
)
;
CREATE INDEX api_keys_by_workspace ON api_keys (workspace_id, id)
;
-- workspace_id NULL: open to every workspace. base_url: scheme, host and port of its short URLs, no slash at the end.
CREATE TABLE domains
(
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id  INTEGER REFERENCES workspaces (id),
    host          TEXT NOT NULL UNIQUE,
    base_url      TEXT NOT NULL,
    root_url      TEXT NOT NULL,
    not_found_url TEXT NOT NULL,
    is_live       INTEGER NOT NULL,
    is_default    INTEGER NOT NULL,
    created_at    INTEGER NOT NULL
)
;
-- entry: the link as proxies hold it (schemas::link::Entry), made from the other columns when the row is written; group_no:
-- its group in the feed. search: lower-case slug, destination and title, for look-up by text.
CREATE TABLE links
(
    id              INTEGER PRIMARY KEY,
    uuid            TEXT NOT NULL UNIQUE,
    workspace_id    INTEGER NOT NULL REFERENCES workspaces (id),
    domain_id       INTEGER NOT NULL REFERENCES domains (id),
    slug            TEXT NOT NULL,
    destination     TEXT NOT NULL,
    title           TEXT NOT NULL,
    description     TEXT NOT NULL,
    redirect_status INTEGER NOT NULL,
    is_private      INTEGER NOT NULL,
    is_disabled     INTEGER NOT NULL,
    starts_at       INTEGER,
    expires_at      INTEGER,
    expired_url     TEXT NOT NULL,
    utm_source      TEXT NOT NULL,
    utm_medium      TEXT NOT NULL,
    utm_campaign    TEXT NOT NULL,
    utm_term        TEXT NOT NULL,
    utm_content     TEXT NOT NULL,
    parameters      TEXT NOT NULL,
    search          TEXT NOT NULL,
    imported_clicks INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    group_no        INTEGER NOT NULL,
    entry           BLOB NOT NULL,
    UNIQUE (domain_id, slug)
)
;
CREATE INDEX links_by_workspace ON links (workspace_id, id)
;
CREATE INDEX links_by_group ON links (group_no)
;
-- The next link's id. A counter of its own, since a link's entry holds its id and is written with the row.
CREATE TABLE link_ids
(
    id      INTEGER PRIMARY KEY,
    next_id INTEGER NOT NULL
)
;
INSERT INTO link_ids (id, next_id) VALUES (1, 1)
;
-- Keys of the visitor hash, each for clicks with starts_at <= time < ends_at.
CREATE TABLE salts
(
    starts_at INTEGER PRIMARY KEY,
    ends_at   INTEGER NOT NULL,
    secret    BLOB NOT NULL
)
;
-- The newest change: one row, updated last in each transaction that visitors can see, so the sequence is gapless and in
-- commit order.
CREATE TABLE feed_state
(
    id        INTEGER PRIMARY KEY,
    seq       INTEGER NOT NULL,
    change_id BLOB NOT NULL
)
;
INSERT INTO feed_state (id, seq, change_id) VALUES (1, 0, x'00000000000000000000000000000000')
;
-- frame: the whole frame as it goes over the wire. Old rows are deleted; a proxy that is further behind takes a snapshot.
CREATE TABLE feed_changes
(
    seq          INTEGER PRIMARY KEY,
    change_id    BLOB NOT NULL,
    committed_at INTEGER NOT NULL,
    frame        BLOB NOT NULL
)
;
-- Checksum of each group of links, the bits of a u64 in a signed integer. A group without a row has sum 0.
CREATE TABLE feed_groups
(
    group_no INTEGER PRIMARY KEY,
    sum      INTEGER NOT NULL
)
