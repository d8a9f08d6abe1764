//! ClickHouse's lexer, as far as one must know it to say which words of a query are code and which are text.
//!
//! Where engine versions differ, or a construct serves mainly to hide something (a backslash inside a quoted
//! identifier, a non-ASCII character outside of quotes, which some versions take for a quote, a minus or a space, a
//! dollar sign that begins no heredoc), the query is refused instead of guessed at. A test compares the result with the
//! engine's own `tokenizeQuery`.

use super::Refusal;

/// What a token is. Whitespace and comments are no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare word: keyword, identifier or a word that begins with a digit.
    Word,
    /// `` `…` `` or `"…"`.
    Quoted,
    /// `'…'`, `x'…'`, `$tag$…$tag$`.
    Text,
    Number,
    /// Any other single character; of `->`, `::` and so on each one alone.
    Symbol(u8),
}

/// A token and where it lies in the query, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Splits a query, token by token, so that the data behind an INSERT is never looked at.
pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Whether the token before was a dot: then digits are an index and never a fraction.
    after_dot: bool,
    /// Whether a dot here follows a name, a bracket or a number.
    after_operand: bool,
}

fn word_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            after_dot: false,
            after_operand: false,
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn skip_while(&mut self, keep: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&keep) {
            self.at += 1;
        }
    }

    fn skip_line(&mut self) {
        self.skip_while(|b| b != b'\n');
    }

    /// The next token; `None` at the end.
    pub(crate) fn next_token(&mut self) -> Result<Option<Token>, Refusal> {
        self.skip_blanks()?;
        let start = self.at;
        let Some(first) = self.peek(0) else {
            return Ok(None);
        };
        let kind = match first {
            b'\'' => {
                self.quoted(b'\'')?;
                Kind::Text
            }
            b'`' | b'"' => {
                self.quoted(first)?;
                let inside = self.text.get(start + 1..self.at - 1).unwrap_or_default();
                if inside.contains(&b'\\') {
                    return Err(Refusal::syntax(
                        "a quoted identifier must not contain a backslash",
                    ));
                }
                Kind::Quoted
            }
            b'x' | b'X' | b'b' | b'B' if self.peek(1) == Some(b'\'') => {
                self.at += 2;
                self.skip_while(|b| b.is_ascii_hexdigit());
                if self.peek(0) != Some(b'\'') {
                    return Err(Refusal::syntax(
                        "a hexadecimal or binary string is not closed",
                    ));
                }
                self.at += 1;
                Kind::Text
            }
            b'$' => {
                self.heredoc()?;
                Kind::Text
            }
            b'0'..=b'9' => self.number()?,
            // A fraction without a whole part.
            b'.' if start == 0
                || (!self.after_operand && self.peek(1).is_some_and(|b| b.is_ascii_digit())) =>
            {
                self.fraction(false);
                Kind::Number
            }
            b if word_byte(b) => {
                self.skip_while(|b| word_byte(b) || b == b'$');
                Kind::Word
            }
            0x21..=0x7e if first != b'\\' && first != b'#' => {
                self.at += 1;
                Kind::Symbol(first)
            }
            _ => {
                return Err(Refusal::syntax(format_args!(
                    "unexpected character {:?} at byte {start}",
                    char::from(first)
                )));
            }
        };
        self.after_dot = kind == Kind::Symbol(b'.');
        self.after_operand = matches!(
            kind,
            Kind::Word | Kind::Quoted | Kind::Number | Kind::Symbol(b')' | b']')
        );
        Ok(Some(Token {
            kind,
            start,
            end: self.at,
        }))
    }

    fn skip_blanks(&mut self) -> Result<(), Refusal> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c), _) => self.at += 1,
                (Some(b'-'), Some(b'-'))
                | (Some(b'/'), Some(b'/'))
                | (Some(b'#'), Some(b' ' | b'!')) => {
                    self.skip_line();
                }
                (Some(b'/'), Some(b'*')) => self.block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    /// Comments nest.
    fn block_comment(&mut self) -> Result<(), Refusal> {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (Some(_), Some(_)) => self.at += 1,
                _ => return Err(Refusal::syntax("a comment is not closed")),
            }
        }
    }

    /// Skips a quoted run: backslash takes the next byte along, a doubled quote is one.
    fn quoted(&mut self, quote: u8) -> Result<(), Refusal> {
        self.at += 1;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'\\'), Some(_)) => self.at += 2,
                (Some(b), Some(next)) if b == quote && next == quote => self.at += 2,
                (Some(b), _) if b == quote => {
                    self.at += 1;
                    return Ok(());
                }
                (Some(b), _) if b != b'\\' => self.at += 1,
                _ => {
                    return Err(Refusal::syntax(format_args!(
                        "a quote {} is not closed",
                        char::from(quote)
                    )));
                }
            }
        }
    }

    fn heredoc(&mut self) -> Result<(), Refusal> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let tag = rest.iter().skip(1).take_while(|&&b| word_byte(b)).count() + 2;
        let closed = rest.get(tag - 1) == Some(&b'$');
        let mark = rest.get(..tag).unwrap_or_default();
        let body = rest.get(tag..).unwrap_or_default();
        match body.windows(tag).position(|w| w == mark) {
            Some(length) if closed => {
                self.at += tag + length + tag;
                Ok(())
            }
            _ => Err(Refusal::syntax(
                "a dollar sign that begins no closed heredoc",
            )),
        }
    }

    /// An underscore between two digits.
    fn separator(&self, block_start: bool, digit: impl Fn(u8) -> bool) -> bool {
        self.peek(0) == Some(b'_') && !block_start && self.peek(1).is_some_and(digit)
    }

    fn digits(&mut self, mut block_start: bool, digit: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&digit) || self.separator(block_start, &digit) {
            self.at += 1;
            block_start = false;
        }
    }

    fn exponent(&mut self, hex: bool) {
        let letter = if hex { b'p' } else { b'e' };
        if self.peek(0).map(|b| b.to_ascii_lowercase()) == Some(letter) && self.peek(1).is_some() {
            self.at += 1;
            if matches!(self.peek(0), Some(b'+' | b'-')) && self.peek(1).is_some() {
                self.at += 1;
            }
            self.digits(true, |b| b.is_ascii_digit());
        }
    }

    fn fraction(&mut self, hex: bool) {
        self.at += 1;
        self.digits(true, |b| {
            if hex {
                b.is_ascii_hexdigit()
            } else {
                b.is_ascii_digit()
            }
        });
        self.exponent(hex);
    }

    /// Where a number ends decides where the next word begins, so this follows the engine to the letter.
    fn number(&mut self) -> Result<Kind, Refusal> {
        let start = self.at;
        if self.after_dot {
            self.at += 1;
            self.digits(false, |b| b.is_ascii_digit());
        } else {
            let prefix = match (self.peek(0), self.peek(1), self.peek(2)) {
                (Some(b'0'), Some(b'x' | b'X'), Some(b)) if b.is_ascii_hexdigit() => Some(true),
                (Some(b'0'), Some(b'b' | b'B'), Some(b'0' | b'1')) => Some(false),
                _ => None,
            };
            let hex = prefix == Some(true);
            self.at += if prefix.is_some() { 2 } else { 1 };
            self.digits(prefix.is_some(), |b| {
                if hex {
                    b.is_ascii_hexdigit()
                } else {
                    b.is_ascii_digit()
                }
            });
            if self.peek(0) == Some(b'.') {
                self.fraction(hex);
            } else {
                self.exponent(hex);
            }
        }
        // A word may begin with digits; a number with a word glued to it is an error.
        if self.peek(0).is_some_and(word_byte) {
            self.skip_while(word_byte);
            let all_word = self
                .text
                .get(start..self.at)
                .is_some_and(|t| t.iter().all(|&b| word_byte(b)));
            return if all_word {
                Ok(Kind::Word)
            } else {
                Err(Refusal::syntax(format_args!(
                    "a wrong number at byte {start}"
                )))
            };
        }
        Ok(Kind::Number)
    }
}

impl Token {
    /// A name in lower case, quotes removed; `None` for what is no name.
    pub(crate) fn name(self, text: &[u8]) -> Option<String> {
        let raw = text.get(self.start..self.end)?;
        match self.kind {
            Kind::Word => Some(String::from_utf8_lossy(raw).to_ascii_lowercase()),
            Kind::Quoted => {
                let quote = raw.first().copied().map(char::from)?.to_string();
                let inside =
                    String::from_utf8_lossy(raw.get(1..raw.len() - 1)?).to_ascii_lowercase();
                Some(inside.replace(&quote.repeat(2), &quote))
            }
            _ => None,
        }
    }

    /// Whether this is the keyword, given in upper case. A quoted name is never a keyword.
    pub(crate) fn is(self, text: &[u8], keyword: &str) -> bool {
        self.kind == Kind::Word
            && text
                .get(self.start..self.end)
                .is_some_and(|raw| raw.eq_ignore_ascii_case(keyword.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<(Kind, &str)>, Refusal> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut tokens = Vec::new();
        while let Some(t) = lexer.next_token()? {
            tokens.push((t.kind, &text[t.start..t.end]));
        }
        Ok(tokens)
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let tokens = all(text).expect("tokens");
        assert_eq!(
            tokens.iter().map(|(_, t)| *t).collect::<Vec<_>>(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn comments_and_blanks_are_no_tokens() {
        check("a/**/b", &["a", "b"]);
        check("a /* /* */ hidden */ b", &["a", "b"]);
        check("a -- b\nc", &["a", "c"]);
        check("a // b\nc", &["a", "c"]);
        check("a # b\nc #! d", &["a", "c"]);
        check("a - - b", &["a", "-", "-", "b"]);
    }

    #[test]
    fn strings_end_where_the_engine_ends_them() {
        check(r"'a\'b' c", &[r"'a\'b'", "c"]);
        check("'a''b' c", &["'a''b'", "c"]);
        check(r"'\\' c", &[r"'\\'", "c"]);
        check("`a``b`c", &["`a``b`", "c"]);
        check("$$a'b$$c", &["$$a'b$$", "c"]);
        check("$t$ $$ $t$c", &["$t$ $$ $t$", "c"]);
        check("a$$b", &["a$$b"]);
        check("x'41'y", &["x'41'", "y"]);
    }

    #[test]
    fn numbers_do_not_swallow_names() {
        check("a.1.2", &["a", ".", "1", ".", "2"]);
        check("1.5e-3+x", &["1.5e-3", "+", "x"]);
        check("(1).f", &["(", "1", ")", ".", "f"]);
        check(".5 x", &[".5", "x"]);
        check("1file(2)", &["1file", "(", "2", ")"]);
        check("0xAFfile", &["0xAFfile"]);
    }

    #[test]
    fn what_versions_read_differently_is_refused() {
        for text in [
            r"`fi\x6ce`('x')",
            "select ‘a’",
            "select\u{a0}1",
            "a − b",
            "$x",
            "$a b$ x $a b$",
            "\\i /etc/passwd",
            "#x",
            "'open",
            "/* open",
            "/* /* */",
            "\0",
            "x'4",
            "'a\\",
        ] {
            assert!(all(text).is_err(), "{text}");
        }
    }
}
