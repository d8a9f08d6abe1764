//! One model under four dialects: whatever is done to links through any of them, all four show the same links afterwards, in
//! their lists and one by one, and what a dialect has no name for survives its edits.
//!
//! Each run has dice of its own. Its seed is on standard error, and in what a failure says; `SIGNPOST_TEST_SEED` takes it again.

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{TestApp, on_both_engines};

mod views;

use views::{Dialect, OpenMyLink, Urlr};

/// How long operations are made, and how many at most.
const BUDGET: Duration = Duration::from_secs(10);
const MOST_STEPS: usize = 400;

/// Fewer than these prove little: also a busy machine makes them.
const LEAST_STEPS: usize = 15;

/// More links than this do not come into being: all are in the shortest page of a list.
const MOST_LINKS: usize = 9;

/// More calls a minute than a run makes.
const RATE: u32 = 1_000_000;

/// Folders there are, and tags: as many as every dialect shows of a link.
const FOLDERS: usize = 2;
const TAGS: usize = 3;

/// A link as plain code keeps it.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    /// In the order of [`Dialect::ALL`].
    ids: [String; 4],
    url: String,
    code: String,
    /// Whether its owner chose the code.
    is_chosen: bool,
    title: Option<String>,
    description: Option<String>,
    is_disabled: bool,
    has_password: bool,
    /// Years.
    expires: Option<u16>,
    deletes: Option<u16>,
    ends_with_its_time: bool,
    folder: Option<usize>,
    /// Places in the list of tags, in order.
    tags: Vec<usize>,
    utm_source: Option<String>,
    meta_title: Option<String>,
    expired_title: Option<String>,
    max_clicks: Option<u64>,
    geolinks: Value,
    rules: Value,
    metadata: Value,
}

/// Numbers that look random; the same for a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }

    /// Yes or no.
    fn flip(&mut self) -> bool {
        self.roll(2) == 0
    }

    /// A text with this in it, or none.
    fn text(&mut self, what: &str, n: usize) -> Option<String> {
        (self.roll(3) > 0).then(|| format!("{what} {n} <ü> & co"))
    }
}

/// The seed of this run, which is told in any case.
#[allow(
    clippy::disallowed_methods,
    reason = "settings of a test are no settings of the program"
)]
fn seed() -> u64 {
    let given = std::env::var("SIGNPOST_TEST_SEED").ok();
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH);
    let fresh = fresh.map_or(0, |now| now.as_micros() as u64);
    let seed = given.and_then(|text| text.parse().ok()).unwrap_or(fresh);
    let _ = writeln!(std::io::stderr(), "one_model: SIGNPOST_TEST_SEED={seed}");
    seed
}

struct World {
    app: TestApp,
    key: String,
    dice: Dice,
    /// Oldest first.
    links: Vec<Model>,
    made: usize,
    /// Ids of folders and tags: number, and UUID.
    folders: Vec<(i64, String)>,
    tags: Vec<String>,
}

impl World {
    async fn new(app: TestApp) -> Self {
        // One dialect is not for the free plan.
        let paid = control_plane::store::plans::assign(&app.running.store, 1, 3, None).await;
        assert!(paid.expect("set"));
        let key = app.key("many calls", Some(RATE)).await;
        let mut world = Self {
            app,
            key,
            dice: Dice(seed()),
            links: Vec::new(),
            made: 0,
            folders: Vec::new(),
            tags: Vec::new(),
        };
        for n in 0..FOLDERS {
            let body = json!({ "name": format!("folder {n}") });
            let made = world
                .done(Urlr, Method::POST, "/folders", Some(&body))
                .await;
            let listed = world.done(OpenMyLink, Method::GET, "/folders", None).await;
            let rows = listed["data"]["folders"].as_array().expect("folders");
            let row = rows.iter().find(|row| row["name"] == body["name"]);
            let number = row.expect("the folder")["id"].as_i64().expect("a number");
            let uuid = made["id"].as_str().expect("an id").to_owned();
            world.folders.push((number, uuid));
        }
        for n in 0..TAGS {
            let body = json!({ "name": format!("tag {n}") });
            let made = world.done(Urlr, Method::POST, "/tags", Some(&body)).await;
            let uuid = made["id"].as_str().expect("an id").to_owned();
            world.tags.push(uuid);
        }
        world
    }

    async fn call(
        &self,
        dialect: Dialect,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let bearer = format!("Bearer {}", self.key);
        let mut headers = vec![match dialect {
            Urlr => ("x-api-key", self.key.as_str()),
            _ => ("authorization", bearer.as_str()),
        }];
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let path = format!("{}{path}", dialect.base());
        let answer = self.app.call(method, &path, &headers, body).await;
        let json = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        (answer.status, json)
    }

    /// A call that must succeed.
    async fn done(
        &self,
        dialect: Dialect,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Value {
        let (status, answer) = self.call(dialect, method.clone(), path, body).await;
        let is_error = answer["error"].as_u64().is_some_and(|error| error != 0);
        assert!(
            status.is_success() && !is_error,
            "{dialect:?} {method} {path} {body:?}: {status} {answer}"
        );
        answer
    }

    /// All links of a dialect, newest first, and how many it says there are.
    async fn listed(&self, dialect: Dialect) -> (Vec<Value>, Value) {
        let (path, links, total) = dialect.list();
        let answer = self.done(dialect, Method::GET, path, None).await;
        let at = |path: &str| answer.pointer(path).cloned().unwrap_or(Value::Null);
        (at(links).as_array().expect("a list").clone(), at(total))
    }

    async fn create(&mut self) {
        let dialect = self.dice.pick(&Dialect::ALL);
        self.made += 1;
        let n = self.made;
        let is_chosen = self.dice.flip();
        let (code, url) = (format!("c{n}x"), format!("https://e.test/{n}"));
        let title = self.dice.text("Title", n);
        let (path, [url_name, code_name, title_name]) = dialect.names();
        // Without a title Minilnk reads the page's; asking is switched off here.
        let mut body = json!({ url_name: url });
        if is_chosen {
            body[code_name] = json!(code);
        }
        if let Some(title) = &title {
            body[title_name] = json!(title);
        }
        let made = self.done(dialect, Method::POST, path, Some(&body)).await;
        let code = dialect.made_code(&made);
        let mut ids = Vec::new();
        for dialect in Dialect::ALL {
            let (links, _) = self.listed(dialect).await;
            let id = &links[0]["id"];
            ids.push(id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        }
        self.links.push(Model {
            ids: ids.try_into().expect("four"),
            url,
            code,
            is_chosen,
            title,
            description: None,
            is_disabled: false,
            has_password: false,
            expires: None,
            deletes: None,
            ends_with_its_time: false,
            folder: None,
            tags: Vec::new(),
            utm_source: None,
            meta_title: None,
            expired_title: None,
            max_clicks: None,
            geolinks: json!([]),
            rules: json!([]),
            metadata: Value::Null,
        });
    }

    async fn edit(&mut self) {
        let at = self.dice.roll(self.links.len());
        let mut link = self.links[at].clone();
        let dialect = self.dice.pick(&Dialect::ALL);
        self.made += 1;
        let body = self.change(dialect, &mut link);
        if body == json!({}) {
            return;
        }
        let (method, path) = dialect.edit(&link.ids[dialect as usize]);
        self.done(dialect, method, &path, Some(&body)).await;
        self.links[at] = link;
    }

    async fn delete(&mut self) {
        let at = self.dice.roll(self.links.len());
        let link = self.links.remove(at);
        let dialect = self.dice.pick(&Dialect::ALL);
        let path = dialect.delete(&link.ids[dialect as usize]);
        self.done(dialect, Method::DELETE, &path, None).await;
        for dialect in Dialect::ALL {
            let path = dialect.show(&link.ids[dialect as usize]);
            let (status, answer) = self.call(dialect, Method::GET, &path, None).await;
            let is_gone = match dialect {
                OpenMyLink => answer["error"] == 1,
                _ => status == StatusCode::NOT_FOUND,
            };
            assert!(is_gone, "{dialect:?} still shows {link:?}: {answer}");
        }
    }

    /// All four lists are the model, in order, and all four show this link as the model has it.
    async fn compare(&self, shown: Option<usize>) {
        for dialect in Dialect::ALL {
            let (links, total) = self.listed(dialect).await;
            assert_eq!(total, self.links.len(), "{dialect:?}");
            assert_eq!(links.len(), self.links.len(), "{dialect:?}");
            for (link, row) in self.links.iter().rev().zip(&links) {
                for (path, expected) in self.in_list(dialect, link) {
                    let found = row.pointer(path).unwrap_or(&Value::Null);
                    assert_eq!(found, &expected, "{dialect:?} {path} of {link:?}: {row}");
                }
            }
            let Some(link) = shown.and_then(|at| self.links.get(at)) else {
                continue;
            };
            let path = dialect.show(&link.ids[dialect as usize]);
            let answer = self.done(dialect, Method::GET, &path, None).await;
            for (path, expected) in self.alone(dialect, link) {
                let found = answer.pointer(path).unwrap_or(&Value::Null);
                assert_eq!(found, &expected, "{dialect:?} {path} of {link:?}: {answer}");
            }
        }
    }
}

on_both_engines! {
    async fn four_views_of_links_agree_after_any_edit(app) {
        let mut world = World::new(app).await;
        let began = Instant::now();
        let mut steps = 0;
        while steps < MOST_STEPS && (began.elapsed() < BUDGET || steps < LEAST_STEPS) {
            steps += 1;
            match world.dice.roll(12) {
                _ if world.links.is_empty() => world.create().await,
                0..3 if world.links.len() < MOST_LINKS => world.create().await,
                3 => world.delete().await,
                _ => world.edit().await,
            }
            // Any link: an edit must not reach another.
            let shown = world.dice.roll(world.links.len().max(1));
            world.compare(Some(shown)).await;
        }
        for at in 0..world.links.len() {
            world.compare(Some(at)).await;
        }
        let _ = writeln!(std::io::stderr(), "one_model: {steps} operations in {:?}", began.elapsed());
    }
}
