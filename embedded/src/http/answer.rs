//! Answers: headers, results and errors, before and in the middle of a result.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use hyper::body::Frame;
use metrics::counter;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Body, full};
use crate::engine::Progress;
use crate::error::{Exception, Kind};
use crate::metrics as m;
use crate::query::{CancelOnDrop, Piece};

/// Longest query id a client may give, in bytes.
const MAX_QUERY_ID: usize = 200;
/// Length of the mark around an exception in the middle of a result.
const TAG_LENGTH: usize = 16;

/// What goes into every answer.
pub(super) struct Head {
    query_id: String,
    format: Option<String>,
    tag: String,
}

impl Head {
    pub(super) fn new() -> Self {
        let random = Uuid::new_v4().simple().to_string();
        Self {
            query_id: Uuid::new_v4().to_string(),
            format: None,
            // Unpredictable, so that data cannot pretend to be an exception.
            tag: random.chars().take(TAG_LENGTH).collect(),
        }
    }

    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// The client's own id; `None` leaves ours.
    pub(super) fn set_query_id(&mut self, id: Option<String>) -> Result<(), Exception> {
        if let Some(id) = id {
            if id.len() > MAX_QUERY_ID || !id.bytes().all(|b| (0x20..0x7f).contains(&b)) {
                return Err(Exception::new(
                    Kind::BadArguments,
                    format_args!("a query_id is up to {MAX_QUERY_ID} printable ASCII characters"),
                ));
            }
            self.query_id = id;
        }
        Ok(())
    }

    pub(super) fn set_format(&mut self, format: &str) {
        self.format = Some(format.to_owned());
    }

    fn respond(
        &self,
        status: StatusCode,
        content_type: &'static str,
        body: Body,
    ) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(
            "x-clickhouse-server-display-name",
            HeaderValue::from_static("signpost"),
        );
        if let Ok(id) = HeaderValue::from_str(&self.query_id) {
            headers.insert("x-clickhouse-query-id", id);
        }
        response
    }

    /// A short text that is no result.
    pub(super) fn plain(&self, status: StatusCode, text: &'static str) -> Response<Body> {
        self.respond(status, "text/plain; charset=UTF-8", full(text))
    }

    /// An error before any of the result went out.
    pub(super) fn failed(&self, exception: &Exception, version: &str) -> Response<Body> {
        let text = exception.wire(version);
        let mut response =
            self.respond(exception.status(), "text/plain; charset=UTF-8", full(text));
        response.headers_mut().insert(
            "x-clickhouse-exception-code",
            HeaderValue::from(exception.code),
        );
        response
    }

    /// A result, of which the first piece is there.
    pub(super) fn succeeded(
        &self,
        progress: Progress,
        elapsed: Duration,
        body: Body,
    ) -> Response<Body> {
        let format = self.format.as_deref().unwrap_or("TabSeparated");
        let mut response = self.respond(StatusCode::OK, content_type(format), body);
        let headers = response.headers_mut();
        for (name, value) in [
            ("x-clickhouse-format", format),
            ("x-clickhouse-exception-tag", &self.tag),
            ("x-clickhouse-summary", &summary(progress, elapsed)),
            ("x-clickhouse-timezone", "UTC"),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(http::HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// Numbers are strings, as in ClickHouse.
fn summary(p: Progress, elapsed: Duration) -> String {
    format!(
        "{{\"read_rows\":\"{}\",\"read_bytes\":\"{}\",\"written_rows\":\"{}\",\"written_bytes\":\"{}\",\"total_rows_to_read\":\"0\",\"result_rows\":\"{}\",\"result_bytes\":\"0\",\"elapsed_ns\":\"{}\"}}",
        p.read_rows,
        p.read_bytes,
        p.written_rows,
        p.written_bytes,
        p.result_rows,
        elapsed.as_nanos()
    )
}

fn content_type(format: &str) -> &'static str {
    match format {
        "TabSeparated"
        | "TSV"
        | "TabSeparatedWithNames"
        | "TSVWithNames"
        | "TabSeparatedWithNamesAndTypes"
        | "TSVWithNamesAndTypes"
        | "TabSeparatedRaw"
        | "TSVRaw" => "text/tab-separated-values; charset=UTF-8",
        "JSON" | "JSONCompact" | "JSONStrings" | "JSONColumns" => "application/json; charset=UTF-8",
        "JSONEachRow" | "JSONCompactEachRow" | "NDJSON" | "JSONLines" => {
            "application/x-ndjson; charset=UTF-8"
        }
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        "CSVWithNames" | "CSVWithNamesAndTypes" => "text/csv; charset=UTF-8; header=present",
        "XML" => "application/xml; charset=UTF-8",
        "RowBinary"
        | "RowBinaryWithNames"
        | "RowBinaryWithNamesAndTypes"
        | "Native"
        | "Parquet"
        | "Arrow"
        | "ArrowStream"
        | "ORC"
        | "Avro"
        | "MsgPack" => "application/octet-stream",
        _ => "text/plain; charset=UTF-8",
    }
}

/// A result on its way out. Dropped early (the client is gone), it stops the query.
pub(super) struct ResultBody {
    pieces: mpsc::Receiver<Piece>,
    _guard: CancelOnDrop,
    tag: String,
    version: String,
    ended: bool,
}

impl ResultBody {
    pub(super) fn new(
        pieces: mpsc::Receiver<Piece>,
        guard: CancelOnDrop,
        tag: String,
        version: String,
    ) -> Self {
        Self {
            pieces,
            _guard: guard,
            tag,
            version,
            ended: false,
        }
    }
}

/// An exception in the middle of a result, as ClickHouse ≥ 25.11 marks it: the message, its length and the mark that the
/// header named, between two lines `__exception__`.
fn exception_block(exception: &Exception, tag: &str, version: &str) -> String {
    let message = exception.wire(version);
    format!(
        "\r\n__exception__\r\n{tag}\r\n{message}{} {tag}\r\n__exception__\r\n",
        message.len()
    )
}

impl hyper::body::Body for ResultBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let data = match ready!(self.pieces.poll_recv(cx)) {
            Some(Piece::Data(data)) => data,
            Some(Piece::End) => {
                self.ended = true;
                return Poll::Ready(None);
            }
            Some(Piece::Failed(exception)) => {
                self.ended = true;
                Bytes::from(exception_block(&exception, &self.tag, &self.version))
            }
            None => {
                self.ended = true;
                return Poll::Ready(Some(Err(io::Error::other(
                    "the query's thread ended early",
                ))));
            }
        };
        counter!(m::BYTES_OUT).increment(data.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}
