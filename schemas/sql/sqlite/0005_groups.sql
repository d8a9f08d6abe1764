-- Campaigns, channels, folders and tags, and what a domain of a workspace needs.
--
-- A link is in at most one campaign and one folder; deleting either leaves the link. slug: of the rotator, without its `r/`;
-- empty: no rotator. rotator_id, list_id: rows of links that answer at /r/<slug> and /u/<user>/<slug>-<id>. user_name: the
-- name in that path, as it was when the campaign was made.
CREATE TABLE campaigns
(
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    user_name    TEXT NOT NULL,
    name         TEXT NOT NULL,
    slug         TEXT NOT NULL,
    is_public    INTEGER NOT NULL,
    rotator_id   INTEGER,
    list_id      INTEGER,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
)
;
CREATE INDEX campaigns_by_workspace ON campaigns (workspace_id, id)
;
CREATE TABLE campaign_links
(
    link_id     INTEGER PRIMARY KEY REFERENCES links (id) ON DELETE CASCADE,
    campaign_id INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    weight      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
)
;
CREATE INDEX campaign_links_by_campaign ON campaign_links (campaign_id, link_id)
;
CREATE TABLE channels
(
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    name         TEXT NOT NULL,
    description  TEXT NOT NULL,
    color        TEXT NOT NULL,
    is_starred   INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
)
;
CREATE INDEX channels_by_workspace ON channels (workspace_id, id)
;
-- kind: 0 link, 1 bio page, 2 QR code. item_id: the id in the table of its kind. id: order of assignment.
CREATE TABLE channel_items
(
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    kind       INTEGER NOT NULL,
    item_id    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (channel_id, kind, item_id)
)
;
CREATE INDEX channel_items_by_item ON channel_items (kind, item_id)
;
CREATE TABLE folders
(
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    name         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    UNIQUE (workspace_id, name)
)
;
CREATE TABLE folder_links
(
    link_id   INTEGER PRIMARY KEY REFERENCES links (id) ON DELETE CASCADE,
    folder_id INTEGER NOT NULL REFERENCES folders (id) ON DELETE CASCADE
)
;
CREATE INDEX folder_links_by_folder ON folder_links (folder_id, link_id)
;
CREATE TABLE tags
(
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    name         TEXT NOT NULL,
    color        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    UNIQUE (workspace_id, name)
)
;
CREATE TABLE link_tags
(
    link_id INTEGER NOT NULL REFERENCES links (id) ON DELETE CASCADE,
    tag_id  INTEGER NOT NULL REFERENCES tags (id) ON DELETE CASCADE,
    PRIMARY KEY (link_id, tag_id)
)
;
CREATE INDEX link_tags_by_tag ON link_tags (tag_id, link_id)
;
-- name: the host its owner added. host is the same once the domain is live, and before, as after deletion, '<name>#<id>':
-- no host at all, so that whoever proves first that a name is theirs gets it, and a claim blocks nobody.
ALTER TABLE domains ADD COLUMN name TEXT NOT NULL DEFAULT ''
;
UPDATE domains SET name = host
;
-- Proof of ownership: the value that the TXT record must have; the next look (NULL: none), looks that failed since it was
-- added, and why the last one did.
ALTER TABLE domains ADD COLUMN check_token TEXT NOT NULL DEFAULT ''
;
ALTER TABLE domains ADD COLUMN check_at INTEGER
;
ALTER TABLE domains ADD COLUMN checked_at INTEGER
;
ALTER TABLE domains ADD COLUMN check_failures INTEGER NOT NULL DEFAULT 0
;
ALTER TABLE domains ADD COLUMN check_error TEXT NOT NULL DEFAULT ''
;
ALTER TABLE domains ADD COLUMN verified_at INTEGER
;
-- Set: links of it answer nobody, until its workspace adds the same name again.
ALTER TABLE domains ADD COLUMN deleted_at INTEGER
;
-- Apps that may open its links, for the files below .well-known/: JSON lists.
ALTER TABLE domains ADD COLUMN apple_apps TEXT NOT NULL DEFAULT '[]'
;
ALTER TABLE domains ADD COLUMN android_apps TEXT NOT NULL DEFAULT '[]'
;
CREATE UNIQUE INDEX domains_by_name ON domains (workspace_id, name)
;
CREATE INDEX domains_by_check ON domains (check_at)
