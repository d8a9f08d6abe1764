//! What `up` prints on standard output when everything is ready: where things are, and three lines to try.

use std::io::Write as _;

use super::plan::Plan;

/// A user agent that counts as a person's.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Prints the welcome.
pub(super) fn print(plan: &Plan, first_start: bool) -> anyhow::Result<()> {
    let key_file = plan.admin_key_file();
    let key = if first_start {
        std::fs::read_to_string(&key_file)
            .ok()
            .map(|key| key.trim().to_owned())
    } else {
        None
    };
    let mut out = std::io::stdout().lock();
    out.write_all(welcome(plan, key.as_deref()).as_bytes())?;
    out.flush()?;
    Ok(())
}

fn welcome(plan: &Plan, key: Option<&str>) -> String {
    let (api, public) = (plan.api_addr(), plan.public_url());
    let key_file = plan.admin_key_file();
    let key_file = key_file.display();
    let mut text = format!(
        "\nSignpost is ready.\n\n  \
         visitors    {public}\n  \
         API         http://{api}/api   (OpenAPI: http://{api}/api/openapi.json)\n  \
         admin       http://{}/ready   /live   /metrics\n",
        plan.admin_addr()
    );
    if let Some(addr) = plan.clickhouse_addr() {
        text += &format!(
            "  ClickHouse  http://{addr}/   (user analyst, password in {}/clickhouse.analyst-password)\n",
            plan.data_dir().display()
        );
    }
    text += &format!("  data        {}\n", plan.data_dir().display());
    match key {
        Some(key) => {
            text += &format!("  API key     {key}   (shown this once; kept in {key_file})\n")
        }
        None => text += &format!("  API key     in {key_file}\n"),
    }
    // A slug of its own for each start, so that the lines work every time they are pasted first.
    let slug = format!("hello-{}", std::process::id());
    let auth = format!("-H \"Authorization: Bearer $(cat '{key_file}')\"");
    text += &format!(
        "\nMake a link, follow it as a browser would (curl itself counts as a bot), read its stats:\n\n  \
         curl -sS http://{api}/api/url/add {auth} -H 'Content-Type: application/json' -d '{{\"url\":\"https://example.com/\",\"custom\":\"{slug}\"}}'\n  \
         curl -sSi {public}/{slug} -A '{BROWSER}'\n  \
         curl -sS '{api_urls}?short={public}/{slug}' {auth}\n\n\
         Ctrl-C stops everything.\n",
        api_urls = format_args!("http://{api}/api/urls"),
    );
    text
}
