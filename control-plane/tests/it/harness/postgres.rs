//! A throw-away PostgreSQL cluster for this test binary, by `deploy/dev/postgres`: made at the first use, ended and deleted
//! when this process ends, however it does.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sqlx::Connection as _;
use tokio::sync::OnceCell;

struct Cluster {
    /// URL of its first database.
    url: String,
    // Its standard input stays open for as long as this process lives. It outlives us by a moment, so nobody waits for it.
    _keeper: Child,
}

/// URL of a new, empty database.
pub(crate) async fn fresh_database() -> String {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let start = async || {
        tokio::task::spawn_blocking(start)
            .await
            .expect("PostgreSQL starts")
    };
    let cluster = CLUSTER.get_or_init(start).await;
    let name = format!("test_{}", super::unique());
    let mut admin = sqlx::PgConnection::connect(&cluster.url)
        .await
        .expect("the cluster is up");
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut admin)
        .await
        .expect("a new database");
    admin.close().await.expect("a clean end");
    cluster.url.replace("/signpost?", &format!("/{name}?"))
}

fn start() -> Cluster {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev/postgres");
    let mut keeper = Command::new(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("deploy/dev/postgres runs");
    let said = BufReader::new(keeper.stdout.take().expect("piped"));
    let mut url = None;
    // To the last line: it must not write to nobody.
    for line in said.lines() {
        let line = line.expect("readable");
        match line.split_once(' ') {
            Some(("socket", of)) => url = Some(of.to_owned()),
            Some(("ready", _)) => break,
            _ => {}
        }
    }
    Cluster {
        url: url.expect("PostgreSQL comes up (make deps)"),
        _keeper: keeper,
    }
}
