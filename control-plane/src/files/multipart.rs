//! `multipart/form-data` (RFC 7578), a piece at a time.
//!
//! Written here because the crate at hand collects what comes before a part, and a part's head, without a bound, and takes
//! all that a ready body gives before it hands anything on. Here at most [`MAX_HEAD`] and two pieces of the network are
//! held.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;

use super::arriving::{Arriving, Broken};

/// Longest head of a part, and longest text before the first one, in bytes.
const MAX_HEAD: usize = 8 << 10;

/// Longest boundary, in bytes (RFC 2046, 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// Why a form cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormError {
    /// It is none.
    Malformed(&'static str),
    /// It broke off.
    Broken(Broken),
}

impl From<Broken> for FormError {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// What stands before a part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Part {
    /// Name of the field.
    pub(crate) name: String,
    /// Name of the file, as sent; `None`: the part is no file.
    pub(crate) file_name: Option<String>,
}

/// A form on its way in.
#[derive(Debug)]
pub(crate) struct Form {
    body: Arriving,
    /// `\r\n--<boundary>`.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    in_part: bool,
    is_over: bool,
}

impl Form {
    /// The boundary that a form's content type names; `None`: it is no form.
    pub(crate) fn boundary(headers: &HeaderMap) -> Option<String> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let (media, parameters) = kind.split_once(';')?;
        if !media.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let boundary = parameter(parameters, "boundary")?;
        let legal = !boundary.is_empty()
            && boundary.len() <= MAX_BOUNDARY
            && boundary.bytes().all(|b| (0x20..0x7f).contains(&b));
        legal.then_some(boundary)
    }

    /// A form with this boundary.
    pub(crate) fn new(body: Arriving, boundary: &str) -> Self {
        Self {
            body,
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The first delimiter may stand at the very beginning.
            buffer: BytesMut::from(&b"\r\n"[..]),
            in_part: false,
            is_over: false,
        }
    }

    /// Goes on to the next part, past what is left of this one; `None`: that was the last.
    pub(crate) async fn part(&mut self) -> Result<Option<Part>, FormError> {
        while self.in_part {
            self.piece().await?;
        }
        if self.is_over {
            return Ok(None);
        }
        let mut before = 0;
        loop {
            if let Some(place) = find(&self.buffer, &self.delimiter) {
                let _ = self.buffer.split_to(place + self.delimiter.len());
                break;
            }
            let keep = self.buffer.len().min(self.delimiter.len());
            before += self.buffer.len() - keep;
            if before > MAX_HEAD {
                return Err(FormError::Malformed("its boundary does not come"));
            }
            let _ = self.buffer.split_to(self.buffer.len() - keep);
            self.more("its boundary does not come").await?;
        }
        let line = self.line().await?;
        match line.trim_ascii() {
            b"--" => {
                self.is_over = true;
                return Ok(None);
            }
            b"" => {}
            _ => return Err(FormError::Malformed("there is text behind its boundary")),
        }
        let mut part = Part::default();
        let mut length = 0;
        loop {
            let line = self.line().await?;
            length += line.len();
            if length > MAX_HEAD {
                return Err(FormError::Malformed("the head of a part is too long"));
            }
            if line.is_empty() {
                self.in_part = true;
                return Ok(Some(part));
            }
            let line = String::from_utf8_lossy(&line);
            if let Some((name, value)) = line.split_once(':')
                && name.trim().eq_ignore_ascii_case("content-disposition")
            {
                part = disposition(value);
            }
        }
    }

    /// The next piece of this part; `None`: that was all of it.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, FormError> {
        if !self.in_part {
            return Ok(None);
        }
        loop {
            if let Some(place) = find(&self.buffer, &self.delimiter) {
                if place > 0 {
                    return Ok(Some(self.buffer.split_to(place).freeze()));
                }
                self.in_part = false;
                return Ok(None);
            }
            // What may be the beginning of the delimiter waits for more.
            let safe = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
            if safe > 0 {
                return Ok(Some(self.buffer.split_to(safe).freeze()));
            }
            self.more("it ends within a part").await?;
        }
    }

    /// A short text.
    pub(crate) async fn text(&mut self, max: usize) -> Result<Option<String>, FormError> {
        let mut text = Vec::new();
        while let Some(piece) = self.piece().await? {
            if text.len() + piece.len() > max {
                return Ok(None);
            }
            text.extend_from_slice(&piece);
        }
        Ok(String::from_utf8(text).ok())
    }

    /// A line without its end.
    async fn line(&mut self) -> Result<BytesMut, FormError> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(end);
                let _ = self.buffer.split_to(2);
                return Ok(line);
            }
            // `--boundary--` may be the last that comes.
            if &*self.buffer == b"--" {
                if let Some(piece) = self.body.piece().await? {
                    self.buffer.extend_from_slice(&piece);
                    continue;
                }
                return Ok(self.buffer.split());
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(FormError::Malformed("the head of a part is too long"));
            }
            self.more("it ends within the head of a part").await?;
        }
    }

    async fn more(&mut self, missing: &'static str) -> Result<(), FormError> {
        let piece = self.body.piece().await?;
        let piece = piece.ok_or(FormError::Malformed(missing))?;
        self.buffer.extend_from_slice(&piece);
        Ok(())
    }
}

/// `form-data; name="file"; filename="a.pdf"`. Names that are not ASCII come as they are, as `filename*=UTF-8''…` from
/// older Python, quotes in them as `%22` from browsers and as `\"` from curl.
fn disposition(value: &str) -> Part {
    let parameters = value.split_once(';').map_or("", |(_, rest)| rest);
    let extended = parameter(parameters, "filename*").and_then(|text| {
        let encoded = text.splitn(3, '\'').nth(2)?.to_owned();
        let decoded = percent_decode_str(&encoded).decode_utf8().ok()?;
        Some(decoded.into_owned())
    });
    let plain = parameter(parameters, "filename").map(|name| unescaped(&name));
    Part {
        name: unescaped(&parameter(parameters, "name").unwrap_or_default()),
        file_name: extended.or(plain),
    }
}

fn unescaped(name: &str) -> String {
    name.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

/// The value of a parameter in `; name=value; name="quoted value"`.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        let (key, behind) = rest.split_once('=')?;
        let (value, behind) = value(behind);
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = behind;
    }
}

/// A value, and what is behind it. A backslash stands for itself but before a quote or another one.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.trim().to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((place, c)) = characters.next() {
        match (c, characters.peek()) {
            ('\\', Some((_, next @ ('"' | '\\')))) => {
                value.push(*next);
                characters.next();
            }
            ('"', _) => return (value, quoted.get(place + 1..).unwrap_or_default()),
            (c, _) => value.push(c),
        }
    }
    (value, "")
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = wanted.first()?;
    let mut from = 0;
    loop {
        let place = from + text.get(from..)?.iter().position(|b| b == first)?;
        if text.get(place..)?.starts_with(wanted) {
            return Some(place);
        }
        from = place + 1;
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;

    /// A form in pieces of `size` bytes.
    fn form(text: &[u8], size: usize, boundary: &str) -> Form {
        let pieces: Vec<_> = text
            .chunks(size)
            .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
            .collect();
        let body = Body::from_stream(stream::iter(pieces));
        Form::new(Arriving::new(body, 1 << 20), boundary)
    }

    async fn read(mut form: Form) -> Result<Vec<(Part, Vec<u8>)>, FormError> {
        let mut parts = Vec::new();
        while let Some(part) = form.part().await? {
            let mut bytes = Vec::new();
            while let Some(piece) = form.piece().await? {
                bytes.extend_from_slice(&piece);
            }
            parts.push((part, bytes));
        }
        Ok(parts)
    }

    fn part(name: &str, file_name: Option<&str>) -> Part {
        Part {
            name: name.to_owned(),
            file_name: file_name.map(str::to_owned),
        }
    }

    const CURL: &[u8] = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"d.pdf\"\r\n\
        Content-Type: application/pdf\r\n\r\n\r\n--xy\r\n-- \0\r\n\r\n--xyz\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n\
        Q2 pricing deck\r\n--xyz--\r\n";

    #[tokio::test]
    async fn parts_come_whole_however_they_are_cut() {
        let expected = vec![
            (
                part("file", Some("d.pdf")),
                b"\r\n--xy\r\n-- \0\r\n".to_vec(),
            ),
            (part("name", None), b"Q2 pricing deck".to_vec()),
        ];
        for size in [1, 2, 3, 5, 7, 100, 1000] {
            assert_eq!(
                read(form(CURL, size, "xyz")).await,
                Ok(expected.clone()),
                "{size}"
            );
        }
        // Without the last line's end, and with text before and behind.
        let bare = CURL.strip_suffix(b"\r\n").expect("its end");
        assert_eq!(read(form(bare, 9, "xyz")).await, Ok(expected.clone()));
        let padded = [b"hello\r\n", CURL, b"bye"].concat();
        assert_eq!(read(form(&padded, 9, "xyz")).await, Ok(expected));
        assert_eq!(read(form(b"--xyz--", 9, "xyz")).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn what_is_no_form_is_refused_with_a_reason() {
        let long = format!("--xyz\r\nA: {}\r\n\r\n", "x".repeat(MAX_HEAD));
        let endless = vec![b'x'; 3 * MAX_HEAD];
        for bad in [
            &b""[..],
            b"xyz",
            b"--xyz",
            b"--xyz\r\n",
            b"--xyzzy\r\n\r\n",
            b"--xyz\r\n\r\nhalf",
            b"--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--xyz",
            long.as_bytes(),
            &endless,
        ] {
            for size in [1000, 7] {
                let result = read(form(bad, size, "xyz")).await;
                assert!(matches!(result, Err(FormError::Malformed(_))), "{result:?}");
            }
        }
    }

    #[test]
    fn names_are_read_as_every_client_writes_them() {
        for (header, name, file_name) in [
            (
                "form-data; name=\"file\"; filename=\"a b.pdf\"",
                "file",
                Some("a b.pdf"),
            ),
            (
                "form-data; name=file; filename=a.pdf",
                "file",
                Some("a.pdf"),
            ),
            (
                "form-data; name=\"file\"; filename=\"a\\\"b.pdf\"",
                "file",
                Some("a\"b.pdf"),
            ),
            (
                "form-data; name=\"file\"; filename=\"a%22b.pdf\"",
                "file",
                Some("a\"b.pdf"),
            ),
            (
                "form-data; name=\"file\"; filename=\"C:\\dir\\a.pdf\"",
                "file",
                Some("C:\\dir\\a.pdf"),
            ),
            (
                "form-data; name=\"file\"; filename*=utf-8''%E2%82%AC.pdf",
                "file",
                Some("€.pdf"),
            ),
            (
                "form-data; FileName=\"été.pdf\"; NAME=\"file\"",
                "file",
                Some("été.pdf"),
            ),
            ("form-data; name=\"a;b=\\\"c\\\"\"", "a;b=\"c\"", None),
            ("form-data; name=\"open", "open", None),
            ("form-data", "", None),
        ] {
            assert_eq!(disposition(header), part(name, file_name), "{header}");
        }
    }

    #[test]
    fn the_boundary_is_taken_from_forms_only() {
        let of = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, kind.parse().expect("a header"));
            Form::boundary(&headers)
        };
        assert_eq!(
            of("multipart/form-data; boundary=x-y").as_deref(),
            Some("x-y")
        );
        assert_eq!(
            of("Multipart/Form-Data; charset=utf-8; boundary=\"a b\"").as_deref(),
            Some("a b")
        );
        for bad in [
            "application/json",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=x",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(
            of(&format!("multipart/form-data; boundary={}", "x".repeat(71))),
            None
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(prop_oneof![Just(b'-'), Just(b'\r'), Just(b'\n'), Just(b'x'), any::<u8>()], 0..300), size in 1usize..50) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            let _ = runtime.block_on(read(form(&bytes, size, "x")));
        }

        #[test]
        fn a_file_comes_out_as_it_went_in(bytes in proptest::collection::vec(prop_oneof![Just(b'-'), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..300), size in 1usize..50) {
            let text = [b"--bound-ary\r\n\r\n", &bytes[..], b"\r\n--bound-ary--"].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            let parts = runtime.block_on(read(form(&text, size, "bound-ary"))).expect("a form");
            prop_assert_eq!(&parts[0].1, &bytes);
        }
    }
}
