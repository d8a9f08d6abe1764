-- Plans with limits, members of workspaces, sign-ins of people, and apps that act for them (OAuth 2). Secrets of all kinds
-- are here as their SHA-256 only.
--
-- Limits of a plan: NULL is without limit. Prices in cents, for show. features: names with commas, '*' for all there are.
-- Plan 1 is what a workspace has when its own plan has ended.
ALTER TABLE plans ADD COLUMN is_free INTEGER NOT NULL DEFAULT 0
;
ALTER TABLE plans ADD COLUMN price_monthly INTEGER
;
ALTER TABLE plans ADD COLUMN price_yearly INTEGER
;
ALTER TABLE plans ADD COLUMN price_lifetime INTEGER
;
ALTER TABLE plans ADD COLUMN max_clicks INTEGER
;
ALTER TABLE plans ADD COLUMN max_domains INTEGER
;
ALTER TABLE plans ADD COLUMN max_members INTEGER
;
ALTER TABLE plans ADD COLUMN max_file_bytes INTEGER
;
ALTER TABLE plans ADD COLUMN features TEXT NOT NULL DEFAULT '*'
;
UPDATE plans SET is_free = 1 WHERE id = 1
;
-- The plan is the workspace's, so its end is too.
ALTER TABLE workspaces ADD COLUMN plan_ends_at INTEGER
;
UPDATE workspaces SET plan_ends_at = (SELECT MIN(u.plan_ends_at) FROM users u WHERE u.workspace_id = workspaces.id)
;
ALTER TABLE users DROP COLUMN plan_ends_at
;
-- Rows stay when they are deleted, without personal data: clicks, keys and links name them.
ALTER TABLE workspaces ADD COLUMN deleted_at INTEGER
;
ALTER TABLE users ADD COLUMN deleted_at INTEGER
;
-- role: owner, editor or viewer. users.workspace_id is the workspace that was made with the user.
CREATE TABLE members
(
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    user_id      INTEGER NOT NULL REFERENCES users (id),
    role         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, user_id)
)
;
INSERT INTO members (workspace_id, user_id, role, created_at) SELECT workspace_id, id, 'owner', created_at FROM users
;
CREATE INDEX members_by_user ON members (user_id)
;
CREATE INDEX api_keys_by_user ON api_keys (user_id)
;
-- An invitation that was taken is deleted.
CREATE TABLE invitations
(
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    email        TEXT NOT NULL,
    role         TEXT NOT NULL,
    hash         BLOB NOT NULL UNIQUE,
    expires_at   INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    UNIQUE (workspace_id, email)
)
;
-- Browsers that are signed in, by the hash of their cookie.
CREATE TABLE sign_ins
(
    hash       BLOB PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id),
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
)
;
CREATE INDEX sign_ins_by_user ON sign_ins (user_id)
;
-- One-time URLs that sign a user in. One that was used is deleted.
CREATE TABLE sign_in_links
(
    hash       BLOB PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id),
    expires_at INTEGER NOT NULL
)
;
-- Apps. secret_hash NULL: a public client. redirect_uris: JSON list of texts.
CREATE TABLE oauth_clients
(
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id     TEXT NOT NULL UNIQUE,
    workspace_id  INTEGER NOT NULL REFERENCES workspaces (id),
    user_id       INTEGER NOT NULL REFERENCES users (id),
    name          TEXT NOT NULL,
    secret_hash   BLOB,
    redirect_uris TEXT NOT NULL,
    scopes        TEXT NOT NULL,
    deleted_at    INTEGER,
    created_at    INTEGER NOT NULL
)
;
CREATE INDEX oauth_clients_by_workspace ON oauth_clients (workspace_id, id)
;
-- What a user allowed an app once; the code and all tokens that come of it name it, so one update revokes them all.
-- oauth_client: oauth_clients.id.
CREATE TABLE oauth_grants
(
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    oauth_client INTEGER NOT NULL REFERENCES oauth_clients (id),
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    user_id      INTEGER NOT NULL REFERENCES users (id),
    scopes       TEXT NOT NULL,
    revoked_at   INTEGER,
    created_at   INTEGER NOT NULL
)
;
CREATE INDEX oauth_grants_by_user ON oauth_grants (user_id)
;
CREATE INDEX oauth_grants_by_client ON oauth_grants (oauth_client)
;
-- redirect_uri empty: the request named none. challenge NULL: none, empty is not used.
CREATE TABLE oauth_codes
(
    hash         BLOB PRIMARY KEY,
    grant_id     INTEGER NOT NULL REFERENCES oauth_grants (id),
    redirect_uri TEXT NOT NULL,
    challenge    TEXT,
    used_at      INTEGER,
    expires_at   INTEGER NOT NULL
)
;
CREATE INDEX oauth_codes_by_grant ON oauth_codes (grant_id)
;
-- used_at: a refresh token that was exchanged; it stays until its end, so that a second use is noticed.
CREATE TABLE oauth_tokens
(
    hash       BLOB PRIMARY KEY,
    grant_id   INTEGER NOT NULL REFERENCES oauth_grants (id),
    is_refresh INTEGER NOT NULL,
    scopes     TEXT NOT NULL,
    used_at    INTEGER,
    revoked_at INTEGER,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
)
;
CREATE INDEX oauth_tokens_by_grant ON oauth_tokens (grant_id)
;
CREATE INDEX oauth_tokens_by_end ON oauth_tokens (expires_at)
