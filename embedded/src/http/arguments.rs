//! Arguments of a request: from the URL, the headers and a form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use metrics::counter;
use percent_encoding::percent_decode_str;

use crate::error::{Exception, Kind};
use crate::metrics as m;
use crate::sql::settings::{MAX_VALUE_BYTES, query_setting};
use crate::users::Role;

/// Most parameters and settings of a request.
const MAX_ARGUMENTS: usize = 1000;

/// Taken and ignored: they ask for what this server does anyway or has no use for.
const IGNORED: [&str; 15] = [
    // Clients name a session without asking. Nothing that one would keep is allowed.
    "session_id",
    "session_timeout",
    "session_check",
    "buffer_size",
    "wait_end_of_query",
    "enable_http_compression",
    "http_zlib_compression_level",
    "http_write_exception_in_output_format",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "cancel_http_readonly_queries_on_client_close",
    "add_http_cors_header",
    "http_wait_end_of_query",
    "stacktrace",
    "quota_key",
];

/// What a request says besides its body.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// The query, or its first part.
    pub(super) query: String,
    pub(super) database: Option<String>,
    pub(super) format: Option<String>,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) query_id: Option<String>,
    /// Asked for reading only.
    pub(super) read_only: bool,
    /// Asked for ClickHouse's block compression, either way.
    pub(super) compressed: bool,
    pub(super) params: Vec<(String, String)>,
    /// Not yet checked.
    pub(super) settings: Vec<(String, String)>,
}

impl Arguments {
    pub(super) fn from_url(query: &str) -> Result<Self, Exception> {
        let mut arguments = Self::default();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            arguments.add(&decoded(name)?, decoded(value)?)?;
        }
        Ok(arguments)
    }

    /// One argument of the URL or field of a form.
    pub(super) fn add(&mut self, name: &str, value: String) -> Result<(), Exception> {
        if self.params.len() + self.settings.len() > MAX_ARGUMENTS {
            return Err(Exception::new(Kind::BadArguments, "too many arguments"));
        }
        match name {
            "query" => self.query.push_str(&value),
            "database" => self.database = Some(value).filter(|v| !v.is_empty()),
            "default_format" => self.format = Some(format(value)?),
            "user" => self.user = value,
            "password" => self.password = value,
            "query_id" => self.query_id = Some(value).filter(|v| !v.is_empty()),
            "readonly" => self.read_only |= value != "0",
            "compress" | "decompress" => self.compressed |= value != "0",
            "role" | "client_protocol_version" => {
                return Err(Exception::new(
                    Kind::SupportIsDisabled,
                    format_args!("argument {name} is not supported here"),
                ));
            }
            _ if IGNORED.contains(&name) => {}
            _ => {
                if let Some(param) = name.strip_prefix("param_") {
                    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                    if param.is_empty() || !param.bytes().all(plain) {
                        return Err(Exception::new(
                            Kind::BadArguments,
                            "a parameter's name is letters, digits and _",
                        ));
                    }
                    self.params.push((param.to_owned(), value));
                } else {
                    self.settings.push((name.to_owned(), value));
                }
            }
        }
        Ok(())
    }

    /// User and password (one way only, as ClickHouse asks), database and format.
    pub(super) fn add_headers(&mut self, headers: &HeaderMap) -> Result<(), Exception> {
        let text = |name: &str| {
            headers
                .get(name)
                .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
        };
        let basic = headers.get(AUTHORIZATION).map(|v| basic(v.as_bytes()));
        let (user, key) = (text("x-clickhouse-user"), text("x-clickhouse-key"));
        let own = user.is_some() || key.is_some();
        let url = !self.user.is_empty() || !self.password.is_empty();
        if usize::from(basic.is_some()) + usize::from(own) + usize::from(url) > 1 {
            return Err(Exception::new(
                Kind::AuthenticationFailed,
                "Invalid authentication: give user and password in one way only",
            ));
        }
        if let Some(basic) = basic {
            (self.user, self.password) = basic.ok_or_else(|| {
                Exception::new(
                    Kind::AuthenticationFailed,
                    "Invalid authentication: only Basic is supported",
                )
            })?;
        } else if own {
            self.user = user.unwrap_or_default();
            self.password = key.unwrap_or_default();
        }
        if self.user.is_empty() {
            self.user.push_str("default");
        }
        if let Some(database) = text("x-clickhouse-database").filter(|v| !v.is_empty()) {
            self.database.get_or_insert(database);
        }
        if let Some(value) = text("x-clickhouse-format") {
            let value = format(value)?;
            self.format.get_or_insert(value);
        }
        Ok(())
    }

    /// # Errors
    /// A setting that this user must not change.
    pub(super) fn check_settings(&self, role: Role) -> Result<(), Exception> {
        for (name, value) in &self.settings {
            if query_setting(name, Some(value), role == Role::Analyst) {
                continue;
            }
            counter!(m::REFUSED, "reason" => "setting").increment(1);
            let known = name.len() <= MAX_VALUE_BYTES
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            return Err(match (role, known) {
                (Role::Analyst, true) => Exception::new(
                    Kind::Readonly,
                    format_args!("Cannot modify '{name}' setting in readonly mode"),
                ),
                (_, true) => Exception::new(
                    Kind::UnknownSetting,
                    format_args!(
                        "Setting {name} is neither a parameter nor a setting that can be changed here, or its value is not one that is allowed"
                    ),
                ),
                (_, false) => Exception::new(
                    Kind::UnknownSetting,
                    "Setting with a name that no setting has",
                ),
            });
        }
        Ok(())
    }
}

fn format(value: String) -> Result<String, Exception> {
    if !value.is_empty()
        && value.len() <= 64
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_')
    {
        Ok(value)
    } else {
        Err(Exception::new(
            Kind::BadArguments,
            "a format's name is letters and digits",
        ))
    }
}

fn decoded(text: &str) -> Result<String, Exception> {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Exception::new(Kind::BadArguments, "an argument of the URL is not UTF-8"))
}

fn basic(value: &[u8]) -> Option<(String, String)> {
    let (scheme, token) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = String::from_utf8(BASE64.decode(token.trim_ascii()).ok()?).ok()?;
    pair.split_once(':')
        .map(|(u, p)| (u.to_owned(), p.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_arguments_are_sorted_out() {
        let a = Arguments::from_url(
            "query=SELECT+1%2C{x:String}&param_x=a%26b&database=d&default_format=CSV&max_threads=2&query_id=q1",
        )
        .expect("arguments");
        assert_eq!(a.query, "SELECT 1,{x:String}");
        assert_eq!(a.params, [("x".to_owned(), "a&b".to_owned())]);
        assert_eq!(a.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert_eq!(
            (a.database.as_deref(), a.format.as_deref()),
            (Some("d"), Some("CSV"))
        );
    }

    #[test]
    fn hostile_arguments_are_errors() {
        for url in [
            "query=%ff",
            "param_=1",
            "param_a%20b=1",
            "default_format=a%27",
            "role=x",
        ] {
            assert!(Arguments::from_url(url).is_err(), "{url}");
        }
        let a = Arguments::from_url("a%27b=1").expect("read");
        assert!(a.check_settings(Role::Signpost).is_err());
        let a = Arguments::from_url("max_memory_usage=1").expect("read");
        assert!(a.check_settings(Role::Signpost).is_ok());
        assert!(a.check_settings(Role::Analyst).is_err());
    }

    #[test]
    fn user_and_password_come_one_way_only() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(k, v)| {
                    (
                        http::HeaderName::from_static(k),
                        http::HeaderValue::from_static(v),
                    )
                })
                .collect::<HeaderMap>()
        };
        let mut a = Arguments::default();
        a.add_headers(&headers(&[("authorization", "Basic YTpiOmM=")]))
            .expect("basic");
        assert_eq!((a.user.as_str(), a.password.as_str()), ("a", "b:c"));
        let mut a = Arguments::from_url("user=x").expect("url");
        assert!(
            a.add_headers(&headers(&[("x-clickhouse-key", "k")]))
                .is_err()
        );
        let mut a = Arguments::default();
        assert!(
            a.add_headers(&headers(&[("authorization", "Bearer x")]))
                .is_err()
        );
        let mut a = Arguments::default();
        a.add_headers(&HeaderMap::new()).expect("none");
        assert_eq!(a.user, "default");
    }
}
