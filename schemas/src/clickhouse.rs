//! ClickHouse's tables as numbered migrations. Each file is a list of statements separated by lines that hold only
//! `;`. Written by ingest alone, in order, each noted in `migrations`; never edited once released.

/// A numbered migration.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// 1, 2, 3 …
    pub number: u32,
    /// What it does, for the log.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
}

/// All migrations in order.
pub const MIGRATIONS: [Migration; 1] = [Migration {
    number: 1,
    name: "clicks, roll-ups and books",
    sql: include_str!("../clickhouse/0001_clicks.sql"),
}];

impl Migration {
    /// The statements of the migration, in order.
    pub fn statements(&self) -> impl Iterator<Item = &'static str> {
        self.sql
            .split("\n;\n")
            .map(str::trim)
            .filter(|s| !s.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps_and_hold_statements() {
        for (migration, number) in MIGRATIONS.iter().zip(1..) {
            assert_eq!(migration.number, number);
            assert!(migration.statements().count() > 0);
            assert!(migration.statements().all(|s| !s.ends_with(';')));
        }
    }
}
