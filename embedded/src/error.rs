//! Errors as ClickHouse words them: `Code: 62. DB::Exception: …. (SYNTAX_ERROR)`, and the HTTP status each one travels with.
//!
//! The status follows from the error's *name* and not from its number, because the name is in the engine's text anyway
//! and numbers would be a second list to keep right.

use http::StatusCode;

/// What a client is told when its request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    /// ClickHouse's error number, sent as `X-ClickHouse-Exception-Code`.
    pub(crate) code: u32,
    /// The whole text, `Code: …` included, without a newline at the end.
    pub(crate) text: String,
}

/// An error that this server raises itself. The engine's own errors come as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadArguments,
    NotImplemented,
    SyntaxError,
    UnknownSetting,
    Readonly,
    TooManySimultaneousQueries,
    SocketTimeout,
    QueryIsTooLarge,
    SupportIsDisabled,
    QueryWasCancelled,
    AccessDenied,
    AuthenticationFailed,
    UnknownException,
}

impl Kind {
    /// Number and name in ClickHouse's `ErrorCodes.cpp`.
    fn parts(self) -> (u32, &'static str) {
        match self {
            Self::BadArguments => (36, "BAD_ARGUMENTS"),
            Self::NotImplemented => (48, "NOT_IMPLEMENTED"),
            Self::SyntaxError => (62, "SYNTAX_ERROR"),
            Self::UnknownSetting => (115, "UNKNOWN_SETTING"),
            Self::Readonly => (164, "READONLY"),
            Self::TooManySimultaneousQueries => (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
            Self::SocketTimeout => (209, "SOCKET_TIMEOUT"),
            Self::QueryIsTooLarge => (223, "QUERY_IS_TOO_LARGE"),
            Self::SupportIsDisabled => (344, "SUPPORT_IS_DISABLED"),
            Self::QueryWasCancelled => (394, "QUERY_WAS_CANCELLED"),
            Self::AccessDenied => (497, "ACCESS_DENIED"),
            Self::AuthenticationFailed => (516, "AUTHENTICATION_FAILED"),
            Self::UnknownException => (1002, "UNKNOWN_EXCEPTION"),
        }
    }
}

impl Exception {
    pub(crate) fn new(kind: Kind, message: impl std::fmt::Display) -> Self {
        let (code, name) = kind.parts();
        Self {
            code,
            text: format!("Code: {code}. DB::Exception: {message}. ({name})"),
        }
    }

    /// From the text the engine gives. A text without a number (the library's own complaints) becomes 1002.
    pub(crate) fn from_engine(text: &str) -> Self {
        let text = text.trim();
        let code = text
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(number, _)| number.parse().ok());
        match code {
            Some(code) => Self {
                code,
                text: text.to_owned(),
            },
            None => Self::new(Kind::UnknownException, text.trim_end_matches('.')),
        }
    }

    /// The text as it goes over the wire: with the engine's version, as ClickHouse ends its messages, and a newline.
    pub(crate) fn wire(&self, version: &str) -> String {
        if self.text.contains("(version ") {
            format!("{}\n", self.text)
        } else {
            format!("{} (version {version})\n", self.text)
        }
    }

    /// ClickHouse's mapping (its `exceptionCodeToHTTPStatus`), save that a server at its limit says 503 and not 500,
    /// so that clients and proxies know to come again.
    pub(crate) fn status(&self) -> StatusCode {
        match last_name(&self.text) {
            "REQUIRED_PASSWORD" => StatusCode::UNAUTHORIZED,
            "UNKNOWN_USER"
            | "WRONG_PASSWORD"
            | "AUTHENTICATION_FAILED"
            | "SET_NON_GRANTED_ROLE"
            | "ACCESS_DENIED" => StatusCode::FORBIDDEN,
            "BAD_ARGUMENTS"
            | "CANNOT_COMPILE_REGEXP"
            | "CANNOT_PARSE_TEXT"
            | "CANNOT_PARSE_ESCAPE_SEQUENCE"
            | "CANNOT_PARSE_QUOTED_STRING"
            | "CANNOT_PARSE_DATE"
            | "CANNOT_PARSE_DATETIME"
            | "CANNOT_PARSE_NUMBER"
            | "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING"
            | "CANNOT_PARSE_IPV4"
            | "CANNOT_PARSE_IPV6"
            | "CANNOT_PARSE_INPUT_ASSERTION_FAILED"
            | "CANNOT_PARSE_UUID"
            | "DUPLICATE_COLUMN"
            | "ILLEGAL_COLUMN"
            | "UNKNOWN_ELEMENT_IN_AST"
            | "UNKNOWN_TYPE_OF_AST_NODE"
            | "THERE_IS_NO_COLUMN"
            | "TOO_DEEP_AST"
            | "TOO_BIG_AST"
            | "UNEXPECTED_AST_STRUCTURE"
            | "SYNTAX_ERROR"
            | "INCORRECT_DATA"
            | "TYPE_MISMATCH"
            | "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE" => StatusCode::BAD_REQUEST,
            "UNKNOWN_TABLE"
            | "UNKNOWN_FUNCTION"
            | "UNKNOWN_IDENTIFIER"
            | "UNKNOWN_TYPE"
            | "UNKNOWN_STORAGE"
            | "UNKNOWN_DATABASE"
            | "UNKNOWN_SETTING"
            | "UNKNOWN_DIRECTION_OF_SORTING"
            | "UNKNOWN_AGGREGATE_FUNCTION"
            | "UNKNOWN_FORMAT"
            | "UNKNOWN_DATABASE_ENGINE"
            | "UNKNOWN_TYPE_OF_QUERY"
            | "UNKNOWN_ROLE" => StatusCode::NOT_FOUND,
            "QUERY_IS_TOO_LARGE" => StatusCode::PAYLOAD_TOO_LARGE,
            "NOT_IMPLEMENTED" => StatusCode::NOT_IMPLEMENTED,
            "SOCKET_TIMEOUT"
            | "CANNOT_OPEN_FILE"
            | "CANNOT_SCHEDULE_TASK"
            | "TOO_MANY_SIMULTANEOUS_QUERIES" => StatusCode::SERVICE_UNAVAILABLE,
            "TIMEOUT_EXCEEDED" => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The error's name: the last `(UPPER_CASE)` in the text. Earlier ones may be the user's data.
fn last_name(text: &str) -> &str {
    text.rmatch_indices('(')
        .filter_map(|(at, _)| text[at + 1..].split_once(')').map(|(name, _)| name))
        .find(|name| {
            name.len() > 2
                && name
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: u32, status: u16) {
        let e = Exception::from_engine(text);
        assert_eq!((e.code, e.status().as_u16()), (code, status), "{text}");
    }

    #[test]
    fn status_follows_the_last_name_in_the_text() {
        check(
            "Code: 62. DB::Exception: Syntax error: failed. (SYNTAX_ERROR)",
            62,
            400,
        );
        check(
            "Code: 60. DB::Exception: no (SYNTAX_ERROR). (UNKNOWN_TABLE) (version 26.7.2.1)",
            60,
            404,
        );
        check(
            "Code: 452. DB::Exception: Code: 452. DB::Exception: x. (SETTING_CONSTRAINT_VIOLATION) (version 1). (SETTING_CONSTRAINT_VIOLATION)",
            452,
            500,
        );
        check("Invalid or closed connection", 1002, 500);
        check("", 1002, 500);
        check("Code: x. (", 1002, 500);
    }

    #[test]
    fn own_errors_read_like_the_engines() {
        let e = Exception::new(Kind::TooManySimultaneousQueries, "too many, maximum: 8");
        assert_eq!(
            e.wire("26.7"),
            "Code: 202. DB::Exception: too many, maximum: 8. (TOO_MANY_SIMULTANEOUS_QUERIES) (version 26.7)\n"
        );
        assert_eq!(e.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
