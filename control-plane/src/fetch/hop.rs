//! One request to one host whose addresses are known already.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, USER_AGENT,
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{FetchError, Overflow, Wanted};

/// Largest head of an answer in bytes.
const MAX_HEAD: usize = 64 << 10;

/// Most headers of an answer.
const MAX_HEADERS: usize = 100;

/// Longest wait for one address to take the connection, so that there is time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Who asks, for the logs of the site.
const AGENT: &str = concat!("Signpost/", env!("CARGO_PKG_VERSION"));

/// What one hop answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Asks the first of `addresses` that takes a connection.
pub(super) async fn get(
    tls: &TlsConnector,
    addresses: &[SocketAddr],
    url: &Url,
    wanted: &Wanted,
) -> Result<Answer, FetchError> {
    let stream = connect(addresses).await?;
    if url.scheme() != "https" {
        return exchange(stream, url, wanted).await;
    }
    let name = match url.host().ok_or(FetchError::Url)? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|_| FetchError::Url)?,
        Host::Ipv4(ip) => ServerName::IpAddress(std::net::IpAddr::V4(ip).into()),
        Host::Ipv6(ip) => ServerName::IpAddress(std::net::IpAddr::V6(ip).into()),
    };
    let stream = tls
        .connect(name, stream)
        .await
        .map_err(|_| FetchError::Tls)?;
    exchange(stream, url, wanted).await
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, FetchError> {
    for address in addresses {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
        if let Ok(Ok(stream)) = connecting.await {
            return Ok(stream);
        }
    }
    Err(FetchError::Unreachable)
}

async fn exchange<S>(stream: S, url: &Url, wanted: &Wanted) -> Result<Answer, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|_| FetchError::Broken)?;
    let asking = async {
        let answer = sender
            .send_request(request(url, wanted)?)
            .await
            .map_err(|_| FetchError::Broken)?;
        read(answer, wanted).await
    };
    // Both in one task: when the caller goes away, so does the connection. What the connection ends with, the request
    // hears of by itself.
    let driving = async {
        _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = asking => answer,
        never = driving => never,
    }
}

fn request(url: &Url, wanted: &Wanted) -> Result<Request<Empty<Bytes>>, FetchError> {
    let mut target = url.path().to_owned();
    if let Some(query) = url.query() {
        target = format!("{target}?{query}");
    }
    let host = url.host_str().ok_or(FetchError::Url)?;
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    Request::get(target)
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, wanted.accept)
        .header(ACCEPT_ENCODING, "identity")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_| FetchError::Url)
}

async fn read(answer: http::Response<Incoming>, wanted: &Wanted) -> Result<Answer, FetchError> {
    let (head, mut body) = answer.into_parts();
    let is_encoded = head
        .headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_encoded {
        return Err(FetchError::Broken);
    }
    let length = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
    // The body of a redirect is of no use, and may be endless.
    let is_redirect = head.status.is_redirection();
    if wanted.overflow == Overflow::Refuse
        && !is_redirect
        && length.is_some_and(|length| length > wanted.max_bytes as u64)
    {
        return Err(FetchError::TooLarge(wanted.max_bytes));
    }
    let mut bytes = BytesMut::new();
    while !is_redirect && let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| FetchError::Broken)?.into_data() else {
            continue;
        };
        let room = wanted.max_bytes - bytes.len();
        if data.len() > room {
            if wanted.overflow == Overflow::Refuse {
                return Err(FetchError::TooLarge(wanted.max_bytes));
            }
            bytes.extend_from_slice(data.get(..room).unwrap_or_default());
            break;
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: bytes.freeze(),
    })
}
