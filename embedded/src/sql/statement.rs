//! One statement, split into tokens, and the questions that the rules ask of it.

use super::lists::TABLE_ENGINES;
use super::token::{Kind, Token};
use super::{Asker, Delivery, ONE_DOCUMENT_SETTINGS, Policy, Refusal, settings};
use crate::engine::Params;
use crate::users::Role;

/// Tokens in the value of a setting. Bounds the work on a text that is nothing but SETTINGS.
const MAX_SETTING_TOKENS: usize = 16;

/// One statement, split.
pub(super) struct Statement<'a> {
    pub(super) text: &'a [u8],
    pub(super) tokens: &'a [Token],
}

impl Statement<'_> {
    pub(super) fn words(&self, from: usize, keywords: &[&str]) -> bool {
        keywords.iter().enumerate().all(|(i, k)| {
            self.tokens
                .get(from + i)
                .is_some_and(|t| t.is(self.text, k))
        })
    }

    pub(super) fn end_without_semicolon(&self) -> usize {
        self.tokens
            .iter()
            .rev()
            .find(|t| t.kind != Kind::Symbol(b';'))
            .map_or(0, |t| t.end)
    }

    /// Label of the statement, if it is one of the allowed.
    pub(super) fn kind(&self, asker: Asker<'_>) -> Result<&'static str, Refusal> {
        let first = self.tokens.first().copied();
        let starts = |k: &str| self.words(0, &[k]);
        let bracket = first.is_some_and(|t| t.kind == Kind::Symbol(b'('));
        if bracket || ["SELECT", "WITH", "FROM"].iter().any(|k| starts(k)) {
            return Ok("select");
        }
        if ["SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN"]
            .iter()
            .any(|k| starts(k))
        {
            return Ok("show");
        }
        let known = [
            "CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "EXCHANGE", "OPTIMIZE", "DELETE",
            "UPDATE", "CHECK",
        ];
        if !known.iter().any(|k| starts(k)) {
            let word = first
                .and_then(|t| t.name(self.text))
                .unwrap_or_default()
                .to_ascii_uppercase();
            return Err(match word.as_str() {
                "SET" | "USE" => Refusal::denied(
                    "statement",
                    format_args!(
                        "{word} is not allowed: there are no sessions, give settings and database with the request"
                    ),
                ),
                "ATTACH" | "DETACH" | "SYSTEM" | "BACKUP" | "RESTORE" | "KILL" | "GRANT"
                | "REVOKE" | "MOVE" | "UNDROP" | "EXECUTE" | "BEGIN" | "COMMIT" | "ROLLBACK"
                | "WATCH" | "IMPORT" => {
                    Refusal::denied("statement", format_args!("{word} is not allowed"))
                }
                _ => Refusal::syntax(
                    "failed at position 1: expected one of: SELECT, WITH, FROM, SHOW, DESCRIBE, EXISTS, EXPLAIN, INSERT, CREATE, ALTER, DROP, TRUNCATE, RENAME, EXCHANGE, OPTIMIZE, DELETE, UPDATE, CHECK",
                ),
            });
        }
        if asker.read_only {
            return Err(Refusal::readonly(asker.role.name()));
        }
        self.check_definition()?;
        Ok(if starts("CHECK") { "show" } else { "ddl" })
    }

    /// What is made, changed or dropped: tables, views, databases.
    pub(super) fn check_definition(&self) -> Result<(), Refusal> {
        let verb = self
            .tokens
            .first()
            .and_then(|t| t.name(self.text))
            .unwrap_or_default();
        let mut at = 1;
        if verb == "create" && self.words(1, &["OR", "REPLACE"]) {
            at = 3;
        }
        let is = |keywords: &[&str]| self.words(at, keywords);
        let allowed = match verb.as_str() {
            "create" | "drop" => {
                is(&["TABLE"])
                    || is(&["VIEW"])
                    || is(&["DATABASE"])
                    || is(&["MATERIALIZED", "VIEW"])
            }
            "alter" => is(&["TABLE"]),
            "rename" => is(&["TABLE"]) || is(&["DATABASE"]),
            "exchange" => is(&["TABLES"]),
            "optimize" | "check" => is(&["TABLE"]),
            "delete" => is(&["FROM"]),
            // TRUNCATE [TABLE] t, UPDATE t SET …: a name follows.
            "truncate" => !is(&["DATABASE"]) && !is(&["ALL"]) && !is(&["TABLES"]),
            "update" => true,
            _ => false,
        };
        if !allowed {
            return Err(Refusal::denied(
                "statement",
                format_args!(
                    "{} of this kind of object is not allowed",
                    verb.to_ascii_uppercase()
                ),
            ));
        }
        if verb == "alter" {
            let outside = [
                "FETCH", "FREEZE", "UNFREEZE", "EXPORT", "DISK", "VOLUME", "SHARD",
            ];
            let mut depth = 0_usize;
            for token in self.tokens {
                match token.kind {
                    Kind::Symbol(b'(') => depth += 1,
                    Kind::Symbol(b')') => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth == 0 && outside.iter().any(|k| token.is(self.text, k)) {
                    return Err(Refusal::denied(
                        "statement",
                        "ALTER must not reach outside the table",
                    ));
                }
            }
        }
        Ok(())
    }

    /// `ENGINE [=] name`, at `at`, or a column of that name (behind a SELECT it mostly is one).
    pub(super) fn check_engine(&self, at: usize, selected: bool) -> Result<(), Refusal> {
        /// What may follow a column called `engine` in a definition.
        const CLAUSES: [&str; 10] = [
            "settings",
            "ttl",
            "primary",
            "partition",
            "order",
            "sample",
            "comment",
            "as",
            "asc",
            "desc",
        ];
        let equals = self
            .tokens
            .get(at)
            .is_some_and(|t| t.kind == Kind::Symbol(b'='));
        let value = self.tokens.get(at + usize::from(equals));
        let name = value.and_then(|t| t.name(self.text));
        let column = match (&name, equals) {
            (Some(name), false) => selected || CLAUSES.contains(&name.as_str()),
            (None, false) => value.is_none_or(|t| t.kind != Kind::Symbol(b'{')),
            (None, true) => selected,
            (Some(_), true) => false,
        };
        let name = name.unwrap_or_default();
        let database = self.words(0, &["CREATE", "DATABASE"]);
        if column
            || (database && name == "atomic")
            || (!database && TABLE_ENGINES.contains(&name.as_str()))
        {
            Ok(())
        } else {
            Err(Refusal::denied(
                "engine",
                format_args!("engine {name} is not allowed"),
            ))
        }
    }

    /// `name = value, name = value …` at `at`, if that is what stands there.
    pub(super) fn check_settings(
        &self,
        mut at: usize,
        asker: Asker<'_>,
        changes_tables: bool,
    ) -> Result<(), Refusal> {
        loop {
            let mut name = String::new();
            // Names may have several parts; then they are in no list.
            while let Some(part) = self.tokens.get(at).and_then(|t| t.name(self.text)) {
                name.push_str(&part);
                at += 1;
                if !self
                    .tokens
                    .get(at)
                    .is_some_and(|t| t.kind == Kind::Symbol(b'.'))
                {
                    break;
                }
                name.push('.');
                at += 1;
            }
            if name.is_empty()
                || !self
                    .tokens
                    .get(at)
                    .is_some_and(|t| t.kind == Kind::Symbol(b'='))
            {
                return Ok(());
            }
            // The value's text counts for strings and names; the engine checks numbers.
            let value = self.tokens.get(at + 1).map(|t| {
                String::from_utf8_lossy(&self.text[t.start..t.end])
                    .trim_matches('\'')
                    .to_owned()
            });
            let allowed =
                settings::query_setting(&name, value.as_deref(), asker.role == Role::Analyst)
                    || (changes_tables && settings::table_setting(&name));
            if !allowed {
                return Err(Refusal::denied(
                    "setting",
                    format_args!("setting {name} must not be changed"),
                ));
            }
            let mut depth = 0_usize;
            for length in 0.. {
                at += 1;
                if length > MAX_SETTING_TOKENS {
                    return Err(Refusal::syntax(format_args!(
                        "the value of setting {name} is too long"
                    )));
                }
                match self.tokens.get(at).map(|t| t.kind) {
                    None => return Ok(()),
                    Some(Kind::Symbol(b'(' | b'[' | b'{')) => depth += 1,
                    Some(Kind::Symbol(b')' | b']' | b'}')) if depth == 0 => return Ok(()),
                    Some(Kind::Symbol(b')' | b']' | b'}')) => depth -= 1,
                    Some(Kind::Symbol(b',')) if depth == 0 => break,
                    Some(_) => {}
                }
            }
            at += 1;
        }
    }

    /// `{name:Identifier}` at `at`: the value becomes code, so it must be a plain name, and not a refused one.
    pub(super) fn check_parameter(
        &self,
        at: usize,
        params: &Params,
        policy: &Policy,
    ) -> Result<(), Refusal> {
        let raw = |i: usize| {
            self.tokens
                .get(i)
                .map(|t| String::from_utf8_lossy(&self.text[t.start..t.end]).into_owned())
        };
        let colon = self
            .tokens
            .get(at + 2)
            .is_some_and(|t| t.kind == Kind::Symbol(b':'));
        let identifier = self
            .tokens
            .get(at + 3)
            .is_some_and(|t| t.is(self.text, "IDENTIFIER"));
        if !colon || !identifier {
            return Ok(());
        }
        let name = raw(at + 1).unwrap_or_default();
        for (_, value) in params.iter().filter(|(n, _)| *n == name) {
            let plain = value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let lower = value.to_ascii_lowercase();
            if !plain || policy.refused_functions.contains(&lower) {
                return Err(Refusal::denied(
                    "function",
                    format_args!("parameter {name} must be a plain name of letters, digits and _"),
                ));
            }
        }
        Ok(())
    }

    /// Whether the arguments at `at` are the scalar function's: a pattern with braces, which no format's name has.
    pub(super) fn is_scalar_format(&self, at: usize) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|t| t.kind == Kind::Text && self.text[t.start..t.end].contains(&b'{'))
    }

    /// The format that the FORMAT clause names (at the end or before SETTINGS), and whether that is certain.
    ///
    /// `format` may also be a function's, a column's or an alias' name. It can only be the clause if a name follows it and
    /// then nothing but SETTINGS; where that is so and still something is odd, the answer is a guess and says so.
    pub(super) fn format(&self) -> (Option<String>, Delivery) {
        let kind = |i: usize| self.tokens.get(i).map(|t| t.kind);
        let mut depth = 0_usize;
        let mut clauses = 0_usize;
        let mut found = None;
        let mut delivery = if self.one_document() {
            Delivery::Whole
        } else {
            Delivery::ByFormat
        };
        for (i, token) in self.tokens.iter().enumerate() {
            match token.kind {
                Kind::Symbol(b'(' | b'[' | b'{') => depth += 1,
                Kind::Symbol(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
                Kind::Word if token.is(self.text, "FORMAT") => {
                    if kind(i + 1) == Some(Kind::Symbol(b'{')) {
                        delivery = Delivery::Whole;
                    }
                    let last = kind(i + 2).is_none_or(|k| k == Kind::Symbol(b';'))
                        || self.words(i + 2, &["SETTINGS"]);
                    let Some(name) = self
                        .tokens
                        .get(i + 1)
                        .filter(|t| last && matches!(t.kind, Kind::Word | Kind::Quoted))
                    else {
                        continue;
                    };
                    clauses += 1;
                    if depth > 0
                        || clauses > 1
                        || name.kind == Kind::Quoted
                        || self.wants_operand(i)
                    {
                        delivery = Delivery::Whole;
                    }
                    if depth == 0 && !self.wants_operand(i) {
                        found = Some(
                            String::from_utf8_lossy(&self.text[name.start..name.end])
                                .trim_matches(['`', '"'])
                                .to_owned(),
                        );
                    }
                }
                _ => {}
            }
        }
        (found, delivery)
    }

    /// Whether what stands before `at` is incomplete without it, so that a word there is a name and no clause.
    fn wants_operand(&self, at: usize) -> bool {
        /// Words that are followed by an expression or a name.
        const BEFORE_OPERANDS: [&str; 15] = [
            "SELECT", "DISTINCT", "WITH", "FROM", "JOIN", "WHERE", "PREWHERE", "HAVING", "BY",
            "AND", "OR", "NOT", "IN", "AS", "LIKE",
        ];
        let Some(before) = at.checked_sub(1).and_then(|i| self.tokens.get(i)) else {
            return true;
        };
        match before.kind {
            // A star may be all columns.
            Kind::Symbol(symbol) => !matches!(symbol, b')' | b']' | b'}' | b'*'),
            Kind::Word => BEFORE_OPERANDS.iter().any(|k| before.is(self.text, k)),
            Kind::Quoted | Kind::Text | Kind::Number => false,
        }
    }

    /// Whether the text asks for what only a result made in one has: totals or extremes behind the rows, brackets around
    /// them. A column of such a name is taken for it too.
    fn one_document(&self) -> bool {
        self.tokens.iter().enumerate().any(|(i, token)| {
            self.words(i, &["WITH", "TOTALS"])
                || token
                    .name(self.text)
                    .is_some_and(|name| ONE_DOCUMENT_SETTINGS.contains(&name.as_str()))
        })
    }
}
