//! What a query may say, decided before the engine sees it.
//!
//! The engine in a process of ours is `clickhouse-local`, made for a person at his own files: any query can read a file
//! with `file()`, write one with `INTO OUTFILE`, run the statements of a file with `\i`, or send several statements at
//! once. Three walls stand before that, and each is tested alone:
//! 1. here: the text is split as the engine splits it; statements, functions, table engines and settings that are not
//!    known to be harmless are refused;
//! 2. the engine's parser names the class of the statement (`Class`), and only reading or changing tables passes;
//! 3. the engine's rights (`engine::files`), which stop what reaches outside whatever the text looks like, with the
//!    exceptions named there.
//!
//! Deliberately not here: whether a query is correct. What passes and is nonsense gets the engine's own error.

use std::collections::HashSet;

use crate::engine::Params;
use crate::error::{Exception, Kind as ErrorKind};
use crate::users::Role;

mod lists;
pub(crate) mod settings;
mod statement;
mod token;

use lists::{HARMLESS_TABLE_FUNCTIONS, REACHING_FUNCTIONS, REACHING_TABLE_FUNCTIONS};
use statement::Statement;
use token::{Kind, Lexer, Token};

/// Largest text of a query, in bytes; the engine's own `max_query_size`. Data of an INSERT does not count.
pub(crate) const MAX_QUERY_BYTES: usize = 256 << 10;

/// Why a query was turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    kind: ErrorKind,
    /// Label of the counter.
    pub(crate) reason: &'static str,
    message: String,
}

impl Refusal {
    fn syntax(message: impl std::fmt::Display) -> Self {
        Self {
            kind: ErrorKind::SyntaxError,
            reason: "syntax",
            message: format!("Syntax error: {message}"),
        }
    }

    fn denied(reason: &'static str, message: impl std::fmt::Display) -> Self {
        Self {
            kind: ErrorKind::AccessDenied,
            reason,
            message: message.to_string(),
        }
    }

    fn readonly(user: &str) -> Self {
        Self {
            kind: ErrorKind::Readonly,
            reason: "readonly",
            message: format!("{user}: Cannot execute query in readonly mode"),
        }
    }
}

impl From<Refusal> for Exception {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind, refusal.message)
    }
}

/// Settings that give a streamed result's pieces a beginning or an end of their own, or a header that cannot be read.
pub(crate) const ONE_DOCUMENT_SETTINGS: [&str; 3] = [
    "extremes",
    "output_format_json_array_of_rows",
    "format_csv_delimiter",
];

/// Whether a result can be streamed, as far as the query's text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The format decides: it is known for certain.
    ByFormat,
    /// In one: the format is unclear, or something follows the rows.
    Whole,
}

/// How a query is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// A SELECT.
    Rows {
        /// Format named in the query.
        format: Option<String>,
        delivery: Delivery,
    },
    /// A statement with a small result or none.
    Plain {
        /// Format named in the query.
        format: Option<String>,
        /// Label of the query counter.
        kind: &'static str,
    },
    /// An INSERT with data.
    Insert {
        /// Where the statement without FORMAT clause ends, in bytes.
        sql_end: usize,
        /// The format, if the statement names one (`VALUES` does).
        format: Option<String>,
        /// Where data begins, in bytes.
        data_at: usize,
    },
}

impl Plan {
    /// Label of the query counter.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Rows { .. } => "select",
            Self::Insert { .. } => "insert",
            Self::Plain { kind, .. } => kind,
        }
    }
}

/// The rules, with the engine's own table functions in them.
#[derive(Debug)]
pub(crate) struct Policy {
    refused_functions: HashSet<String>,
}

/// Who asks, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) role: Role,
    /// Reading only, whoever asks (a GET, or the read-only user).
    pub(crate) read_only: bool,
    pub(crate) params: &'a Params,
}

impl Policy {
    /// `table_functions`: lower case, from the running engine.
    pub(crate) fn new(table_functions: &[String]) -> Self {
        let own = REACHING_TABLE_FUNCTIONS
            .iter()
            .chain(&REACHING_FUNCTIONS)
            .map(|n| (*n).to_owned());
        let refused_functions = table_functions
            .iter()
            .filter(|name| !HARMLESS_TABLE_FUNCTIONS.contains(&name.as_str()))
            .cloned()
            .chain(own)
            .collect();
        Self { refused_functions }
    }

    /// Decides on a text and says how to run it. `text` may go on with an INSERT's data, which is not looked at.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn plan(&self, text: &[u8], asker: Asker<'_>) -> Result<Plan, Refusal> {
        let mut lexer = Lexer::new(text);
        let Some(first) = lexer.next_token()? else {
            return Err(Refusal::syntax("Empty query"));
        };
        if first.is(text, "INSERT") {
            if asker.read_only {
                return Err(Refusal::readonly(asker.role.name()));
            }
            return self.insert(text, lexer, first, asker);
        }
        let mut tokens = vec![first];
        while let Some(token) = lexer.next_token()? {
            tokens.push(token);
        }
        let statement = Statement {
            text,
            tokens: &tokens,
        };
        let kind = statement.kind(asker)?;
        self.check(&statement, asker)?;
        let (format, delivery) = statement.format();
        Ok(if kind == "select" {
            Plan::Rows { format, delivery }
        } else {
            Plan::Plain { format, kind }
        })
    }

    /// INSERT: tokens up to where data begins, or all of it for INSERT … SELECT.
    fn insert(
        &self,
        text: &[u8],
        mut lexer: Lexer<'_>,
        first: Token,
        asker: Asker<'_>,
    ) -> Result<Plan, Refusal> {
        let mut tokens = vec![first];
        let mut depth = 0_usize;
        let mut select = false;
        let mut plan = None;
        while let Some(token) = lexer.next_token()? {
            let index = tokens.len();
            tokens.push(token);
            match token.kind {
                Kind::Symbol(b'(' | b'[' | b'{') => depth += 1,
                Kind::Symbol(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            if token.is(text, "SELECT") || token.is(text, "WITH") {
                select = true;
            }
            // The table's own name may be any word: INSERT INTO [TABLE] name is at least three tokens.
            let named =
                index >= 3 || (index == 2 && !tokens.get(1).is_some_and(|t| t.is(text, "INTO")));
            if depth > 0 || select || !named {
                continue;
            }
            if token.is(text, "FUNCTION") {
                return Err(Refusal::denied(
                    "function",
                    "INSERT INTO FUNCTION is not allowed",
                ));
            }
            if token.is(text, "VALUES") {
                plan = Some(Plan::Insert {
                    sql_end: token.start,
                    format: Some("Values".to_owned()),
                    data_at: token.end,
                });
                break;
            }
            if token.is(text, "FORMAT")
                && !tokens
                    .get(index - 1)
                    .is_some_and(|t| t.kind == Kind::Symbol(b'.'))
            {
                let Some(format) = lexer.next_token()?.filter(|t| t.kind == Kind::Word) else {
                    return Err(Refusal::syntax("a format's name must follow FORMAT"));
                };
                plan = Some(Plan::Insert {
                    sql_end: token.start,
                    format: Some(
                        String::from_utf8_lossy(&text[format.start..format.end]).into_owned(),
                    ),
                    data_at: data_start(text, format.end)?,
                });
                break;
            }
        }
        let statement = Statement {
            text,
            tokens: &tokens,
        };
        if statement.words(1, &["INTO", "FUNCTION"])
            || statement.words(1, &["INTO", "TABLE", "FUNCTION"])
        {
            return Err(Refusal::denied(
                "function",
                "INSERT INTO FUNCTION is not allowed",
            ));
        }
        self.check(&statement, asker)?;
        Ok(match plan {
            Some(plan) => plan,
            None if select => Plan::Plain {
                format: None,
                kind: "insert",
            },
            None => Plan::Insert {
                sql_end: statement.end_without_semicolon(),
                format: None,
                data_at: text.len(),
            },
        })
    }

    /// The rules that hold in every statement.
    fn check(&self, statement: &Statement<'_>, asker: Asker<'_>) -> Result<(), Refusal> {
        let text = statement.text;
        let tokens = statement.tokens;
        let changes_tables = statement.words(0, &["CREATE"]) || statement.words(0, &["ALTER"]);
        let mut depth = 0_usize;
        let mut selected = false;
        for (i, &token) in tokens.iter().enumerate() {
            let next = tokens.get(i + 1).copied();
            let before = i.checked_sub(1).and_then(|i| tokens.get(i)).copied();
            match token.kind {
                Kind::Symbol(b'(') => {
                    depth += 1;
                    if before.is_some_and(|t| t.kind == Kind::Symbol(b'}')) {
                        return Err(Refusal::denied(
                            "function",
                            "a function's name must not be a parameter",
                        ));
                    }
                }
                Kind::Symbol(b')') => depth = depth.saturating_sub(1),
                Kind::Symbol(b';') if next.is_some() => {
                    return Err(Refusal::syntax("Multi-statements are not allowed"));
                }
                Kind::Symbol(b'{') => statement.check_parameter(i, asker.params, self)?,
                _ => {}
            }
            // A file as a table: the engine's rights refuse to read it, but its error would tell whether it exists.
            let place = before.is_some_and(|t| {
                t.kind == Kind::Symbol(b'.')
                    || [
                        "FROM", "JOIN", "INTO", "TABLE", "EXISTS", "DESCRIBE", "DESC", "VIEW",
                    ]
                    .iter()
                    .any(|k| t.is(text, k))
            });
            let raw = text.get(token.start..token.end).unwrap_or_default();
            let path = match token.kind {
                Kind::Quoted => raw.get(1) == Some(&b'/') || raw.windows(3).any(|w| w == b"../"),
                _ => false,
            };
            let file =
                place && matches!(token.kind, Kind::Quoted | Kind::Text) && raw.contains(&b'/');
            if path || file {
                return Err(Refusal::denied("file", "a file is not a table here"));
            }
            let Some(name) = token.name(text) else {
                continue;
            };
            let called = next.is_some_and(|t| t.kind == Kind::Symbol(b'('));
            if REACHING_FUNCTIONS.contains(&name.as_str())
                || (called && self.refused_functions.contains(&name))
            {
                return Err(Refusal::denied(
                    "function",
                    format_args!("function {name} is not allowed"),
                ));
            }
            if called && name == "format" && !statement.is_scalar_format(i + 2) {
                return Err(Refusal::denied(
                    "function",
                    "table function format is not allowed",
                ));
            }
            if token.kind != Kind::Word {
                continue;
            }
            match name.as_str() {
                "outfile" | "infile" => {
                    return Err(Refusal::denied(
                        "file",
                        "INTO OUTFILE and FROM INFILE are not allowed",
                    ));
                }
                "parallel" if next.is_some_and(|t| t.is(text, "WITH")) => {
                    return Err(Refusal::syntax("Multi-statements are not allowed"));
                }
                "settings" | "setting" => statement.check_settings(i + 1, asker, changes_tables)?,
                "engine" if changes_tables && depth == 0 => {
                    statement.check_engine(i + 1, selected)?
                }
                "select" => selected = true,
                "definer" | "security" if changes_tables && depth == 0 => {
                    return Err(Refusal::denied(
                        "statement",
                        "SQL SECURITY and DEFINER are not allowed",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Where data begins behind a format's name: after the first line break, else after the blanks.
fn data_start(text: &[u8], mut at: usize) -> Result<usize, Refusal> {
    let peek = |at: usize| text.get(at).copied();
    while matches!(peek(at), Some(b' ' | b'\t' | 0x0c | 0x0b)) {
        at += 1;
    }
    if peek(at) == Some(b';') {
        // With data behind it, the semicolon would become part of the data; alone it is only a habit.
        return if text[at + 1..].iter().all(u8::is_ascii_whitespace) {
            Ok(text.len())
        } else {
            Err(Refusal::syntax("excessive ';' before the data to insert"))
        };
    }
    if peek(at) == Some(b'\r') {
        at += 1;
    }
    if peek(at) == Some(b'\n') {
        at += 1;
    }
    Ok(at)
}

impl Role {
    /// The user's name in error texts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Signpost => schemas::names::users::SIGNPOST,
            Self::Analyst => schemas::names::users::ANALYST,
        }
    }
}

/// Where words, names and strings lie, for comparison with the engine.
#[cfg(test)]
pub(crate) fn spans(text: &[u8]) -> Result<Vec<(usize, usize)>, Refusal> {
    let mut lexer = Lexer::new(text);
    let mut spans = Vec::new();
    while let Some(token) = lexer.next_token()? {
        if !matches!(token.kind, Kind::Symbol(_) | Kind::Number) {
            spans.push((token.start, token.end));
        }
    }
    Ok(spans)
}

#[cfg(test)]
mod tests;
