//! Certificates of guarded requests.

use std::sync::Arc;

use control_plane::fetch::{FetchError, Fetcher};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Names, WANTED, found, head, text};

#[tokio::test]
async fn tls_is_checked_against_the_name() {
    let made =
        rcgen::generate_simple_self_signed(vec!["logo.test".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                answer(&mut stream).await;
            }
        }
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let allow = || vec!["127.0.0.1/32".parse().expect("a network")];
    let names = || Names::new(&[&["127.0.0.1"]]);
    let trusting = Fetcher::with(names(), allow(), roots).expect("sets up");
    let fetched = trusting
        .get(&format!("https://logo.test:{port}/"), &WANTED)
        .await
        .expect("fetched");
    assert_eq!(text(&fetched), "over TLS");
    for host in ["other.test", "127.0.0.1"] {
        let error = trusting
            .get(&format!("https://{host}:{port}/"), &WANTED)
            .await
            .expect_err("another name");
        assert_eq!(error, FetchError::Tls, "{host}");
    }
    let usual = Fetcher::new(allow()).expect("sets up");
    assert_eq!(
        usual
            .get(&format!("https://127.0.0.1:{port}/"), &WANTED)
            .await
            .expect_err("self-signed"),
        FetchError::Tls
    );
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    head(stream).await;
    _ = stream.write_all(&found("over TLS")).await;
    _ = stream.shutdown().await;
}
