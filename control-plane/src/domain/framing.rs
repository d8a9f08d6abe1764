//! Whether a destination lets itself be framed by our pages, from the headers of its answer. Who asks for them is not
//! known here (`looks`): [`super::page::PageSpec::without_frame`] is what to do when it does not.

/// Whether a page with these headers may be shown in a frame of another site: values of each `X-Frame-Options` and each
/// `Content-Security-Policy` header. Where both speak, browsers follow `frame-ancestors`; so does this.
pub fn allowed<'a>(
    x_frame_options: impl IntoIterator<Item = &'a str>,
    policies: impl IntoIterator<Item = &'a str>,
) -> bool {
    let mut spoke = false;
    // A header may hold several policies; each must agree.
    for policy in policies.into_iter().flat_map(|header| header.split(',')) {
        let directive = policy.split(';').find_map(|directive| {
            let (name, sources) = directive
                .trim()
                .split_once(|c: char| c.is_ascii_whitespace())
                .unwrap_or((directive.trim(), ""));
            name.eq_ignore_ascii_case("frame-ancestors")
                .then_some(sources)
        });
        let Some(sources) = directive else {
            continue;
        };
        spoke = true;
        // Our short domains are in nobody's list: only a wildcard or a bare scheme lets us in.
        let open = sources.split_ascii_whitespace().any(|source| {
            matches!(
                source.to_ascii_lowercase().as_str(),
                "*" | "https:" | "http:"
            )
        });
        if !open {
            return false;
        }
    }
    if spoke {
        return true;
    }
    let mut values = x_frame_options
        .into_iter()
        .flat_map(|header| header.split(','))
        .map(|value| value.trim().to_ascii_lowercase());
    // ALLOW-FROM and unknown words are ignored by browsers; conflicting ones forbid, and so does this.
    !values.any(|value| matches!(value.as_str(), "deny" | "sameorigin"))
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[track_caller]
    fn check(x_frame_options: &[&str], policies: &[&str], expected: bool) {
        let got = allowed(x_frame_options.iter().copied(), policies.iter().copied());
        assert_eq!(got, expected, "{x_frame_options:?} {policies:?}");
    }

    #[test]
    fn both_headers_are_read_as_browsers_read_them() {
        check(&[], &[], true);
        check(&["DENY"], &[], false);
        check(&[" SameOrigin "], &[], false);
        check(&["ALLOW-FROM https://a.test"], &[], true);
        check(&["ALLOWALL, deny"], &[], false);
        check(&["DENY"], &["default-src 'self'"], false);
        check(&["DENY"], &["frame-ancestors *"], true);
        check(&[], &["default-src 'none'; Frame-Ancestors 'none'"], false);
        check(&[], &["frame-ancestors 'self' https://a.test"], false);
        check(&[], &["frame-ancestors"], false);
        check(&[], &["frame-ancestors https:"], true);
        check(&[], &["frame-ancestors *", "frame-ancestors 'self'"], false);
        check(&[], &["frame-ancestors *, frame-ancestors 'none'"], false);
        check(&[], &["x-frame-ancestors 'none'", ";;;", "\u{e9}"], true);
    }
}
