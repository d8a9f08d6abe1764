//! One model under four dialects: whatever is done to links through any of them, all four show the same links afterwards,
//! and what a dialect has no name for survives its edits.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{TestApp, on_both_engines};

/// Operations of one run.
const STEPS: usize = 60;

/// More calls a minute than a run makes.
const RATE: u32 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    OpenMyLink,
    Urlr,
    Minilnk,
    SmartLinks,
}

use Dialect::{Minilnk, OpenMyLink, SmartLinks, Urlr};

const ALL: [Dialect; 4] = [OpenMyLink, Urlr, Minilnk, SmartLinks];

/// A link as plain code keeps it.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    /// In the order of [`ALL`].
    ids: [String; 4],
    url: String,
    code: String,
    title: Option<String>,
    has_password: bool,
    expires: bool,
    geolinks: Value,
    metadata: Value,
}

/// Numbers that look random and are the same in each run.
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
}

struct World {
    app: TestApp,
    key: String,
    dice: Dice,
    links: Vec<Model>,
    made: usize,
}

impl World {
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
        let base = match dialect {
            OpenMyLink => "/api",
            Urlr => "/api/v2",
            Minilnk => "/api/v1",
            SmartLinks => "/v1",
        };
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = self
            .app
            .call(method, &format!("{base}{path}"), &headers, body)
            .await;
        let json = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        (answer.status, json)
    }

    #[track_caller]
    fn done(&self, what: &str, (status, answer): (StatusCode, Value)) -> Value {
        let is_error = answer["error"].as_u64().is_some_and(|error| error != 0);
        assert!(
            status.is_success() && !is_error,
            "{what}: {status} {answer}"
        );
        answer
    }

    /// The ids of all links in the order of their making, by code.
    async fn id_of(&self, dialect: Dialect, code: &str) -> String {
        let (path, list, code_name, id) = match dialect {
            OpenMyLink => ("/urls?limit=500", "/data/urls", "alias", "id"),
            Urlr => ("/links?limit=50", "/links", "code", "id"),
            Minilnk => ("/links", "/data", "short_code", "id"),
            SmartLinks => ("/links?pageSize=100", "/data", "shortCode", "id"),
        };
        let answer = self.done(path, self.call(dialect, Method::GET, path, None).await);
        let links = answer
            .pointer(list)
            .and_then(Value::as_array)
            .expect("a list");
        let found = links.iter().find(|link| link[code_name] == code);
        let id = &found.unwrap_or_else(|| panic!("{dialect:?}: no {code} in {answer}"))[id];
        id.as_str().map_or_else(|| id.to_string(), str::to_owned)
    }

    async fn create(&mut self) {
        let dialect = self.dice.pick(&ALL);
        self.made += 1;
        let chosen = self.dice.roll(2) == 0;
        let code = format!("c{}x", self.made);
        let url = format!("https://e.test/{}", self.made);
        let title = (self.dice.roll(3) > 0).then(|| format!("Title {}", self.made));
        let (path, names) = match dialect {
            OpenMyLink => ("/url/add", ["url", "custom", "title"]),
            Urlr => ("/links", ["url", "code", "label"]),
            // Reads the page's title when there is none; asking is switched off here.
            Minilnk => ("/links", ["original_url", "alias", "title"]),
            SmartLinks => ("/links", ["url", "shortCode", "title"]),
        };
        let mut body = json!({ names[0]: url });
        if chosen {
            body[names[1]] = json!(code);
        }
        if let Some(title) = &title {
            body[names[2]] = json!(title);
        }
        let made = self.done(
            path,
            self.call(dialect, Method::POST, path, Some(&body)).await,
        );
        let code = match dialect {
            OpenMyLink => made["shorturl"]
                .as_str()
                .and_then(|url| url.rsplit('/').next())
                .expect("a code")
                .to_owned(),
            Urlr => made["code"].as_str().expect("a code").to_owned(),
            Minilnk => made["short_code"].as_str().expect("a code").to_owned(),
            SmartLinks => made["shortCode"].as_str().expect("a code").to_owned(),
        };
        let mut ids = Vec::new();
        for dialect in ALL {
            ids.push(self.id_of(dialect, &code).await);
        }
        self.links.push(Model {
            ids: ids.try_into().expect("four"),
            url,
            code,
            title,
            has_password: false,
            expires: false,
            geolinks: json!([]),
            metadata: Value::Null,
        });
    }

    async fn edit(&mut self) {
        let at = self.dice.roll(self.links.len());
        let mut link = self.links[at].clone();
        let dialect = self.dice.pick(&ALL);
        let mut body = json!({});
        self.made += 1;
        let n = self.made;
        let new_url = self.dice.roll(2) == 0;
        if new_url {
            link.url = format!("https://e.test/moved/{n}");
        }
        if self.dice.roll(2) == 0 {
            link.title = Some(format!("New {n}"));
        }
        let new_code = self.dice.roll(4) == 0 && dialect != Minilnk;
        if new_code {
            link.code = format!("n{n}y");
        }
        let [url, code, title] = match dialect {
            OpenMyLink => ["url", "custom", "title"],
            Urlr => ["url", "code", "label"],
            Minilnk => ["original_url", "alias", "title"],
            SmartLinks => ["url", "shortCode", "title"],
        };
        // Minilnk wants the URL in each change.
        if new_url || dialect == Minilnk {
            body[url] = json!(link.url);
        }
        if link.title != self.links[at].title {
            body[title] = json!(link.title);
        }
        if new_code {
            body[code] = json!(link.code);
        }
        match (dialect, self.dice.roll(3)) {
            (Urlr, 0) => {
                link.geolinks = json!([{
                    "conditions": [
                        { "type": "country", "value": "DE", "operator": "AND" },
                        { "type": "language", "value": "de", "operator": "OR" },
                        { "type": "system", "value": "Android", "operator": null },
                    ],
                    "url": format!("https://e.test/geo/{n}"),
                }]);
                body["geolinks"] = link.geolinks.clone();
            }
            (Urlr, 1) => {
                link.expires = !link.expires;
                body["expired_at"] = if link.expires {
                    json!("2090-01-01T00:00:00Z")
                } else {
                    Value::Null
                };
            }
            (SmartLinks, 0) => {
                link.metadata = json!({ "n": n, "nested": { "list": [1, "two", null] } });
                body["metadata"] = link.metadata.clone();
            }
            (Minilnk, 0) if link.has_password => {
                link.has_password = false;
                body["remove_password"] = json!(true);
            }
            (Minilnk | OpenMyLink, 1) => {
                link.has_password = true;
                body["password"] = json!("a secret");
            }
            _ => {}
        }
        if body == json!({}) {
            return;
        }
        let id = &link.ids[dialect as usize];
        let (method, path) = match dialect {
            OpenMyLink => (Method::PUT, format!("/url/{id}/update")),
            Urlr | SmartLinks => (Method::PATCH, format!("/links/{id}")),
            Minilnk => (Method::PUT, format!("/links/{id}")),
        };
        let what = format!("{dialect:?} {body}");
        self.done(&what, self.call(dialect, method, &path, Some(&body)).await);
        self.links[at] = link;
    }

    async fn delete(&mut self) {
        let at = self.dice.roll(self.links.len());
        let link = self.links.swap_remove(at);
        let dialect = self.dice.pick(&ALL);
        let id = &link.ids[dialect as usize];
        let path = match dialect {
            OpenMyLink => format!("/url/{id}/delete"),
            _ => format!("/links/{id}"),
        };
        self.done(
            &format!("{dialect:?} {path}"),
            self.call(dialect, Method::DELETE, &path, None).await,
        );
        for dialect in ALL {
            let (status, answer) = self.show(dialect, &link).await;
            let is_gone = match dialect {
                OpenMyLink => answer["error"] == 1,
                _ => status == StatusCode::NOT_FOUND,
            };
            assert!(is_gone, "{dialect:?} still shows {link:?}: {answer}");
        }
    }

    async fn show(&self, dialect: Dialect, link: &Model) -> (StatusCode, Value) {
        let id = &link.ids[dialect as usize];
        let path = match dialect {
            OpenMyLink => format!("/url/{id}"),
            _ => format!("/links/{id}"),
        };
        self.call(dialect, Method::GET, &path, None).await
    }

    /// All four dialects show the link as the model has it.
    async fn compare(&self, link: &Model) {
        for dialect in ALL {
            let shown = self.show(dialect, link).await;
            let answer = self.done(&format!("{dialect:?} {link:?}"), shown);
            let (names, title) = match dialect {
                OpenMyLink => (["/details/longurl", "/details/alias"], "/details/title"),
                Urlr => (["/url", "/code"], "/label"),
                Minilnk => (["/original_url", "/short_code"], "/title"),
                SmartLinks => (["/url", "/shortCode"], "/title"),
            };
            let of = |path: &str| answer.pointer(path).cloned().unwrap_or(Value::Null);
            let expected = [json!(link.url), json!(link.code)];
            assert_eq!(names.map(of), expected, "{dialect:?} {answer}");
            let shown = of(title)
                .as_str()
                .filter(|title| !title.is_empty())
                .map(str::to_owned);
            assert_eq!(shown, link.title, "{dialect:?} {answer}");
            match dialect {
                OpenMyLink => {
                    assert_eq!(
                        of("/details/password"),
                        json!(link.has_password),
                        "{answer}"
                    );
                    assert_eq!(!of("/details/expiry").is_null(), link.expires, "{answer}");
                }
                Urlr => {
                    assert_eq!(!of("/password").is_null(), link.has_password, "{answer}");
                    assert_eq!(!of("/expired_at").is_null(), link.expires, "{answer}");
                    assert_eq!(of("/geolinks"), link.geolinks, "{answer}");
                }
                Minilnk => {}
                SmartLinks => assert_eq!(of("/metadata"), link.metadata, "{answer}"),
            }
        }
    }

    /// All four lists hold as many links as the model.
    async fn count(&self) {
        for (dialect, path, total) in [
            (OpenMyLink, "/urls", "/data/result"),
            (Urlr, "/links", "/total"),
            (Minilnk, "/links", "/total"),
            (SmartLinks, "/links", "/total"),
        ] {
            let answer = self.done(path, self.call(dialect, Method::GET, path, None).await);
            assert_eq!(
                answer.pointer(total),
                Some(&json!(self.links.len())),
                "{dialect:?}"
            );
        }
    }
}

on_both_engines! {
    async fn four_views_of_links_agree_after_any_edit(app) {
        let seed = 0x51_9057;
        // One dialect is not for the free plan.
        let paid = control_plane::store::plans::assign(&app.running.store, 1, 3, None).await;
        assert!(paid.expect("set"));
        let key = app.key("many calls", Some(RATE)).await;
        let mut world = World { app, key, dice: Dice(seed), links: Vec::new(), made: 0 };
        for _ in 0..STEPS {
            // Seldom more links than the shortest page of a list.
            match world.dice.roll(10) {
                0..4 if world.links.len() < 14 => world.create().await,
                9 if !world.links.is_empty() => world.delete().await,
                _ if !world.links.is_empty() => world.edit().await,
                _ => world.create().await,
            }
            for link in &world.links {
                world.compare(link).await;
            }
            world.count().await;
        }
    }
}
