-- Every entry that visitors can meet on (domain, slug) is a row of links. kind: 0 plain link, 1 tracked slug of a QR code,
-- 2 rotator of a campaign, 3 list page, 4 bio page, 5 file, 6 other body. What a kind needs beside has a table of its own
-- that names the row as its link_id.
ALTER TABLE links ADD COLUMN kind BIGINT NOT NULL DEFAULT 0
;
DROP INDEX links_by_workspace
;
CREATE INDEX links_by_workspace ON links (workspace_id, kind, id)
;
-- What an owner set beyond a redirect (control-plane/src/domain/link/extras.rs) as JSON; empty for a plain link.
ALTER TABLE links ADD COLUMN extras TEXT NOT NULL DEFAULT ''
