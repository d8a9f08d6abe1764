//! The pages the proxy makes itself because they depend on the visit alone: social preview, app page, password form.
//!
//! Every value in them is escaped; none of them loads anything. The one script is the app page's, allowed by its hash.

use super::{escape_html, host_of};

/// Policy of the social preview: it is read by programs.
pub(crate) const PREVIEW_CSP: &str = "default-src 'none'; img-src http: https:";

/// Policy of the password form. No `form-action`: browsers hold the redirect behind a form to it as well.
pub(crate) const PASSWORD_CSP: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Policy of the app page. The hash is that of [`APP_SCRIPT`] (a test works it out).
pub(crate) const APP_CSP: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-XvJ2J5yP58p058asNAoyjHoLAKOAYmo1mjmpZ2fIZ5o='";

/// Tries the app, and goes on to the web after a moment when nothing has taken the visitor away.
pub(crate) const APP_SCRIPT: &str = "var a=document.getElementById('app').href,w=document.getElementById('web').href,t=setTimeout(function(){location.replace(w)},1500);document.addEventListener('visibilitychange',function(){if(document.hidden)clearTimeout(t)});location.href=a";

/// What a form's password field is called.
pub(crate) const PASSWORD_FIELD: &str = "password";

const STYLE: &str = "<style>body{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:20vh auto;padding:0 1em;color:#333}h1{font-size:1.5em}input,button{font:inherit;padding:.4em .6em}.no{color:#a00}</style>";

fn head(title: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(1500);
    out.extend_from_slice(b"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
    escape_html(title.as_bytes(), &mut out);
    out.extend_from_slice(b"</title>");
    out
}

fn meta(name: &str, property: &str, value: &[u8], out: &mut Vec<u8>) {
    if value.is_empty() {
        return;
    }
    out.extend_from_slice(format!("<meta {name}=\"{property}\" content=\"").as_bytes());
    escape_html(value, out);
    out.extend_from_slice(b"\">");
}

/// What an unfurler bot reads.
pub(crate) fn preview([title, description, image]: [&[u8]; 3]) -> Vec<u8> {
    let mut out = head(&String::from_utf8_lossy(title));
    meta("name", "description", description, &mut out);
    meta("property", "og:type", b"website", &mut out);
    meta("property", "og:title", title, &mut out);
    meta("property", "og:description", description, &mut out);
    meta("property", "og:image", image, &mut out);
    let card: &[u8] = if image.is_empty() {
        b"summary"
    } else {
        b"summary_large_image"
    };
    meta("name", "twitter:card", card, &mut out);
    meta("name", "twitter:title", title, &mut out);
    meta("name", "twitter:description", description, &mut out);
    meta("name", "twitter:image", image, &mut out);
    out.extend_from_slice(b"<main><h1>");
    escape_html(title, &mut out);
    out.extend_from_slice(b"</h1><p>");
    escape_html(description, &mut out);
    out.extend_from_slice(b"</p></main></html>\n");
    out
}

/// Whether a URL may be opened on a page: everything but what would run in it.
pub(crate) fn is_openable(url: &[u8]) -> bool {
    let scheme = url.split(|b| *b == b':').next().unwrap_or_default();
    !["javascript", "data", "vbscript", "blob", "file"]
        .iter()
        .any(|bad| scheme.eq_ignore_ascii_case(bad.as_bytes()))
}

/// Opens an app, with the web address as the way out.
pub(crate) fn app(url: &[u8], web: &[u8]) -> Vec<u8> {
    let mut out = head("Opening the app");
    out.extend_from_slice(STYLE.as_bytes());
    out.extend_from_slice(b"<noscript><meta http-equiv=\"refresh\" content=\"0;url=");
    escape_html(web, &mut out);
    out.extend_from_slice(b"\"></noscript><main><h1>Opening the app</h1><p><a id=\"app\" href=\"");
    escape_html(url, &mut out);
    out.extend_from_slice(b"\">Open the app</a> or <a id=\"web\" href=\"");
    escape_html(web, &mut out);
    out.extend_from_slice(b"\">go on to ");
    escape_html(host_of(web), &mut out);
    out.extend_from_slice(b"</a></p></main><script>");
    out.extend_from_slice(APP_SCRIPT.as_bytes());
    out.extend_from_slice(b"</script></html>\n");
    out
}

/// Asks for a link's password. `wrong`: what was given was not it.
pub(crate) fn password(wrong: Option<&str>) -> Vec<u8> {
    let mut out = head("Password needed");
    out.extend_from_slice(STYLE.as_bytes());
    out.extend_from_slice(b"<main><h1>This link needs a password</h1>");
    if let Some(why) = wrong {
        out.extend_from_slice(b"<p class=\"no\" role=\"alert\">");
        escape_html(why.as_bytes(), &mut out);
        out.extend_from_slice(b"</p>");
    }
    out.extend_from_slice(
        format!("<form method=\"post\"><label>Password <input type=\"password\" name=\"{PASSWORD_FIELD}\" autocomplete=\"off\" required autofocus></label> <button>Open</button></form></main></html>\n").as_bytes(),
    );
    out
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use sha2::Digest as _;

    use super::*;

    #[test]
    fn the_policy_allows_the_apps_script() {
        let hash = sha2::Sha256::digest(APP_SCRIPT);
        let hash = base64::engine::general_purpose::STANDARD.encode(hash);
        assert!(APP_CSP.contains(&format!("'sha256-{hash}'")), "{hash}");
    }

    #[test]
    fn what_owners_wrote_stays_text() {
        let html = String::from_utf8(preview([b"<b>\"T", b"'>", b"https://i/\""])).expect("text");
        assert!(
            !html.contains("<b>")
                && html.contains("&lt;b&gt;&quot;T")
                && html.contains("&#39;&gt;")
        );
        let html = String::from_utf8(app(b"x://\"><", b"https://b.test/\"")).expect("text");
        assert!(html.contains("href=\"x://&quot;&gt;&lt;\"") && html.contains("go on to b.test<"));
        for bad in [
            "javascript:alert(1)",
            "JavaScript:x",
            "data:text/html,x",
            "VBSCRIPT:",
        ] {
            assert!(!is_openable(bad.as_bytes()), "{bad}");
        }
        assert!(is_openable(b"myapp://x") && is_openable(b"https://a"));
    }
}
