-- Visits of click-limited links that were handed out to proxies, less those given back. Never above the limit that the
-- link's entry says.
CREATE TABLE leases
(
    link_id INTEGER NOT NULL PRIMARY KEY REFERENCES links (id) ON DELETE CASCADE,
    granted INTEGER NOT NULL
)
;
-- Keys of the cookies that say a link's password was given, each for cookies made with starts_at <= time < ends_at.
CREATE TABLE cookie_keys
(
    starts_at INTEGER NOT NULL PRIMARY KEY,
    ends_at   INTEGER NOT NULL,
    secret    BLOB NOT NULL
)
