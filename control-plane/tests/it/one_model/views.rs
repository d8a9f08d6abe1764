//! How each dialect names what the model holds, and what of it can be changed through which.

use http::Method;
use serde_json::{Value, json};

use super::{Model, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenMyLink,
    Urlr,
    Minilnk,
    SmartLinks,
}

pub(super) use Dialect::{Minilnk, OpenMyLink, SmartLinks, Urlr};

impl Dialect {
    pub(super) const ALL: [Self; 4] = [OpenMyLink, Urlr, Minilnk, SmartLinks];

    pub(super) fn base(self) -> &'static str {
        match self {
            OpenMyLink => "/api",
            Urlr => "/api/v2",
            Minilnk => "/api/v1",
            SmartLinks => "/v1",
        }
    }

    /// Path of a list of all links, where the links are in it, and their number.
    pub(super) fn list(self) -> (&'static str, &'static str, &'static str) {
        match self {
            OpenMyLink => ("/urls?limit=500", "/data/urls", "/data/result"),
            Urlr => ("/links?limit=50", "/links", "/total"),
            Minilnk => ("/links", "/data", "/total"),
            SmartLinks => ("/links?pageSize=100", "/data", "/total"),
        }
    }

    /// Path of a creation, and the names of URL, code and title.
    pub(super) fn names(self) -> (&'static str, [&'static str; 3]) {
        match self {
            OpenMyLink => ("/url/add", ["url", "custom", "title"]),
            Urlr => ("/links", ["url", "code", "label"]),
            Minilnk => ("/links", ["original_url", "alias", "title"]),
            SmartLinks => ("/links", ["url", "shortCode", "title"]),
        }
    }

    /// The code of a link that was made.
    pub(super) fn made_code(self, made: &Value) -> String {
        let code = match self {
            OpenMyLink => &made["shorturl"],
            Urlr => &made["code"],
            Minilnk => &made["short_code"],
            SmartLinks => &made["shortCode"],
        };
        let code = code.as_str().and_then(|code| code.rsplit('/').next());
        code.expect("a code").to_owned()
    }

    pub(super) fn show(self, id: &str) -> String {
        match self {
            OpenMyLink => format!("/url/{id}"),
            _ => format!("/links/{id}"),
        }
    }

    pub(super) fn edit(self, id: &str) -> (Method, String) {
        match self {
            OpenMyLink => (Method::PUT, format!("/url/{id}/update")),
            Urlr | SmartLinks => (Method::PATCH, format!("/links/{id}")),
            Minilnk => (Method::PUT, format!("/links/{id}")),
        }
    }

    pub(super) fn delete(self, id: &str) -> String {
        match self {
            OpenMyLink => format!("/url/{id}/delete"),
            _ => format!("/links/{id}"),
        }
    }
}

impl World {
    /// Changes a link as this dialect can: the body that says so.
    pub(super) fn change(&mut self, dialect: Dialect, link: &mut Model) -> Value {
        let n = self.made;
        let (_, [url, code, title]) = dialect.names();
        let mut body = json!({});
        let moves = self.dice.flip();
        if moves {
            link.url = format!("https://e.test/moved/{n}");
        }
        // Minilnk wants the URL in each change.
        if moves || dialect == Minilnk {
            body[url] = json!(link.url);
        }
        if self.dice.flip() {
            link.title = self.dice.text("New", n);
            body[title] = match (&link.title, dialect) {
                (None, Urlr | SmartLinks) => Value::Null,
                (title, _) => json!(title.clone().unwrap_or_default()),
            };
        }
        if dialect != Minilnk && self.dice.roll(4) == 0 {
            (link.code, link.is_chosen) = (format!("n{n}y"), true);
            body[code] = json!(link.code);
        }
        match dialect {
            OpenMyLink => self.change_openmylink(link, &mut body),
            Urlr => self.change_urlr(link, &mut body),
            Minilnk => self.change_minilnk(link, &mut body),
            SmartLinks => {
                if self.dice.flip() {
                    link.metadata = match self.dice.roll(3) {
                        0 => Value::Null,
                        _ => json!({ "n": n, "nested": { "list": [1, "two", null] } }),
                    };
                    body["metadata"] = link.metadata.clone();
                }
            }
        }
        body
    }

    fn change_openmylink(&mut self, link: &mut Model, body: &mut Value) {
        let n = self.made;
        for _ in 0..2 {
            match self.dice.roll(10) {
                0 => {
                    link.description = self.dice.text("About", n);
                    body["description"] = json!(link.description.clone().unwrap_or_default());
                }
                1 => {
                    link.is_disabled = self.dice.flip();
                    body["disabled"] = json!(link.is_disabled);
                }
                2 => {
                    link.has_password = self.dice.flip();
                    body["password"] = json!(if link.has_password { "a secret" } else { "" });
                }
                3 => {
                    link.expires = self.year();
                    let date = |year| format!("{year}-01-02 03:04:05");
                    body["expiry"] = json!(link.expires.map(date).unwrap_or_default());
                }
                4 => {
                    link.folder = self.folder();
                    body["folder"] = link
                        .folder
                        .map_or(json!(""), |at| json!(self.folders[at].0));
                }
                5 => {
                    link.tags = self.some_tags();
                    let names: Vec<String> = link.tags.iter().map(|n| format!("tag {n}")).collect();
                    body["tags"] = json!(names);
                }
                6 => {
                    link.utm_source = self.dice.text("mail", n);
                    body["utm_source"] = json!(link.utm_source.clone().unwrap_or_default());
                }
                7 => {
                    link.meta_title = self.dice.text("Preview", n);
                    body["metatitle"] = json!(link.meta_title.clone().unwrap_or_default());
                }
                8 => {
                    link.max_clicks = self.dice.flip().then_some(n as u64 + 1);
                    body["max_clicks"] = json!(link.max_clicks.unwrap_or(0));
                }
                _ => {
                    link.rules = match self.dice.flip() {
                        true => json!([]),
                        false => {
                            json!([{"match": "any", "conditions": [{"type": "country", "values": ["US"]}], "url": format!("https://e.test/us/{n}")}])
                        }
                    };
                    body["rules"] = link.rules.clone();
                }
            }
        }
    }

    fn change_urlr(&mut self, link: &mut Model, body: &mut Value) {
        let n = self.made;
        for _ in 0..2 {
            match self.dice.roll(10) {
                0 => {
                    link.geolinks = match self.dice.roll(3) {
                        0 => json!([]),
                        _ => json!([{
                            "conditions": [
                                { "type": "country", "value": "DE", "operator": "AND" },
                                { "type": "language", "value": "de", "operator": "OR" },
                                { "type": "system", "value": "Android", "operator": null },
                            ],
                            "url": format!("https://e.test/geo/{n}"),
                        }]),
                    };
                    body["geolinks"] = link.geolinks.clone();
                }
                1 => {
                    link.expires = self.year();
                    body["expired_at"] = instant(link.expires);
                }
                2 => {
                    link.deletes = self.year();
                    body["delete_at"] = instant(link.deletes);
                }
                3 => {
                    link.ends_with_its_time = self.dice.flip();
                    body["delete_after_expiration"] = json!(link.ends_with_its_time);
                }
                4 => {
                    link.has_password = self.dice.flip();
                    body["password"] = json!(link.has_password.then_some("another secret"));
                }
                5 => {
                    link.folder = self.folder();
                    body["folder_id"] = json!(link.folder.map(|at| &self.folders[at].1));
                }
                6 => {
                    link.tags = self.some_tags();
                    let ids: Vec<&String> = link.tags.iter().map(|at| &self.tags[*at]).collect();
                    body["tags"] = json!(ids);
                }
                7 => {
                    link.utm_source = self.dice.text("news", n);
                    body["utm"] = json!({ "source": link.utm_source });
                }
                8 => {
                    link.meta_title = self.dice.text("Card", n);
                    body["metatag"] = json!({ "title": link.meta_title });
                }
                _ => {
                    link.expired_title = self.dice.text("Over", n);
                    body["expired_title"] = json!(link.expired_title);
                }
            }
        }
    }

    fn change_minilnk(&mut self, link: &mut Model, body: &mut Value) {
        match self.dice.roll(3) {
            0 => {
                link.has_password = self.dice.flip();
                if link.has_password {
                    body["password"] = json!("a third secret");
                } else {
                    body["remove_password"] = json!(true);
                }
            }
            1 => {
                link.expires = self.year();
                if link.expires.is_some() {
                    body["expires_at"] = instant(link.expires);
                } else {
                    body["remove_expiration"] = json!(true);
                }
            }
            _ => {}
        }
    }

    fn year(&mut self) -> Option<u16> {
        self.dice.pick(&[None, Some(2090), Some(2091), Some(2092)])
    }

    fn folder(&mut self) -> Option<usize> {
        let at = self.dice.roll(self.folders.len() + 1);
        (at < self.folders.len()).then_some(at)
    }

    fn some_tags(&mut self) -> Vec<usize> {
        let all = 0..self.tags.len();
        all.filter(|_| self.dice.flip()).collect()
    }

    /// What a list shows of a link, by place.
    pub(super) fn in_list(&self, dialect: Dialect, link: &Model) -> Vec<(&'static str, Value)> {
        match dialect {
            OpenMyLink => vec![
                ("/id", link.ids[0].parse::<i64>().expect("a number").into()),
                ("/longurl", json!(link.url)),
                ("/alias", json!(link.code)),
                ("/title", json!(link.title.as_deref().unwrap_or(""))),
                (
                    "/description",
                    json!(link.description.as_deref().unwrap_or("")),
                ),
            ],
            _ => self.alone(dialect, link),
        }
    }

    /// What is shown of a link by itself, by place.
    pub(super) fn alone(&self, dialect: Dialect, link: &Model) -> Vec<(&'static str, Value)> {
        let or_empty = |text: &Option<String>| json!(text.as_deref().unwrap_or(""));
        match dialect {
            OpenMyLink => vec![
                ("/details/longurl", json!(link.url)),
                ("/details/alias", json!(link.code)),
                ("/details/title", or_empty(&link.title)),
                ("/details/description", or_empty(&link.description)),
                ("/details/disabled", json!(link.is_disabled)),
                ("/details/password", json!(link.has_password)),
                (
                    "/details/expiry",
                    json!(link.expires.map(|year| format!("{year}-01-02 03:04:05"))),
                ),
                (
                    "/details/folder/id",
                    json!(link.folder.map(|at| self.folders[at].0)),
                ),
                ("/details/tags/0/name", tag(link, 0)),
                ("/details/tags/1/name", tag(link, 1)),
                ("/details/tags/2/name", tag(link, 2)),
                ("/details/utm_source", or_empty(&link.utm_source)),
                ("/details/metatitle", or_empty(&link.meta_title)),
                ("/details/max_clicks", json!(link.max_clicks)),
                ("/details/rules", link.rules.clone()),
            ],
            Urlr => vec![
                ("/id", json!(link.ids[1])),
                ("/url", json!(link.url)),
                ("/code", json!(link.code)),
                ("/label", json!(link.title)),
                (
                    "/password",
                    json!(link.has_password.then_some("**********")),
                ),
                ("/expired_at", instant(link.expires)),
                ("/delete_at", instant(link.deletes)),
                ("/delete_after_expiration", json!(link.ends_with_its_time)),
                (
                    "/folder_id",
                    json!(link.folder.map(|at| &self.folders[at].1)),
                ),
                ("/tags/0/name", tag(link, 0)),
                ("/tags/1/name", tag(link, 1)),
                ("/tags/2/name", tag(link, 2)),
                ("/utm/source", json!(link.utm_source)),
                ("/metatag/title", json!(link.meta_title)),
                ("/expired_title", json!(link.expired_title)),
                ("/geolinks", link.geolinks.clone()),
            ],
            Minilnk => vec![
                ("/id", link.ids[2].parse::<i64>().expect("a number").into()),
                ("/original_url", json!(link.url)),
                ("/short_code", json!(link.code)),
                ("/alias", json!(link.is_chosen.then_some(&link.code))),
                ("/title", json!(link.title)),
                ("/description", json!(link.description)),
                ("/is_active", json!(!link.is_disabled)),
            ],
            SmartLinks => vec![
                ("/id", json!(link.ids[3])),
                ("/url", json!(link.url)),
                ("/shortCode", json!(link.code)),
                ("/title", json!(link.title)),
                ("/metadata", link.metadata.clone()),
            ],
        }
    }
}

/// Name of a link's tag at a place, where it has one.
fn tag(link: &Model, at: usize) -> Value {
    json!(link.tags.get(at).map(|n| format!("tag {n}")))
}

/// An instant of a year as URLR and Minilnk write it.
fn instant(year: Option<u16>) -> Value {
    json!(year.map(|year| format!("{year}-01-02T03:04:05Z")))
}
