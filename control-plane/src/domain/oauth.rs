//! OAuth 2 as RFC 6749 has it, narrowed to what RFC 9700 (current practice) leaves: codes with PKCE (RFC 7636, S256 only),
//! refresh tokens that rotate, client credentials, revocation (RFC 7009). No implicit flow, no passwords, no `plain`.
//!
//! Everything here is a function of its input; times are given in, secrets are compared as their SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::field::FieldError;
use super::key::{self, Scope, Scopes};

/// How long an authorization code can be exchanged, in milliseconds: a browser's redirect and one call.
pub const CODE_MS: i64 = 60_000;

/// How long an access token works, in milliseconds.
pub const ACCESS_MS: i64 = 3_600_000;

/// How long a refresh token works, in milliseconds; each exchange begins it anew.
pub const REFRESH_MS: i64 = 30 * 86_400_000;

/// What access tokens begin with: tells them from keys without a look into the database.
pub const ACCESS_MARK: &str = "sga_";

/// What refresh tokens begin with.
pub const REFRESH_MARK: &str = "sgr_";

/// What authorization codes begin with.
pub const CODE_MARK: &str = "sgc_";

/// What secrets of clients begin with.
pub const SECRET_MARK: &str = "sgs_";

/// Most redirect URIs of a client.
pub const MAX_REDIRECT_URIS: usize = 10;

/// Longest redirect URI, in bytes.
pub const MAX_REDIRECT_URI: usize = 2000;

/// Longest `state` that is carried through, in bytes: it comes back in a URL.
pub const MAX_STATE: usize = 2048;

/// Why a request fails, with the names of RFC 6749 §4.1.2.1 and §5.2.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// Malformed.
    #[error("{0}")]
    InvalidRequest(String),
    /// Unknown client or wrong secret.
    #[error("the client is not known or its secret is wrong")]
    InvalidClient,
    /// The code or refresh token.
    #[error("{0}")]
    InvalidGrant(&'static str),
    /// The client may not do this.
    #[error("{0}")]
    UnauthorizedClient(&'static str),
    /// Another grant type.
    #[error("grant_type must be authorization_code, refresh_token or client_credentials")]
    UnsupportedGrantType,
    /// Another response type.
    #[error("response_type must be code")]
    UnsupportedResponseType,
    /// Unknown scopes or more than allowed.
    #[error(
        "scope must be some of read and write, and no more than the client was registered with"
    )]
    InvalidScope,
    /// The user said no.
    #[error("the user did not allow it")]
    AccessDenied,
    /// Ours.
    #[error("internal error")]
    Server(#[from] anyhow::Error),
}

impl From<sqlx::Error> for OAuthError {
    fn from(error: sqlx::Error) -> Self {
        Self::Server(anyhow::Error::new(error).context("the link database failed"))
    }
}

impl OAuthError {
    /// The value of `error`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant(_) => "invalid_grant",
            Self::UnauthorizedClient(_) => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::AccessDenied => "access_denied",
            Self::Server(_) => "server_error",
        }
    }
}

/// What apps can be given. Never keys or administration, see [`super::role`].
const SCOPES: [Scope; 2] = [Scope::Read, Scope::Write];

/// Scopes of a client's registration; both when none are named.
///
/// # Errors
/// Others than apps can be given.
pub fn client_scopes(names: Option<&[String]>) -> Result<Scopes, FieldError> {
    let wrong = || FieldError::new("scopes", "must be a list of read and write");
    let Some(names) = names else {
        return Ok(Scopes::all().only(&SCOPES));
    };
    Scopes::parse(names.iter().map(String::as_str))
        .ok()
        .filter(|scopes| Scopes::all().only(&SCOPES).cover(scopes))
        .ok_or_else(wrong)
}

/// Scopes of a request (names with spaces), within `most`; all of `most` when none are named.
///
/// # Errors
/// Unknown ones, or more than `most`.
pub fn requested_scopes(text: Option<&str>, most: &Scopes) -> Result<Scopes, OAuthError> {
    let Some(text) = text.filter(|t| !t.trim().is_empty()) else {
        return Ok(most.clone());
    };
    let scopes =
        Scopes::parse(text.split_ascii_whitespace()).map_err(|_| OAuthError::InvalidScope)?;
    if most.cover(&scopes) {
        Ok(scopes)
    } else {
        Err(OAuthError::InvalidScope)
    }
}

/// Takes a redirect URI for registration: https, http on loopback, or an app's own scheme, which must hold a dot (RFC 8252
/// §7.1, which keeps `javascript:` and its kind out). It is stored and later compared byte by byte.
///
/// # Errors
/// A rule it breaks.
pub fn redirect_uri(text: &str) -> Result<String, FieldError> {
    let fail = |problem: &str| Err(FieldError::new("redirect_uris", problem));
    let text = text.trim();
    if text.len() > MAX_REDIRECT_URI {
        return fail("must each be at most 2000 bytes long");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['"', '<', '>', '\\', '\'']) {
        return fail("must hold nothing but legal URI characters");
    }
    let Ok(url) = Url::parse(text) else {
        return fail("must be whole URIs, e.g. https://app.example/callback");
    };
    if text.contains('#') {
        return fail("must hold no fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return fail("must hold no user");
    }
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let allowed = match url.scheme() {
        "https" => url.has_host(),
        "http" => loopback,
        scheme => scheme.contains('.'),
    };
    if !allowed {
        return fail(
            "must begin with https://, http:// and a loopback address, or an app's own scheme with a dot in it",
        );
    }
    Ok(text.to_owned())
}

/// Origin of a redirect URI for a content security policy: scheme, host and port, or the app's scheme alone.
pub fn origin_of(redirect_uri: &str) -> String {
    match Url::parse(redirect_uri) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url.origin().ascii_serialization(),
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => String::new(),
    }
}

/// `redirect_uri` with more parameters in its query; what it has there stays as it is.
pub fn with_parameters(redirect_uri: &str, parameters: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    let joint = match redirect_uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{redirect_uri}{joint}{query}")
}

/// A PKCE challenge of method S256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge(String);

impl Challenge {
    /// From `code_challenge` and `code_challenge_method`. `None`: neither is there.
    ///
    /// # Errors
    /// Another method, `plain` included (which is what no method means); not the form of an S256 challenge.
    pub fn parse(
        challenge: Option<&str>,
        method: Option<&str>,
    ) -> Result<Option<Self>, OAuthError> {
        let fail = |text: &str| Err(OAuthError::InvalidRequest(text.to_owned()));
        let Some(challenge) = challenge else {
            return match method {
                None => Ok(None),
                Some(_) => fail("code_challenge is missing"),
            };
        };
        if method != Some("S256") {
            return fail("code_challenge_method must be S256");
        }
        let sound = URL_SAFE_NO_PAD
            .decode(challenge)
            .is_ok_and(|bytes| bytes.len() == 32);
        if !sound {
            return fail("code_challenge must be the base64url of a SHA-256, 43 characters");
        }
        Ok(Some(Self(challenge.to_owned())))
    }

    /// As the database holds it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `verifier` answers the stored `challenge`. A verifier without a challenge fails as well: somebody took the
/// challenge out of the request on its way (RFC 9700 §4.8.2).
pub fn verifier_fits(verifier: Option<&str>, challenge: Option<&str>) -> bool {
    let (verifier, challenge) = match (verifier, challenge) {
        (None, None) => return true,
        (Some(verifier), Some(challenge)) => (verifier, challenge),
        _ => return false,
    };
    let legal = (43..=128).contains(&verifier.len())
        && verifier
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    let answer = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    legal && key::same(answer.as_bytes(), challenge.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_uri(text: &str, allowed: bool) {
        let got = redirect_uri(text);
        assert_eq!(got.is_ok(), allowed, "{text}: {got:?}");
        if let Ok(kept) = got {
            assert_eq!(kept, text, "compared byte by byte later");
        }
    }

    #[test]
    fn redirect_uris_that_lead_elsewhere_are_refused() {
        check_uri("https://app.example/callback?x=1", true);
        check_uri("https://app.example:8443", true);
        check_uri("http://127.0.0.1:7777/cb", true);
        check_uri("http://[::1]/cb", true);
        check_uri("com.example.app:/oauth", true);
        check_uri("http://app.example/callback", false);
        check_uri("http://127.0.0.1.evil.test/", false);
        check_uri("https://app.example/#", false);
        check_uri("https://user@app.example/", false);
        check_uri("https://app.example\\@evil.test/", false);
        check_uri("javascript:alert(1)", false);
        check_uri("data:text/html,x", false);
        check_uri("/callback", false);
        check_uri("", false);
        check_uri("https://app.example/\r\nx", false);
        check_uri("https://app.example/é", false);
        check_uri(&format!("https://app.example/{}", "x".repeat(2000)), false);
    }

    #[test]
    fn parameters_join_the_query_that_is_there() {
        let join = |uri| with_parameters(uri, &[("code", "a&b"), ("state", "1 2")]);
        assert_eq!(
            join("https://a.test/cb"),
            "https://a.test/cb?code=a%26b&state=1+2"
        );
        assert_eq!(
            join("https://a.test/cb?x=1"),
            "https://a.test/cb?x=1&code=a%26b&state=1+2"
        );
        assert_eq!(join("com.a:/cb?"), "com.a:/cb?code=a%26b&state=1+2");
        assert_eq!(origin_of("https://a.test:8443/cb?x"), "https://a.test:8443");
        assert_eq!(origin_of("com.a:/cb"), "com.a:");
    }

    #[test]
    fn pkce_is_s256_or_nothing() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let parsed = Challenge::parse(Some(challenge), Some("S256")).expect("legal");
        assert_eq!(parsed.expect("there").as_str(), challenge);
        assert!(verifier_fits(Some(verifier), Some(challenge)));
        assert!(!verifier_fits(Some(challenge), Some(challenge)));
        assert!(!verifier_fits(None, Some(challenge)));
        assert!(!verifier_fits(Some(verifier), None));
        assert!(!verifier_fits(Some("short"), Some(challenge)));
        assert!(verifier_fits(None, None));
        for (challenge, method) in [
            (Some(verifier), Some("plain")),
            (Some(challenge), None),
            (Some("short"), Some("S256")),
            (None, Some("S256")),
            (Some(""), Some("S256")),
        ] {
            assert!(
                Challenge::parse(challenge, method).is_err(),
                "{challenge:?} {method:?}"
            );
        }
        assert_eq!(Challenge::parse(None, None).expect("legal"), None);
    }

    #[test]
    fn apps_get_no_keys_and_no_administration() {
        let both = client_scopes(None).expect("legal");
        assert_eq!(both.names(), ["read", "write"]);
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert!(client_scopes(Some(&list(&["read"]))).is_ok());
        assert!(client_scopes(Some(&list(&["read", "keys"]))).is_err());
        assert!(client_scopes(Some(&list(&["admin"]))).is_err());
        assert!(client_scopes(Some(&list(&["admin", "read"]))).is_err());
        let read = client_scopes(Some(&list(&["read"]))).expect("legal");
        assert_eq!(requested_scopes(Some(" "), &both).expect("all"), both);
        assert_eq!(requested_scopes(Some("read"), &both).expect("less"), read);
        for more in ["write", "admin", "keys", "read write", "everything"] {
            assert!(requested_scopes(Some(more), &read).is_err(), "{more}");
        }
    }
}
