-- Links whose destination is to be looked at, and from when. wants_title: 1 where a link without a title gets that of the page.
-- failures: looks since it was noted that did not reach the destination.
CREATE TABLE looks
(
    link_id     BIGINT PRIMARY KEY REFERENCES links (id) ON DELETE CASCADE,
    due_at      BIGINT NOT NULL,
    wants_title BIGINT NOT NULL,
    failures    BIGINT NOT NULL
)
;
CREATE INDEX looks_by_due ON looks (due_at)
;
INSERT INTO looks (link_id, due_at, wants_title, failures)
SELECT link_id, due_at, 1, 0 FROM framed_links
;
DROP TABLE framed_links
;
