//! A throw-away PostgreSQL cluster for this test binary: made at the first use, on a Unix socket in a temporary folder,
//! ended and deleted by a shell that waits for the end of this process, however it ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use tokio::sync::OnceCell;

/// Time for `initdb` and the start together, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Ends and deletes the cluster when its standard input ends. Arguments: program folder, data folder, runner.
const KEEPER: &str = r#"
set -e
bin=$1; dir=$2; shift 2
"$@" "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C -N >"$dir/initdb.log" 2>&1
"$@" "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c full_page_writes=off \
  -c synchronous_commit=off -c wal_level=minimal -c max_wal_senders=0 -c autovacuum=off \
  -c max_connections=400 -c shared_buffers=32MB >"$dir/server.log" 2>&1 &
server=$!
cat >/dev/null || true
kill -INT "$server" || true
wait "$server" || true
rm -rf "$dir"
"#;

/// Name of the database that those of tests are copies of.
const TABLES: &str = "tables";

struct Cluster {
    dir: PathBuf,
    // Its standard input stays open for as long as this process lives. It outlives us by a moment, so nobody waits for it.
    _keeper: Child,
}

/// URL of a new database with all tables and nothing in them.
pub(crate) async fn fresh_database() -> String {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let cluster = CLUSTER.get_or_init(start).await;
    let name = format!("test_{}", super::unique());
    let mut admin = connect(&cluster.dir).await.expect("the cluster is up");
    let copied = format!("CREATE DATABASE {name} TEMPLATE {TABLES}");
    sqlx::query(sqlx::AssertSqlSafe(copied))
        .execute(&mut admin)
        .await
        .expect("a new database");
    admin.close().await.expect("a clean end");
    url(&cluster.dir, &name)
}

fn url(dir: &Path, database: &str) -> String {
    let dir = dir.to_string_lossy().replace('/', "%2F");
    format!("postgres://postgres@localhost/{database}?host={dir}")
}

async fn connect(dir: &Path) -> sqlx::Result<sqlx::PgConnection> {
    sqlx::PgConnection::connect(&url(dir, "postgres")).await
}

async fn start() -> Cluster {
    let bin = programs();
    let dir = tempfile::Builder::new()
        .prefix("signpost-pg-")
        .tempdir()
        .expect("temporary folder")
        .keep();
    // PostgreSQL refuses to run as root.
    let mut runner: Vec<String> = vec!["env".to_owned()];
    if rustix::process::geteuid().is_root() {
        let chown = Command::new("chown")
            .arg("postgres")
            .arg(&dir)
            .status()
            .expect("chown runs");
        assert!(chown.success(), "there is no user postgres");
        runner = [
            "setpriv",
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
        ]
        .map(str::to_owned)
        .into();
    }
    let keeper = Command::new("sh")
        .args(["-c", KEEPER, "keeper"])
        .arg(&bin)
        .arg(&dir)
        .args(runner)
        .current_dir(&dir)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh runs");
    let began = Instant::now();
    loop {
        match connect(&dir).await {
            Ok(connection) => {
                make_tables(connection, &dir).await;
                return Cluster {
                    dir,
                    _keeper: keeper,
                };
            }
            Err(error) => {
                let log = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap_or_default();
                assert!(
                    began.elapsed() < DEADLINE,
                    "PostgreSQL does not come up: {error}\n{}\n{}",
                    log("initdb.log"),
                    log("server.log")
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn make_tables(mut admin: sqlx::PgConnection, dir: &Path) {
    let create = format!("CREATE DATABASE {TABLES}");
    sqlx::query(sqlx::AssertSqlSafe(create))
        .execute(&mut admin)
        .await
        .expect("a new database");
    admin.close().await.expect("a clean end");
    super::tables::made(&url(dir, TABLES)).await;
}

/// Folder of PostgreSQL's programs: Debian keeps them out of PATH.
fn programs() -> PathBuf {
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = debian
        .map(|d| d.path().join("bin"))
        .filter(|d| d.join("initdb").exists())
        .collect();
    found.sort();
    found
        .pop()
        .or_else(|| {
            std::env::split_paths(option_env!("PATH").unwrap_or_default())
                .find(|d| d.join("initdb").exists())
        })
        .expect("PostgreSQL's initdb is needed: apt-get install postgresql")
}
