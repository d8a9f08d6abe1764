//! Links that show their destination in a frame, and when the destination is asked next whether it lets itself be framed.

use super::{Store, feed};
use crate::domain::link::Extras;

/// Notes that a link, whose row is there, frames what it leads to from now on, or does not.
///
/// # Errors
/// The database's.
pub(super) async fn note(
    write: &mut feed::Write,
    link: i64,
    extras: &Extras,
    now_ms: i64,
) -> sqlx::Result<()> {
    let sql = if extras.wanted_page().frames() {
        "INSERT INTO framed_links (link_id, due_at) VALUES ($1, $2) \
         ON CONFLICT (link_id) DO UPDATE SET due_at = excluded.due_at"
    } else {
        "DELETE FROM framed_links WHERE link_id = $1 AND $2 >= 0"
    };
    sqlx::query(sql)
        .bind(link)
        .bind(now_ms)
        .execute(write.connection())
        .await?;
    Ok(())
}

/// Takes links whose destination is due to be asked, at most `limit`, and puts them off until `next_ms`.
///
/// # Errors
/// The database's.
pub async fn claim(store: &Store, now_ms: i64, next_ms: i64, limit: i64) -> sqlx::Result<Vec<i64>> {
    // Most times there is nothing, and the one writer of SQLite is not asked for that.
    let due = sqlx::query("SELECT 1 FROM framed_links WHERE due_at <= $1 LIMIT 1")
        .bind(now_ms)
        .fetch_optional(store.readers())
        .await?;
    if due.is_none() {
        return Ok(Vec::new());
    }
    let mut tx = store.begin().await?;
    // Asked of each row anew when it is locked: another control plane may have taken it while this one waited.
    let rows: Vec<(i64,)> = sqlx::query_as(
        "UPDATE framed_links SET due_at = $1 WHERE due_at <= $2 AND link_id IN (SELECT link_id FROM framed_links WHERE due_at <= $2 \
         ORDER BY due_at LIMIT $3) RETURNING link_id",
    )
    .bind(next_ms)
    .bind(now_ms)
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}
