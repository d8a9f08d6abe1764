//! The command line: subcommands, flags, help texts. Every flag is a setting with an environment variable of its own;
//! the flag wins.

use clap::{Args, Parser, Subcommand};

/// Reads the command line; prints help and ends the process where that was asked for.
pub(crate) fn parse() -> Cli {
    match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = match error.kind() {
                clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion => 0,
                _ => i32::from(crate::EXIT_USAGE),
            };
            // Nothing can be done if the terminal is gone.
            let _ = error.print();
            std::process::exit(code);
        }
    }
}

/// Self-hosted link platform: redirects from memory, counts every visit exactly once.
#[derive(Debug, Parser)]
#[command(name = "signpost", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

const EXAMPLES: &str = "\
Examples:
  signpost up                                  everything on this machine, data in ./data
  signpost up --data-dir /srv/signpost --proxy-addr 0.0.0.0:80 --public-url https://go.example
  SIGNPOST_FILES=s3://bucket signpost up       uploaded files in a bucket and not in ./data/uploads
  signpost key create --name ci                a new API key, printed once
  signpost audit                               do the books balance? exit status 1 when not
  signpost dead list                           records from Kafka that could not be stored
  signpost check                               are the settings right and the parts reachable?

Settings are environment variables (SIGNPOST_…), listed in README.md; a flag wins over its variable.
Exit status: 0 done, 1 failed, 64 wrong command line or settings.";

/// Settings that have a flag.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Where everything is kept [env: SIGNPOST_DATA_DIR] [default: ./data]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
    /// Address for visitors [env: SIGNPOST_PROXY_ADDR] [default: 127.0.0.1:8080]
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) proxy_addr: Option<String>,
    /// Address of the REST API [env: SIGNPOST_API_ADDR] [default: 127.0.0.1:8081]
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) api_addr: Option<String>,
    /// Address of /metrics, /live and /ready [env: SIGNPOST_ADMIN_ADDR] [default: 127.0.0.1:9090]
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) admin_addr: Option<String>,
    /// Where the embedded ClickHouse listens [env: SIGNPOST_CLICKHOUSE_ADDR] [default: 127.0.0.1:8123]
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) clickhouse_addr: Option<String>,
    /// The default short domain [env: SIGNPOST_PUBLIC_URL] [default: http://<proxy addr>]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) public_url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every role on this machine, supervised
    Up,
    /// Run the redirect proxy
    Proxy,
    /// Run the REST API and the feed
    ControlPlane,
    /// Run ingest: click log in, ClickHouse out
    Ingest,
    /// Run the embedded ClickHouse engine behind ClickHouse's HTTP interface
    Clickhouse,
    /// Make, list and revoke API keys
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Check the books of every stream: written = stored + in flight + dead letters + dropped
    Audit(AuditOptions),
    /// Check settings and whether every part can be reached
    Check,
    /// Bring clicks in from elsewhere
    Clicks {
        #[command(subcommand)]
        command: ClicksCommand,
    },
    /// Records from Kafka that could not be stored: list them, send them again
    Dead {
        #[command(subcommand)]
        command: DeadCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List them, one a line: origin, time, reason, bytes, click
    #[command(after_help = "\
Examples:
  signpost dead list                           all of them, columns separated by tabs
  signpost dead list | cut -f3 | sort | uniq -c
                                               how many for each reason
  signpost dead list --reason version --json   one JSON object a line, key and payload in hex

Reasons: undecodable, version, key, worker, position, time, link, field, conflict (the id of a stored click, another
content).")]
    List {
        #[command(flatten)]
        filter: DeadFilter,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Send them again, those that this version can read; each is stored once however often it is sent
    #[command(after_help = "\
Examples:
  signpost dead replay --dry-run               what would be sent
  signpost dead replay --reason version        after an upgrade that reads them
  signpost dead replay signpost.clicks.v1/3/1042
                                               one, by its origin

A letter that is sent is a click of a stream of its own; the books of the old stream keep it as a dead letter.
Exit status: 0 all were sent or left on purpose, 1 some cannot be stored by this version either.")]
    Replay {
        #[command(flatten)]
        filter: DeadFilter,
        /// Say what would be sent, and send nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DeadFilter {
    /// Only those that died for this reason
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Only these, by their origin (topic/partition/offset, as `list` prints it)
    #[arg(value_name = "ORIGIN")]
    pub(crate) origin: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key for the first workspace and print it, once
    Create {
        /// What the key is for
        #[arg(long)]
        name: String,
        /// When it stops working, e.g. 2027-01-31 or 2027-01-31T12:00:00Z; never when absent
        #[arg(long, value_name = "INSTANT")]
        expires_at: Option<String>,
        /// Calls a minute; 0: no limit; that of the plan when absent
        #[arg(long, value_name = "CALLS")]
        rate: Option<u32>,
    },
    /// List keys: id, prefix, name, state
    List,
    /// Revoke a key
    Revoke {
        /// Its id, from `signpost key list`
        id: i64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AuditOptions {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Rebuild roll-ups that disagree with the stored clicks
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClicksCommand {
    /// Bring in an access log in combined log format: visits to links that exist, with their original times
    #[command(
        after_help = "Example:\n  signpost clicks import access.log\n  zcat access.log.gz | signpost clicks import -"
    )]
    Import {
        /// The log; `-` reads standard input
        file: String,
        /// Host the log was written for; the default domain when absent
        #[arg(long)]
        host: Option<String>,
    },
}
