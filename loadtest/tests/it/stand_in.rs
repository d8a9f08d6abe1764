//! A small stand-in for API, proxy and ClickHouse on one port. It knows the queries of the replay by their beginnings.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use loadtest::agents::{Agent, Agents};
use loadtest::labels;
use loadtest::traffic::Traffic;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The only key it takes.
pub(crate) const KEY: &str = "sp_test";

/// In which way it is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    WrongLocation,
    LosesOne,
    StoresOneTwice,
    TakesOneBotForAPerson,
    CallsOneChromeSafari,
    StatsForgetOne,
    CutsConnections,
    InventsAnAttempt,
}

#[derive(Debug, Clone)]
struct Click {
    link: u64,
    time: i64,
    address: String,
    agent: Vec<u8>,
    referrer: String,
    query: String,
    bot: bool,
    browser: String,
    os: String,
    device: String,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    /// Slug and destination; the id is the place + 1.
    links: Vec<(String, String)>,
    clicks: Vec<Click>,
    requests: u64,
    done: bool,
    agents: Agents,
}

#[derive(Debug, Clone)]
pub(crate) struct StandIn {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// The connection is cut without an answer.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl StandIn {
    pub(crate) async fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let state = State {
            fault,
            links: Vec::new(),
            clicks: Vec::new(),
            requests: 0,
            done: false,
            agents: Agents::embedded().expect("the checked-in table is legal"),
        };
        let this = Self {
            address: listener.local_addr().expect("bound"),
            state: Arc::new(Mutex::new(state)),
        };
        let server = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                let service = service_fn(move |request| server.clone().answer(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        this
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no test panics with the lock held")
    }

    /// What `signpost clicks import` does.
    pub(crate) fn import(&self, log: &[u8]) {
        let mut state = self.state();
        for line in &Traffic::read(log).expect("a legal log").lines {
            if line.method == "GET" {
                let click = state.judge(
                    &line.target,
                    "",
                    line.agent.as_deref(),
                    line.referrer.as_deref(),
                    line.address.to_string(),
                    line.time,
                );
                state.clicks.push(click.expect("a link").0);
            }
        }
    }

    /// Moves one click into another hour of its day.
    pub(crate) fn move_one_click_by_an_hour(&self) {
        let mut state = self.state();
        let click = state
            .clicks
            .iter_mut()
            .find(|c| (c.time / 3600) % 24 < 23)
            .expect("a click");
        click.time += 3600;
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let path = head.uri.path();
        let query = head.uri.query().unwrap_or_default();
        let text = |name: header::HeaderName| head.headers.get(name).map(|v| v.as_bytes().to_vec());
        if path == "/" && head.method == Method::POST {
            return Ok(reply(
                StatusCode::OK,
                self.state().sql(&String::from_utf8_lossy(&body)),
            ));
        }
        if let Some(call) = path.strip_prefix("/api/") {
            let key = text(header::AUTHORIZATION).unwrap_or_default();
            if key != format!("Bearer {KEY}").as_bytes() {
                return Ok(reply(
                    StatusCode::UNAUTHORIZED,
                    json!({"error": 1, "message": "invalid key"}).to_string(),
                ));
            }
            return Ok(reply(
                StatusCode::OK,
                self.state()
                    .call(call, query, &body, &self.url())
                    .to_string(),
            ));
        }
        match head.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Ok(allow(StatusCode::NO_CONTENT)),
            _ => return Ok(allow(StatusCode::METHOD_NOT_ALLOWED)),
        }
        let address = text(header::HeaderName::from_static("x-forwarded-for")).unwrap_or_default();
        self.state().visit(
            &head.method,
            path,
            query,
            text(header::USER_AGENT).as_deref(),
            text(header::REFERER).as_deref(),
            String::from_utf8_lossy(&address).into_owned(),
        )
    }
}

fn reply(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

fn allow(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = reply(status, String::new());
    response.headers_mut().insert(
        header::ALLOW,
        header::HeaderValue::from_static("GET, HEAD, OPTIONS"),
    );
    response
}

fn when(time: i64, format: &str) -> String {
    jiff::Timestamp::from_second(time)
        .expect("in range")
        .strftime(format)
        .to_string()
}

impl State {
    fn judge(
        &self,
        path: &str,
        query: &str,
        agent: Option<&[u8]>,
        referrer: Option<&[u8]>,
        address: String,
        time: i64,
    ) -> Option<(Click, String)> {
        let slug = path.strip_prefix('/')?;
        let at = self.links.iter().position(|(s, _)| s == slug)?;
        let (bot, browser, os, device) = match self.agents.get(agent) {
            Some(Agent::Bot) => (true, "", "", "bot"),
            Some(Agent::Browser {
                browser,
                os,
                device,
            }) => (false, browser.as_str(), os.as_str(), device.as_str()),
            _ => (false, "Something", "", "other"),
        };
        let click = Click {
            link: at as u64 + 1,
            time,
            address,
            agent: agent.unwrap_or_default().to_vec(),
            referrer: labels::referrer_host(referrer).unwrap_or_else(|| "(not text)".to_owned()),
            query: query.to_owned(),
            bot,
            browser: browser.to_owned(),
            os: os.to_owned(),
            device: device.to_owned(),
        };
        Some((click, self.links[at].1.clone()))
    }

    /// Whether the fault strikes now; most strike once.
    fn strikes(&mut self, fault: Fault, on: bool) -> bool {
        let strikes = self.fault == fault && on && !self.done;
        self.done |= strikes;
        strikes
    }

    fn visit(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        agent: Option<&[u8]>,
        referrer: Option<&[u8]>,
        address: String,
    ) -> Result<Response<Full<Bytes>>, Cut> {
        let now = jiff::Timestamp::now().as_second();
        let Some((mut click, destination)) = self.judge(path, query, agent, referrer, address, now)
        else {
            return Ok(reply(StatusCode::NOT_FOUND, String::new()));
        };
        let get = method == Method::GET;
        self.requests += u64::from(get);
        let cut = get && self.fault == Fault::CutsConnections && self.requests.is_multiple_of(7);
        let store =
            get && !(cut && self.requests.is_multiple_of(2)) && !self.strikes(Fault::LosesOne, get);
        if self.strikes(Fault::TakesOneBotForAPerson, store && click.bot) {
            click.bot = false;
        }
        if self.strikes(
            Fault::CallsOneChromeSafari,
            store && click.browser == "Chrome",
        ) {
            click.browser = "Safari".to_owned();
        }
        if self.strikes(Fault::InventsAnAttempt, store) {
            click.query = "attempt=99999999".to_owned();
        }
        if store {
            self.clicks.push(click.clone());
        }
        if self.strikes(Fault::StoresOneTwice, store) {
            self.clicks.push(click);
        }
        if cut {
            return Err(Cut);
        }
        let mut response = reply(StatusCode::FOUND, String::new());
        let location = if self.strikes(Fault::WrongLocation, get) {
            "https://elsewhere.example/".to_owned()
        } else {
            destination
        };
        response
            .headers_mut()
            .insert(header::LOCATION, location.parse().expect("legal"));
        Ok(response)
    }

    fn call(&mut self, call: &str, query: &str, body: &[u8], url: &str) -> Value {
        if call == "urls/bulk" {
            let wanted: Value = serde_json::from_slice(body).expect("JSON");
            let rows = wanted["urls"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|row| self.make(row, url));
            return json!({"error": 0, "results": rows.collect::<Vec<_>>()});
        }
        if let Some(short) = query.strip_prefix("short=").filter(|_| call == "urls") {
            let slug = short
                .strip_prefix(url)
                .and_then(|s| s.strip_prefix('/'))
                .unwrap_or_default();
            let at = self
                .links
                .iter()
                .position(|(s, _)| s == slug)
                .expect("asked for one that is there");
            return json!({"error": 0, "id": at + 1, "details": {"longurl": self.links[at].1}});
        }
        let rest = call.strip_prefix("url/").expect("a call of the replay");
        let (id, stats) = rest
            .split_once('/')
            .map_or((rest, false), |(id, _)| (id, true));
        let id: u64 = id.parse().expect("an id");
        let view = if stats {
            query.rsplit("bots=").next().unwrap_or_default()
        } else {
            "exclude"
        };
        let skip = usize::from(self.fault == Fault::StatsForgetOne && id == 1);
        let clicks: Vec<&Click> = self
            .in_view(view)
            .filter(|c| c.link == id)
            .skip(skip)
            .collect();
        let unique = visitors(&clicks);
        if !stats {
            return json!({"error": 0, "id": id, "details": {"longurl": self.links[id as usize - 1].1}, "data": {"clicks": clicks.len(), "uniqueClicks": unique}});
        }
        let by = |of: &dyn Fn(&Click) -> String| {
            let mut map: BTreeMap<String, u64> = BTreeMap::new();
            for click in &clicks {
                *map.entry(of(click)).or_default() += 1;
            }
            map
        };
        let format = if query.contains("granularity=hour") {
            "%Y-%m-%d %H:00:00"
        } else {
            "%Y-%m-%d"
        };
        let periods: Vec<Value> = by(&|c| when(c.time, format))
            .into_iter()
            .map(|(date, clicks)| json!({"date": date, "clicks": clicks}))
            .collect();
        let mut referrers = by(&|c| c.referrer.clone());
        if let Some(direct) = referrers.remove("") {
            referrers.insert("Direct, email and other".to_owned(), direct);
        }
        // What is not known is left out, as roll-ups do.
        let mut browsers = by(&|c| c.browser.clone());
        browsers.remove("");
        json!({"error": 0, "data": {
            "total_clicks": clicks.len(), "unique_clicks": unique, "daily": periods, "by_referrer": referrers,
            "by_browser": browsers, "by_os": by(&|c| format!("{} 10", c.os)), "by_device": by(&|c| c.device.clone()),
        }})
    }

    fn make(&mut self, row: &Value, url: &str) -> Value {
        let text = |name: &str| row[name].as_str().expect("a text").to_owned();
        let slug = text("custom");
        if self.links.iter().any(|(s, _)| *s == slug) {
            return json!({"error": 1, "message": format!("Custom alias '{slug}' is already in use")});
        }
        let short = format!("{url}/{slug}");
        self.links.push((slug, text("url")));
        json!({"error": 0, "id": self.links.len(), "shorturl": short})
    }

    fn in_view(&self, view: &str) -> impl Iterator<Item = &Click> {
        let (people, bots) = (view != "only", view != "exclude");
        self.clicks
            .iter()
            .filter(move |c| if c.bot { bots } else { people })
    }

    fn sql(&self, sql: &str) -> String {
        let view = if sql.contains("AND NOT is_bot") {
            "exclude"
        } else if sql.contains("AND is_bot") {
            "only"
        } else {
            "include"
        };
        let clicks = || self.in_view(view);
        let rows: Vec<Value> = if sql.starts_with("SELECT count() FROM signpost.clicks") {
            vec![json!([self.clicks.len().to_string()])]
        } else if sql.contains("FROM signpost.drops") || sql.contains("FROM signpost.dead_letters")
        {
            vec![json!(["0"])]
        } else if sql.starts_with("SELECT link, query") {
            clicks()
                .map(|c| {
                    json!([
                        c.link.to_string(),
                        c.query,
                        u8::from(c.bot),
                        c.referrer,
                        c.browser,
                        c.os,
                        c.device
                    ])
                })
                .collect()
        } else if sql.starts_with("SELECT link, count(), uniqExact(visitor)") {
            let links: HashSet<u64> = clicks().map(|c| c.link).collect();
            links
                .into_iter()
                .map(|link| {
                    let of: Vec<&Click> = clicks().filter(|c| c.link == link).collect();
                    json!([
                        link.to_string(),
                        of.len().to_string(),
                        visitors(&of).to_string()
                    ])
                })
                .collect()
        } else if sql.starts_with("SELECT link, referrer_host") {
            clicks()
                .map(|c| {
                    json!([
                        c.link.to_string(),
                        c.referrer,
                        c.browser,
                        c.os,
                        c.device,
                        "1"
                    ])
                })
                .collect()
        } else if sql.starts_with("SELECT link, formatDateTime") {
            let mut hours: BTreeMap<(u64, String), u64> = BTreeMap::new();
            for click in clicks() {
                *hours
                    .entry((click.link, when(click.time, "%Y-%m-%d %H")))
                    .or_default() += 1;
            }
            hours
                .into_iter()
                .map(|((link, hour), n)| json!([link.to_string(), hour, n.to_string()]))
                .collect()
        } else {
            panic!("no such query: {sql}");
        };
        rows.iter().map(|row| format!("{row}\n")).collect()
    }
}

fn visitors(clicks: &[&Click]) -> usize {
    clicks
        .iter()
        .map(|c| (&c.address, &c.agent))
        .collect::<HashSet<_>>()
        .len()
}
