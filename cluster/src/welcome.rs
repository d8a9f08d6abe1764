//! What is printed when a cluster is ready: where things are, and three lines to try.

use std::fmt::Write as _;

use crate::cluster::{Cluster, KEY};
use crate::visitors::BROWSER;

impl Cluster {
    /// The welcome.
    ///
    /// # Errors
    /// There is no key.
    pub fn welcome(&self) -> anyhow::Result<String> {
        let (visitors, api) = (self.visitors, self.api);
        let folder = self.folder().display();
        let key = self.client()?.key;
        let mut text = format!(
            "\nThe cluster is ready.\n\n  \
             visitors    http://{visitors}   (haproxy)\n  \
             API         http://{api}/api   (haproxy; OpenAPI: http://{api}/api/openapi.json)\n  \
             Kafka       {}\n  \
             PostgreSQL  {}\n  \
             ClickHouse  http://{}/   (user analyst, password in {folder}/clickhouse-1/clickhouse.analyst-password)\n",
            self.kafka.bootstrap,
            self.database(),
            self.clickhouse()?.addr,
        );
        for process in &self.processes {
            let admin = process.environment().get("SIGNPOST_ADMIN_ADDR");
            writeln!(
                text,
                "  {:<15} process {}, http://{}/ready   /metrics",
                process.name(),
                process.pid().unwrap_or(0),
                admin.map_or("", String::as_str)
            )?;
        }
        let auth = format!("-H \"Authorization: Bearer $(cat '{folder}/{KEY}')\"");
        write!(
            text,
            "  data, logs  {folder} (gone when it ends)\n  API key     {key}\n\n\
             Make a link, follow it as a browser would (curl itself counts as a bot), read its stats:\n\n  \
             curl -sS http://{api}/api/url/add {auth} -H 'Content-Type: application/json' -d '{{\"url\":\"https://example.com/\",\"custom\":\"hello\"}}'\n  \
             curl -sSi http://{visitors}/hello -A '{BROWSER}'\n  \
             curl -sS 'http://{api}/api/urls?short=http://{visitors}/hello' {auth}\n\n\
             Ctrl-C stops everything.\n"
        )?;
        Ok(text)
    }
}
