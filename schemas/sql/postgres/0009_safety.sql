-- Slugs that were given up, and from when on another workspace than that one may have them.
CREATE TABLE resting_slugs
(
    domain_id    BIGINT NOT NULL,
    slug         TEXT NOT NULL,
    workspace_id BIGINT NOT NULL,
    free_at      BIGINT NOT NULL,
    PRIMARY KEY (domain_id, slug)
)
;
CREATE INDEX resting_slugs_by_time ON resting_slugs (free_at)
;
-- Rows of links that lead to a host of the block list: their entry says that they are switched off, their is_disabled what
-- their owner wants.
CREATE TABLE blocked_links
(
    link_id    BIGINT PRIMARY KEY REFERENCES links (id) ON DELETE CASCADE,
    host       TEXT NOT NULL
)
;
-- Fingerprint of the block list that all rows have been brought to; empty: none.
CREATE TABLE blocklist_state
(
    id          BIGINT PRIMARY KEY,
    fingerprint TEXT NOT NULL
)
;
INSERT INTO blocklist_state (id, fingerprint) VALUES (1, '')
;
-- Links whose destination is shown in a frame, and when it is asked next whether it lets itself be framed.
CREATE TABLE framed_links
(
    link_id BIGINT PRIMARY KEY REFERENCES links (id) ON DELETE CASCADE,
    due_at  BIGINT NOT NULL
)
;
CREATE INDEX framed_links_by_due ON framed_links (due_at)
;
INSERT INTO framed_links (link_id, due_at)
SELECT id, 0 FROM links WHERE extras LIKE '{"surface":"frame"%' OR extras LIKE '{"surface":"overlay-%'
