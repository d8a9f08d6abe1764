//! The title of a web page, for lists of links: found in the beginning of a page that a stranger wrote.
//!
//! Tags are looked for as the HTML standard's tokenizer would meet them, but for what cannot matter before a title. The
//! result is plain text on one line, without what turns the direction of other text around; who shows it escapes it.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::link::MAX_TITLE;

/// Bytes in which a page must name its encoding (HTML standard, "prescan a byte stream").
const PRESCAN: usize = 1024;

/// Most characters of a title looked at, before spaces are joined: the rest cannot show.
const LOOKED_AT: usize = 16 * MAX_TITLE;

/// Longest name of an entity that is known, and of any number, in bytes.
const MAX_ENTITY: usize = 10;

/// Entities met in titles; there are 2,000 more, and they stay as they are written.
const ENTITIES: [(&str, char); 46] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("ndash", '–'),
    ("mdash", '—'),
    ("hellip", '…'),
    ("bull", '•'),
    ("middot", '·'),
    ("sdot", '⋅'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("lsaquo", '‹'),
    ("rsaquo", '›'),
    ("copy", '©'),
    ("reg", '®'),
    ("trade", '™'),
    ("euro", '€'),
    ("pound", '£'),
    ("yen", '¥'),
    ("deg", '°'),
    ("times", '×'),
    ("auml", 'ä'),
    ("ouml", 'ö'),
    ("uuml", 'ü'),
    ("Auml", 'Ä'),
    ("Ouml", 'Ö'),
    ("Uuml", 'Ü'),
    ("szlig", 'ß'),
    ("eacute", 'é'),
    ("egrave", 'è'),
    ("ecirc", 'ê'),
    ("agrave", 'à'),
    ("acirc", 'â'),
    ("ccedil", 'ç'),
    ("ntilde", 'ñ'),
    ("oacute", 'ó'),
    ("iacute", 'í'),
    ("aacute", 'á'),
    ("Eacute", 'É'),
];

/// Whether an answer of this type is a page that has a title.
pub fn is_page(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
}

/// The title of the page that begins with these bytes, at most [`MAX_TITLE`] characters. `content_type`: its header.
pub fn of(body: &[u8], content_type: &str) -> Option<String> {
    let encoding = encoding(body, content_type);
    let (text, ..) = encoding.decode(body);
    let raw: String = element(&text)?.chars().take(LOOKED_AT).collect();
    let title = tidy(&decoded(&raw));
    (!title.is_empty()).then_some(title)
}

/// By its byte order mark, its header, its own word, or a guess.
fn encoding(body: &[u8], content_type: &str) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(body) {
        return encoding;
    }
    if let Some(encoding) = charset(content_type) {
        return encoding;
    }
    let start = body.get(..PRESCAN).unwrap_or(body);
    let start = String::from_utf8_lossy(start).to_ascii_lowercase();
    let mut metas = start.split("<meta").skip(1);
    let named = metas.find_map(|meta| charset(meta.split('>').next().unwrap_or_default()));
    // A page that can say so in ASCII is not in UTF-16, whatever it says.
    match named {
        Some(encoding) if encoding.is_ascii_compatible() => encoding,
        Some(_) => UTF_8,
        None => match std::str::from_utf8(body) {
            Ok(_) => UTF_8,
            // Cut in the middle of a character.
            Err(error) if error.error_len().is_none() => UTF_8,
            Err(_) => WINDOWS_1252,
        },
    }
}

/// The encoding named behind `charset=`.
fn charset(text: &str) -> Option<&'static Encoding> {
    let lower = text.to_ascii_lowercase();
    let (_, value) = lower.split_once("charset")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let end = |c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'' | ';' | '/' | '>');
    let label = value.trim_start_matches(['"', '\'']).split(end).next()?;
    Encoding::for_label(label.as_bytes())
}

/// What stands between the first `<title>` and its end, as it is written.
fn element(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        rest = rest.get(rest.find('<')? + 1..)?;
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.get(comment.find("-->")? + 3..)?;
            continue;
        }
        let name: &str = rest
            .split(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .unwrap_or_default();
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("title") {
            let inner = after_tag(rest)?;
            return inner.get(..end_of(inner, "title").unwrap_or(inner.len()));
        }
        if let Some(raw) = ["script", "style", "noscript", "template", "svg"]
            .into_iter()
            .find(|raw| is(raw))
        {
            let inner = after_tag(rest)?;
            rest = inner.get(end_of(inner, raw)?..)?;
        } else if !name.is_empty() {
            rest = after_tag(rest)?;
        }
    }
}

/// What follows the `>` of a tag; one in a quoted value does not end it.
fn after_tag(rest: &str) -> Option<&str> {
    let mut quote = None;
    for (place, c) in rest.char_indices() {
        match (quote, c) {
            (None, '>') => return rest.get(place + 1..),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// Where `</name` begins.
fn end_of(text: &str, name: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find("</")?;
        let after = text.as_bytes().get(at + 2..at + 2 + name.len());
        if after.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes())) {
            return Some(at);
        }
        from = at + 2;
    }
}

/// Entities as what they stand for.
fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        let end = rest
            .bytes()
            .take(MAX_ENTITY)
            .position(|b| b == b';')
            .filter(|end| *end > 0);
        let name = end.and_then(|end| rest.get(..end));
        match name.and_then(entity) {
            Some(c) => {
                out.push(c);
                rest = rest.get(end.map_or(0, |end| end + 1)..).unwrap_or_default();
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        return ENTITIES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, c)| *c);
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    // Numbers of Windows-1252, which the HTML standard reads as such.
    if let Ok(byte @ 0x80..=0x9f) = u8::try_from(code) {
        let bytes = [byte];
        let (text, ..) = WINDOWS_1252.decode(&bytes);
        return text.chars().next();
    }
    char::from_u32(code).filter(|c| *c != '\0')
}

/// One line without control characters, and without those that show nothing or turn text around.
fn tidy(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let clean = |word: &str| word.chars().filter(|c| !is_hidden(*c)).collect::<String>();
    let words: Vec<String> = words.map(clean).filter(|word| !word.is_empty()).collect();
    let title: String = words.join(" ").chars().take(MAX_TITLE).collect();
    title.trim_end().to_owned()
}

fn is_hidden(c: char) -> bool {
    // Bidirectional controls, zero-width space and no-break space, the replacement for bytes that are no text. Joiners stay:
    // scripts and emoji need them.
    matches!(
        c,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffd}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(body: &[u8], content_type: &str, expected: Option<&str>) {
        assert_eq!(of(body, content_type).as_deref(), expected);
    }

    #[test]
    fn titles_are_found_where_a_browser_finds_them() {
        let html = "text/html";
        check(b"<!doctype html><title>Hello</title>", html, Some("Hello"));
        check(
            b"<HTML><HEAD><TITLE lang='a>b'\n>\n  Two\n words </TITLE >",
            html,
            Some("Two words"),
        );
        check(
            b"<!-- <title>no</title> --><title>yes</title>",
            html,
            Some("yes"),
        );
        check(
            b"<script>'<title>no</title>'</script><title>yes</title>",
            html,
            Some("yes"),
        );
        check(b"<svg><title>no</title></svg><title>yes", html, Some("yes"));
        check(
            b"<meta content=\"<title>no</title>\"><title>a < b & c</title>",
            html,
            Some("a < b & c"),
        );
        check(
            b"<title>a <b>bold</b> claim</title>",
            html,
            Some("a <b>bold</b> claim"),
        );
        for none in [
            &b""[..],
            b"<",
            b"no markup",
            b"<title",
            b"<title>",
            b"<title> \n </title>",
            b"<!-- <title>x</title>",
            b"<script><title>x</title>",
            b"</title>",
        ] {
            check(none, html, None);
        }
    }

    #[test]
    fn entities_are_decoded_once() {
        check(
            b"<title>Fish &amp; Chips &#8211; &#x201C;20&nbsp;%&#x201D; &quot;&lt;b&gt;&quot; &#150; &bogus; &amp;lt; &#0; &#xD800; &#99999999; & &;</title>",
            "text/html",
            Some("Fish & Chips – “20 %” \"<b>\" – &bogus; &lt; &#0; &#xD800; &#99999999; & &;"),
        );
    }

    #[test]
    fn encodings_come_from_mark_header_page_or_a_guess() {
        check(
            "\u{feff}<title>Größe</title>".as_bytes(),
            "text/html; charset=iso-8859-1",
            Some("Größe"),
        );
        check(
            b"<title>Gr\xf6\xdfe</title>",
            "text/html; charset=\"ISO-8859-1\"",
            Some("Größe"),
        );
        check(
            b"<meta charset=windows-1251><title>\xcf\xf0\xe8\xe2\xe5\xf2</title>",
            "text/html",
            Some("Привет"),
        );
        check(b"<meta http-equiv=content-type content='text/html; charset=shift_jis'><title>\x93\xfa\x96\x7b</title>", "text/html", Some("日本"));
        check("<title>例え</title>".as_bytes(), "text/html", Some("例え"));
        check(
            b"<title>caf\xe9</title>",
            "text/html; charset=nonsense",
            Some("café"),
        );
        check(
            "<meta charset=utf-16><title>é</title>".as_bytes(),
            "text/html",
            Some("é"),
        );
        let utf16: Vec<u8> = "\u{feff}<title>Ж</title>"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        check(&utf16, "text/html", Some("Ж"));
    }

    #[test]
    fn what_hides_or_turns_text_is_taken_away_and_length_is_bounded() {
        check(
            "<title>\u{202e}evil\u{202c} \u{200b}\u{200b} a\u{feff}b\u{0}\u{7}c</title>".as_bytes(),
            "text/html",
            Some("evil ab c"),
        );
        check(
            format!("<title>{}</title>", "ä".repeat(5000)).as_bytes(),
            "text/html",
            Some(&"ä".repeat(MAX_TITLE)),
        );
        assert!(is_page("Text/HTML; charset=x") && is_page("application/xhtml+xml"));
        assert!(!is_page("text/plain") && !is_page("") && !is_page("image/svg+xml"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_through(body: Vec<u8>, title in "\\PC{0,40}", header in "\\PC{0,40}") {
            let _ = of(&body, &header);
            let page = format!("<title>{title}</title>");
            if let Some(found) = of(page.as_bytes(), "text/html; charset=utf-8") {
                prop_assert!(found.chars().count() <= MAX_TITLE && !found.chars().any(char::is_control));
            }
        }
    }
}
