//! ClickHouse behind TLS, as others run it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::harness::{SETTLE, Up, eventually};

/// Ends TLS in front of `behind`, for as long as the runtime lives. Returns where, and writes the certificate.
async fn tls_in_front(behind: SocketAddr, certificate: &Path) -> SocketAddr {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(certificate, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Who does not trust the certificate breaks off here.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                if let Ok(mut behind) = TcpStream::connect(behind).await {
                    let _ = copy_bidirectional(&mut stream, &mut behind).await;
                }
            });
        }
    });
    addr
}

#[test]
fn clicks_go_to_clickhouse_over_https_and_only_to_one_that_is_trusted() {
    // The engine and its tables; nothing of its own comes in.
    let engine = Up::start();
    let password = std::fs::read_to_string(engine.data.join("clickhouse.password")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("ca.pem");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let addr = runtime.block_on(tls_in_front(engine.clickhouse, &certificate));
    let url = format!(
        "https://signpost:{}@localhost:{}",
        password.trim(),
        addr.port()
    );
    let settings = [
        ("SIGNPOST_CLICKHOUSE_URL", url.as_str()),
        ("SSL_CERT_FILE", certificate.to_str().unwrap()),
    ];
    let up = Up::with(&settings);
    let link = up.link("safe", &json!({ "url": "https://e.test/safe" }));
    for _ in 0..3 {
        assert_eq!(up.visit("/safe").status, 302);
    }
    up.settled(link, 3);
    let stored = "SELECT count() FROM signpost.clicks WHERE slug = 'safe'";
    assert_eq!(engine.sql(stored).trim(), "3");

    // Without the certificate nobody is believed: clicks wait, and it is said why.
    let mut stranger = Up::stopped(&settings[..1]);
    stranger.launch();
    stranger.wait_api();
    let ready = format!("http://{}/ready", stranger.admin);
    eventually(SETTLE, "it is said why", || {
        let page = stranger.try_get(&ready)?;
        (page.status == 503 && page.body.contains("certificate")).then_some(())
    });
}
