//! The link database's tables as numbered migrations, one list per engine with the same numbers. Each file is a list of
//! statements separated by lines that hold only `;`. Run by the control plane alone, in order, each in a transaction and
//! noted in `schema_migrations`; never edited once released.

use crate::clickhouse::Migration;

/// Migrations of SQLite, in order.
pub const SQLITE: &[Migration] = &[
    Migration {
        number: 1,
        name: "base",
        sql: include_str!("../sql/sqlite/0001_base.sql"),
    },
    Migration {
        number: 2,
        name: "links",
        sql: include_str!("../sql/sqlite/0002_links.sql"),
    },
    Migration {
        number: 3,
        name: "pages",
        sql: include_str!("../sql/sqlite/0003_pages.sql"),
    },
    Migration {
        number: 4,
        name: "qr",
        sql: include_str!("../sql/sqlite/0004_qr.sql"),
    },
    Migration {
        number: 5,
        name: "groups",
        sql: include_str!("../sql/sqlite/0005_groups.sql"),
    },
    Migration {
        number: 6,
        name: "users",
        sql: include_str!("../sql/sqlite/0006_users.sql"),
    },
    Migration {
        number: 7,
        name: "files",
        sql: include_str!("../sql/sqlite/0007_files.sql"),
    },
    Migration {
        number: 8,
        name: "bio",
        sql: include_str!("../sql/sqlite/0008_bio.sql"),
    },
    Migration {
        number: 9,
        name: "safety",
        sql: include_str!("../sql/sqlite/0009_safety.sql"),
    },
    Migration {
        number: 10,
        name: "leases",
        sql: include_str!("../sql/sqlite/0010_leases.sql"),
    },
    Migration {
        number: 11,
        name: "qr_limit",
        sql: include_str!("../sql/sqlite/0011_qr_limit.sql"),
    },
    Migration {
        number: 12,
        name: "members_of_ended",
        sql: include_str!("../sql/sqlite/0012_members_of_ended.sql"),
    },
    Migration {
        number: 13,
        name: "urlr",
        sql: include_str!("../sql/sqlite/0013_urlr.sql"),
    },
    Migration {
        number: 14,
        name: "qr_for_links",
        sql: include_str!("../sql/sqlite/0014_qr_for_links.sql"),
    },
    Migration {
        number: 15,
        name: "drawn_slugs",
        sql: include_str!("../sql/sqlite/0015_drawn_slugs.sql"),
    },
    Migration {
        number: 16,
        name: "file_size",
        sql: include_str!("../sql/sqlite/0016_file_size.sql"),
    },
    Migration {
        number: 17,
        name: "looks",
        sql: include_str!("../sql/sqlite/0017_looks.sql"),
    },
];

/// Migrations of PostgreSQL, in order.
pub const POSTGRES: &[Migration] = &[
    Migration {
        number: 1,
        name: "base",
        sql: include_str!("../sql/postgres/0001_base.sql"),
    },
    Migration {
        number: 2,
        name: "links",
        sql: include_str!("../sql/postgres/0002_links.sql"),
    },
    Migration {
        number: 3,
        name: "pages",
        sql: include_str!("../sql/postgres/0003_pages.sql"),
    },
    Migration {
        number: 4,
        name: "qr",
        sql: include_str!("../sql/postgres/0004_qr.sql"),
    },
    Migration {
        number: 5,
        name: "groups",
        sql: include_str!("../sql/postgres/0005_groups.sql"),
    },
    Migration {
        number: 6,
        name: "users",
        sql: include_str!("../sql/postgres/0006_users.sql"),
    },
    Migration {
        number: 7,
        name: "files",
        sql: include_str!("../sql/postgres/0007_files.sql"),
    },
    Migration {
        number: 8,
        name: "bio",
        sql: include_str!("../sql/postgres/0008_bio.sql"),
    },
    Migration {
        number: 9,
        name: "safety",
        sql: include_str!("../sql/postgres/0009_safety.sql"),
    },
    Migration {
        number: 10,
        name: "leases",
        sql: include_str!("../sql/postgres/0010_leases.sql"),
    },
    Migration {
        number: 11,
        name: "qr_limit",
        sql: include_str!("../sql/postgres/0011_qr_limit.sql"),
    },
    Migration {
        number: 12,
        name: "members_of_ended",
        sql: include_str!("../sql/postgres/0012_members_of_ended.sql"),
    },
    Migration {
        number: 13,
        name: "urlr",
        sql: include_str!("../sql/postgres/0013_urlr.sql"),
    },
    Migration {
        number: 14,
        name: "qr_for_links",
        sql: include_str!("../sql/postgres/0014_qr_for_links.sql"),
    },
    Migration {
        number: 15,
        name: "drawn_slugs",
        sql: include_str!("../sql/postgres/0015_drawn_slugs.sql"),
    },
    Migration {
        number: 16,
        name: "file_size",
        sql: include_str!("../sql/postgres/0016_file_size.sql"),
    },
    Migration {
        number: 17,
        name: "looks",
        sql: include_str!("../sql/postgres/0017_looks.sql"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_have_the_same_migrations() {
        assert_eq!(SQLITE.len(), POSTGRES.len());
        assert!(SQLITE.windows(2).all(|two| two[0].number < two[1].number));
        for (sqlite, postgres) in SQLITE.iter().zip(POSTGRES) {
            assert_eq!(
                (sqlite.number, sqlite.name),
                (postgres.number, postgres.name)
            );
            assert_eq!(sqlite.statements().count(), postgres.statements().count());
        }
    }
}
