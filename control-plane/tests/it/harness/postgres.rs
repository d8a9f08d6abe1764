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

/// Name of the database that those of tests are copies of.
const TABLES: &str = "tables";

/// URL of a new database with all tables and nothing in them.
pub(crate) async fn fresh_database() -> String {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let start = async || {
        let cluster = tokio::task::spawn_blocking(start)
            .await
            .expect("PostgreSQL starts");
        create(&cluster, TABLES, "").await;
        super::tables::made(&cluster.database(TABLES)).await;
        cluster
    };
    let cluster = CLUSTER.get_or_init(start).await;
    let name = format!("test_{}", super::unique());
    create(cluster, &name, &format!("TEMPLATE {TABLES}")).await;
    cluster.database(&name)
}

impl Cluster {
    fn database(&self, name: &str) -> String {
        self.url.replace("/signpost?", &format!("/{name}?"))
    }
}

async fn create(cluster: &Cluster, name: &str, of: &str) {
    let mut admin = sqlx::PgConnection::connect(&cluster.url)
        .await
        .expect("the cluster is up");
    let create = format!("CREATE DATABASE {name} {of}");
    sqlx::query(sqlx::AssertSqlSafe(create))
        .execute(&mut admin)
        .await
        .expect("a new database");
    admin.close().await.expect("a clean end");
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
