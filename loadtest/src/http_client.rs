//! One keep-alive HTTP/1.1 connection at a time, without a pool.
//!
//! Pools repeat a request on a stale connection behind the caller's back. The replay's books rest on knowing of each
//! request whether it was sent once, so it holds its connections itself and repeats nothing unasked. Plain
//! HTTP only: it talks to addresses of one machine. Redirects are not followed.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A request that took longer was not answered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest body taken, in bytes.
const MAX_BODY_BYTES: usize = 256 << 20;

/// Where a server is: `http://host:port` and perhaps a path below which it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    authority: String,
    address: String,
    base: String,
}

impl Server {
    /// Reads a base URL.
    ///
    /// # Errors
    /// Anything but plain `http://host[:port][/path]`.
    pub fn parse(url: &str) -> anyhow::Result<Self> {
        let uri: http::Uri = url
            .parse()
            .with_context(|| format!("'{url}' is not a URL"))?;
        ensure!(
            uri.scheme_str() == Some("http"),
            "'{url}' must begin with http://"
        );
        ensure!(uri.query().is_none(), "'{url}' must not have a query");
        let Some(authority) = uri.authority() else {
            bail!("'{url}' names no host")
        };
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self {
            authority: authority.to_string(),
            address: format!("{}:{port}", authority.host()),
            base: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// `host[:port]` as it goes into `Host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

impl Answer {
    /// A header field as text, empty when it is missing or no text.
    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }
}

/// A connection that is made anew when the last one is gone.
#[derive(Debug)]
pub struct Connection {
    server: Server,
    sender: Option<http1::SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Connects at the first request.
    pub fn new(server: Server) -> Self {
        Self {
            server,
            sender: None,
        }
    }

    /// Sends one request, once. `path` begins with `/` and goes below the server's base.
    ///
    /// # Errors
    /// No answer's head arrived: the server may have seen the request or not.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let result =
            tokio::time::timeout(ANSWER_TIMEOUT, self.send_once(method, path, headers, body)).await;
        let answer = result.unwrap_or_else(|_| {
            Err(anyhow::anyhow!(
                "no answer within {} s",
                ANSWER_TIMEOUT.as_secs()
            ))
        });
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn send_once(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut old = self.sender.take();
        // Closed while idle: nothing was sent on it, so a new one repeats nothing.
        let usable = match &mut old {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        let mut sender = match old.filter(|_| usable) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.server.base)
            .parse()
            .with_context(|| format!("'{path}' is not a path"))?;
        *request.headers_mut() = headers;
        request
            .headers_mut()
            .insert(header::HOST, HeaderValue::from_str(&self.server.authority)?);
        let response = sender
            .send_request(request)
            .await
            .context("waiting for the answer")?;
        let (head, body) = response.into_parts();
        // The head is the answer; a body cut off behind it loses the connection and not the answer.
        let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
            Ok(body) => {
                self.sender = Some(sender);
                body.to_bytes()
            }
            Err(_) if head.status.is_redirection() => Bytes::new(),
            Err(error) => bail!("reading the body of a {} answer: {error}", head.status),
        };
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    async fn connect(&self) -> anyhow::Result<http1::SendRequest<Full<Bytes>>> {
        let address = &self.server.address;
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream
            .set_nodelay(true)
            .context("switching off Nagle's algorithm")?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .context("starting HTTP")?;
        // Ends with the connection: when the sender is dropped or the server goes away. Its error reaches the request.
        tokio::spawn(connection);
        Ok(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_checked() {
        let server = Server::parse("http://127.0.0.1:8081/api/").expect("legal");
        assert_eq!(
            (
                server.authority.as_str(),
                server.address.as_str(),
                server.base.as_str()
            ),
            ("127.0.0.1:8081", "127.0.0.1:8081", "/api")
        );
        assert_eq!(
            Server::parse("http://[::1]").expect("legal").address,
            "[::1]:80"
        );
        for bad in [
            "",
            "127.0.0.1:8080",
            "https://x.test",
            "http://",
            "/x",
            "http://x.test/?a",
        ] {
            assert!(Server::parse(bad).is_err(), "{bad}");
        }
    }
}
