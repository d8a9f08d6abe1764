-- Workspaces that ended before their end took all members out.
DELETE FROM members WHERE workspace_id IN (SELECT id FROM workspaces WHERE deleted_at IS NOT NULL)
;
