//! HTTP for the bucket: one request, one connection, over the same hyper and rustls as everything else here. Cleartext
//! only to an endpoint that the settings name with `http://`.
//!
//! Unlike [`crate::fetch`], addresses are not judged: the endpoint is the operator's word.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::Uri;
use http::header::HOST;
use http::uri::Scheme;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;

/// Longest time for a connection, TLS included.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Longest time from a request's first byte to its answer's head. Some servers take their time to complete a large object.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Longest silence within an answer.
const SILENCE: Duration = Duration::from_secs(20);

/// Makes [`Service`]s.
#[derive(Debug)]
pub(super) struct Connector {
    roots: RootCertStore,
}

impl Connector {
    /// Trusts the public authorities, and those whose certificates are in this PEM file.
    pub(super) fn trusting(ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        if let Some(path) = ca_file {
            let what = || format!("SIGNPOST_S3_CA_FILE={}", path.display());
            let public = roots.len();
            for certificate in CertificateDer::pem_file_iter(path).with_context(what)? {
                let certificate = certificate.with_context(what)?;
                roots.add(certificate).with_context(what)?;
            }
            anyhow::ensure!(roots.len() > public, "{} holds no certificate", what());
        }
        Ok(Self { roots })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| object_store::Error::Generic {
                store: "S3",
                source: Box::new(error),
            })?
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        Ok(HttpClient::new(Service {
            tls: TlsConnector::from(Arc::new(config)),
        }))
    }
}

/// Sends requests.
struct Service {
    tls: TlsConnector,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Service")
    }
}

type Answering<'f> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>;

impl HttpService for Service {
    // Written out: the trait's macro is not a dependency of ours.
    fn call<'s, 'f>(&'s self, request: HttpRequest) -> Answering<'f>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(self.send(request))
    }
}

impl Service {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri().clone();
        let connected = timeout(CONNECT_DEADLINE, connect(&uri)).await;
        let stream = connected
            .map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?
            .map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?;
        if uri.scheme() == Some(&Scheme::HTTP) {
            return exchange(stream, request).await;
        }
        let name = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?;
        let stream = timeout(CONNECT_DEADLINE, self.tls.connect(name, stream))
            .await
            .map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?
            .map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?;
        exchange(stream, request).await
    }
}

async fn connect(uri: &Uri) -> std::io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let default = if uri.scheme() == Some(&Scheme::HTTP) {
        80
    } else {
        443
    };
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(default))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn exchange<S>(stream: S, mut request: HttpRequest) -> Result<HttpResponse, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let uri = request.uri().clone();
    if let Some(authority) = uri.authority()
        && let Ok(host) = authority.as_str().parse()
    {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    // A server is asked by path, and named in `Host`.
    if let Some(path) = uri.path_and_query() {
        *request.uri_mut() = path.clone().into();
    }
    let (mut sender, connection) = http1::handshake::<_, HttpRequestBody>(TokioIo::new(stream))
        .await
        .map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
    // Ends with the answer's body.
    let driver = tokio::spawn(connection);
    let answer = timeout(ANSWER_DEADLINE, sender.send_request(request)).await;
    let failed = |kind, error: Box<dyn std::error::Error + Send + Sync>| {
        driver.abort();
        HttpError::new_boxed(kind, error)
    };
    let answer = answer
        .map_err(|error| failed(HttpErrorKind::Timeout, error.into()))?
        .map_err(|error| failed(HttpErrorKind::Interrupted, error.into()))?;
    Ok(answer.map(|body| HttpResponseBody::new(Answered::new(body))))
}

/// The body of an answer, with a deadline for each of its pieces.
struct Answered {
    body: Incoming,
    silent: Pin<Box<Sleep>>,
}

impl Answered {
    fn new(body: Incoming) -> Self {
        Self {
            body,
            silent: Box::pin(sleep(SILENCE)),
        }
    }
}

impl Body for Answered {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.silent
                .as_mut()
                .reset(tokio::time::Instant::now() + SILENCE);
            let frame = frame.map(|frame| {
                frame.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))
            });
            return Poll::Ready(frame);
        }
        this.silent.as_mut().poll(cx).map(|()| {
            let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Some(Err(HttpError::new(HttpErrorKind::Timeout, error)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
