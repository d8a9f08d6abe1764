//! Where callers reach this API: what URLs in answers begin with.

use http::HeaderMap;
use http::header::HOST;

use crate::app::App;

/// Scheme, host and port, without a slash at the end: the setting, else the caller's `Host` if that is one.
pub(crate) fn own_url(app: &App, headers: &HeaderMap) -> String {
    if let Some(url) = &app.config.api_url {
        return url.as_str().trim_end_matches('/').to_owned();
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    match host.filter(|host| schemas::host::Host::parse(host).is_ok()) {
        Some(host) => format!("http://{host}"),
        None => format!("http://{}", app.config.api_addr),
    }
}
