//! Every request of the published reference of OpenMyLink's API, as each of its five sample clients puts it on the wire:
//! curl, PHP's curl, Node's `request`, Python's `requests` and C#'s `HttpClient`. Only host, key, ids, file name and the
//! logo's address are replaced. What each client adds was read off its own traffic and is written at [`Client::request`].

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{ADMIN_KEY, TestApp, on_both_engines};
use crate::qr::{plain_png, site};

mod published;

use published::{SAMPLES, Sample};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    Curl,
    Php,
    Node,
    Python,
    CSharp,
}

impl Client {
    /// The request as this client sends it.
    ///
    /// - curl 8 with `--request` and `--data-raw`: no length without data, also for POST.
    /// - PHP with `CURLOPT_CUSTOMREQUEST` and `CURLOPT_POSTFIELDS`: neither user agent nor length without data; its
    ///   samples are indented by a tab.
    /// - Node's `request`: length 0 without a body save for GET; compact JSON; one connection a call.
    /// - Python's `requests` with `json=payload`: an empty payload is the body `{}`, for GET and DELETE too.
    /// - C#'s `StringContent`: the charset beside the type; `{}` where there is nothing to say.
    fn request(self, sample: &Sample, path: &str, body: Option<&str>) -> Vec<u8> {
        // The samples of these two ask for the account by GET.
        let method = match (self, sample.path) {
            (Self::Python | Self::CSharp, "/api/account") => "GET",
            _ => sample.method,
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: api.test\r\n");
        let authorization = format!("Authorization: Bearer {ADMIN_KEY}\r\n");
        let json = "Content-Type: application/json\r\n";
        let body = match self {
            Self::Curl => {
                head += "User-Agent: curl/8.5.0\r\nAccept: */*\r\n";
                head += &format!("{authorization}{json}");
                body.map(str::to_owned)
            }
            Self::Php => {
                head += "Accept: */*\r\n";
                head += &format!("{authorization}{json}");
                body.map(|body| body.replace('\n', "\n\t"))
            }
            Self::Node => {
                head += &format!("{authorization}{json}");
                match body {
                    Some(body) => Some(compact(body)),
                    None if method == "GET" => None,
                    None => Some(String::new()),
                }
            }
            Self::Python => {
                head += "User-Agent: python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n";
                head += &format!("Connection: keep-alive\r\n{authorization}{json}");
                Some(body.map_or("{}".to_owned(), spaced))
            }
            Self::CSharp => {
                head += &authorization;
                head += "Content-Type: application/json; charset=utf-8\r\n";
                Some(body.unwrap_or("{}").to_owned())
            }
        };
        if let Some(body) = &body {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += if self == Self::Node {
            "Connection: close\r\n\r\n"
        } else {
            "\r\n"
        };
        [head.into_bytes(), body.unwrap_or_default().into_bytes()].concat()
    }
}

/// As `JSON.stringify` writes it.
fn compact(body: &str) -> String {
    let value: Value = serde_json::from_str(body).expect("JSON");
    value.to_string()
}

/// As Python's `json.dumps` writes it: a space after each comma and colon. No text of the samples holds `":` or `",`.
fn spaced(body: &str) -> String {
    compact(body).replace("\":", "\": ").replace(",\"", ", \"")
}

/// Sends a request on a connection of its own and reads the answer by its length, as each of these clients does.
async fn exchange(app: &TestApp, request: &[u8]) -> (u16, String, Value) {
    let exchange = async {
        let mut stream = TcpStream::connect(app.addr).await.expect("connects");
        stream.write_all(request).await.expect("sends");
        let mut answer = Vec::new();
        loop {
            let n = stream.read_buf(&mut answer).await.expect("reads");
            let text = std::str::from_utf8(&answer).expect("text");
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .map(|n| n.parse::<usize>().expect("a number"));
                if n == 0 || Some(body.len()) == length {
                    let status = head[9..12].parse().expect("a status");
                    return (
                        status,
                        head.to_owned(),
                        serde_json::from_str(body).expect("JSON"),
                    );
                }
            }
            assert!(n > 0, "the answer ends early: {text}");
        }
    };
    // The samples give up after ten seconds.
    tokio::time::timeout(Duration::from_secs(10), exchange)
        .await
        .expect("answers in time")
}

/// Walks the reference with one client.
async fn walk(app: TestApp, client: Client) {
    let logo = format!(
        "http:\\/\\/{}\\/logo.png",
        site(plain_png(50, [0, 128, 0])).await
    );
    let link = app.link(json!({"url": "https://google.com"})).await;
    app.post("/api/splash/add", json!({"name": "Product 1 Promo"}))
        .await
        .ok();
    app.post(
        "/api/overlay/add",
        json!({"type": "message", "name": "Product 1 Promo", "message": "Hello"}),
    )
    .await
    .ok();
    let mut ids = vec![
        ("{link}", link.to_string()),
        ("{file}", "brand%20kit.zip".to_owned()),
    ];
    for sample in &SAMPLES {
        let mut path = sample.path.to_owned();
        for (name, id) in &ids {
            path = path.replace(name, id);
        }
        assert!(!path.contains('{'), "{path}");
        let body = sample.body.map(|body| body.replace("{logo}", &logo));
        let request = client.request(sample, &path, body.as_deref());
        let shown = String::from_utf8_lossy(&request).into_owned();
        let (status, head, answer) = exchange(&app, &request).await;
        assert_eq!(
            (status, &answer["error"]),
            (200, &json!(0)),
            "{shown}\n{answer}"
        );
        assert!(head.contains("content-type: application/json"), "{head}");
        for header in [
            "x-ratelimit-limit: ",
            "x-ratelimit-remaining: ",
            "x-ratelimit-reset: ",
        ] {
            assert!(head.contains(header), "{head}");
        }
        for pointer in sample.answer {
            assert!(
                answer.pointer(pointer).is_some(),
                "{pointer} is missing: {shown}\n{answer}"
            );
        }
        if let Some(made) = sample
            .path
            .strip_prefix("/api/")
            .and_then(|p| p.strip_suffix("/add"))
        {
            ids.push(match made {
                "campaign" => ("{campaign}", answer["id"].to_string()),
                "channel" => ("{channel}", answer["id"].to_string()),
                "qr" => ("{qr}", answer["id"].to_string()),
                "domain" => ("{domain}", answer["id"].to_string()),
                _ => ("{pixel}", answer["id"].to_string()),
            });
        }
    }
    let account = app.get("/api/account").await.ok();
    assert_eq!(account["data"]["email"], "newemail@google.com");
    let files = app.get("/api/files").await.ok();
    assert_eq!(files["list"][0]["name"], "My File");
}

on_both_engines! {
    async fn o_25_o_29_every_sample_works_as_curl_sends_it(app) {
        walk(app, Client::Curl).await;
    }

    async fn o_25_every_sample_works_as_php_sends_it(app) {
        walk(app, Client::Php).await;
    }

    async fn o_26_every_sample_works_as_node_sends_it(app) {
        walk(app, Client::Node).await;
    }

    async fn o_27_o_28_o_29_every_sample_works_as_python_sends_it(app) {
        walk(app, Client::Python).await;
    }

    async fn o_27_o_30_o_32_every_sample_works_as_csharp_sends_it(app) {
        walk(app, Client::CSharp).await;
    }
}
