//! Links that wait for a look at what they lead to, and which look is whose.
//!
//! A link is noted in the transaction that makes it or leads it elsewhere. A claim puts its row off, so whoever crashes with it
//! only delays it; the instant it is put off to names the claim. What becomes of the row when the look is over is written
//! only where it still bears that instant: noted anew meanwhile, or claimed by another, it stays as it is.
//! What looking means is not known here (`crate::looks`).

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, Row as _};

use super::{Store, feed};
use crate::domain::link::Extras;

/// What a link's destination is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Look {
    /// Where it leads.
    #[default]
    Way,
    /// The title of its page, too, for a link that has none.
    Title,
}

/// A link whose turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// The link.
    pub link: i64,
    /// What is asked.
    pub look: Look,
    /// Looks since it was noted that did not reach the destination.
    pub failures: i64,
    /// When it comes again if nothing is heard of this claim, milliseconds since 1970.
    until: i64,
}

/// What becomes of a link that was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It waits no more.
    Never,
    /// It is looked at again.
    At {
        /// From when, milliseconds since 1970.
        due_at: i64,
        /// Looks that did not reach the destination.
        failures: i64,
    },
}

/// Which links are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Those due now, milliseconds since 1970.
    pub now_ms: i64,
    /// They come again then if nothing is heard of them.
    pub until: i64,
    /// At most so many.
    pub limit: i64,
}

/// What [`turn`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Turn {
    /// Milliseconds for which the oldest had been due.
    pub late_ms: i64,
    /// Those taken.
    pub claimed: Vec<Claimed>,
}

/// Has a link looked at, when this transaction is committed, if destinations are asked at all. One that frames its
/// destination is noted in any case: should they be asked one day, its visitors depend on the answer.
pub(super) fn want(write: &mut feed::Write, link: i64, look: Look, extras: &Extras) {
    if extras.wanted_page().frames() {
        write.look_at(link, Look::Title);
    } else if write.guard().asks() {
        write.look_at(link, look);
    }
}

/// Notes links whose rows are there, each once, with one statement.
///
/// # Errors
/// The database's.
pub(super) async fn note(
    connection: &mut sqlx::AnyConnection,
    links: &[(i64, Look)],
    now_ms: i64,
) -> sqlx::Result<()> {
    if links.is_empty() {
        return Ok(());
    }
    // Numbers of ours alone, so they are written out: as values to be bound, each would be looked up in a list of all.
    let mut sql =
        String::from("INSERT INTO looks (link_id, due_at, wants_title, failures) VALUES ");
    for (place, (link, look)) in links.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let title = i64::from(*look == Look::Title);
        let _ = write!(sql, "{comma}({link}, {now_ms}, {title}, 0)");
    }
    // Who waits for its title still does when it is led elsewhere.
    sql.push_str(
        " ON CONFLICT (link_id) DO UPDATE SET due_at = excluded.due_at, failures = 0, wants_title = \
         CASE WHEN excluded.wants_title = 1 THEN 1 ELSE looks.wants_title END",
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes what becomes of links that were claimed, and claims those that are due.
///
/// # Errors
/// The database's; nothing has happened then.
pub async fn turn(store: &Store, done: &[(Claimed, Next)], wanted: Wanted) -> sqlx::Result<Turn> {
    // Most times there is nothing, and the one writer of SQLite is not asked for that.
    let oldest: Option<(i64,)> = sqlx::query_as("SELECT due_at FROM looks ORDER BY due_at LIMIT 1")
        .fetch_optional(store.readers())
        .await?;
    let due_since = oldest
        .map(|(due_at,)| due_at)
        .filter(|due_at| *due_at <= wanted.now_ms);
    let mut turn = Turn::default();
    if done.is_empty() && due_since.is_none() {
        return Ok(turn);
    }
    let mut tx = store.begin().await?;
    settle(&mut tx, done).await?;
    if let Some(due_since) = due_since {
        turn.late_ms = wanted.now_ms - due_since;
        turn.claimed = claim(&mut tx, wanted).await?;
    }
    tx.commit().await?;
    Ok(turn)
}

async fn claim(connection: &mut sqlx::AnyConnection, wanted: Wanted) -> sqlx::Result<Vec<Claimed>> {
    // Asked of each row anew when it is locked: another control plane may have taken it while this one waited.
    let rows = sqlx::query(
        "UPDATE looks SET due_at = $1 WHERE due_at <= $2 AND link_id IN (SELECT link_id FROM looks WHERE due_at <= $2 \
         ORDER BY due_at LIMIT $3) RETURNING link_id, wants_title, failures",
    )
    .bind(wanted.until)
    .bind(wanted.now_ms)
    .bind(wanted.limit)
    .fetch_all(connection)
    .await?;
    let claimed = rows.iter().map(|row| {
        let wants_title: i64 = row.try_get("wants_title")?;
        Ok(Claimed {
            link: row.try_get("link_id")?,
            look: if wants_title == 0 {
                Look::Way
            } else {
                Look::Title
            },
            failures: row.try_get("failures")?,
            until: wanted.until,
        })
    });
    claimed.collect()
}

async fn settle(
    connection: &mut sqlx::AnyConnection,
    done: &[(Claimed, Next)],
) -> sqlx::Result<()> {
    let mut over = Vec::new();
    for (claimed, next) in done {
        let Next::At { due_at, failures } = next else {
            over.push(*claimed);
            continue;
        };
        let update =
            "UPDATE looks SET due_at = $1, failures = $2 WHERE link_id = $3 AND due_at = $4";
        sqlx::query(update)
            .bind(*due_at)
            .bind(*failures)
            .bind(claimed.link)
            .bind(claimed.until)
            .execute(&mut *connection)
            .await?;
    }
    if over.is_empty() {
        return Ok(());
    }
    let over = super::padded(over);
    let rows = (0..over.len()).map(|row| {
        let (link, until) = (row * 2 + 1, row * 2 + 2);
        format!("link_id = ${link} AND due_at = ${until}")
    });
    let rows = rows.collect::<Vec<_>>().join(" OR ");
    let delete = format!("DELETE FROM looks WHERE {rows}");
    let mut delete = sqlx::query(AssertSqlSafe(delete));
    for claimed in over {
        delete = delete.bind(claimed.link).bind(claimed.until);
    }
    delete.execute(connection).await?;
    Ok(())
}
