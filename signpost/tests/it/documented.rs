//! The examples on the dialects' pages in `docs/api`, run as they are printed: only addresses, keys and ids are replaced.

use std::process::Command;

use serde_json::{Value, json};

use crate::clients::{GENERATOR, URLR};
use crate::harness::{Up, cache};

/// A page with its examples.
struct Page {
    name: &'static str,
    text: String,
}

impl Page {
    fn of(name: &'static str) -> Self {
        let file = format!("{}/../docs/api/{name}.md", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        Self { name, text }
    }

    /// The one example of its first calls in a language, with these texts replaced, each of which must be there.
    #[track_caller]
    fn example(&self, language: &str, replaced: &[(&str, &str)]) -> String {
        self.example_in("Moving over", language, replaced)
    }

    /// The one example of a section in a language, likewise.
    #[track_caller]
    fn example_in(&self, section: &str, language: &str, replaced: &[(&str, &str)]) -> String {
        let fence = format!("```{language}\n");
        let mut sections = self.text.split("\n## ");
        let section = sections.find(|text| text.starts_with(section));
        let mut parts = section.expect("the section").split(&fence);
        let (Some(_), Some(example), None) = (parts.next(), parts.next(), parts.next()) else {
            panic!("{}: not one example in {language}", self.name);
        };
        let (example, _) = example.split_once("\n```").expect("its end");
        let mut example = example.to_owned();
        for (old, new) in replaced {
            assert!(example.contains(old), "{} {language}: no {old}", self.name);
            example = example.replace(old, new);
        }
        example
    }
}

/// What runs examples.
struct Shell<'a> {
    here: &'a Up,
    /// Stands for a hosted service that somebody leaves.
    there: &'a Up,
    folder: tempfile::TempDir,
}

impl Shell<'_> {
    #[track_caller]
    fn run(&self, mut program: Command) -> String {
        let output = program
            .env("API", format!("http://{}", self.here.api))
            .env("KEY", self.here.key())
            .env("OLD_KEY", self.there.key())
            .output()
            .unwrap_or_else(|error| panic!("{program:?}: {error}: make test fetches it"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{program:?} {said}{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.here.log()
        );
        said
    }

    #[track_caller]
    fn sh(&self, example: &str) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-euc", example]);
        self.run(shell)
    }

    /// What a command line answers.
    #[track_caller]
    fn json(&self, example: &str) -> Value {
        serde_json::from_str(&self.sh(example)).expect("JSON")
    }

    #[track_caller]
    fn python(&self, environment: &str, example: &str) -> String {
        let mut python = Command::new(cache().join(environment).join("bin/python"));
        let key = "import os\nKEY = os.environ['KEY']\n";
        python.args(["-c", &format!("{key}{example}")]);
        self.run(python)
    }

    #[track_caller]
    fn node(&self, example: &str) -> String {
        let file = self.folder.path().join("example.mjs");
        std::fs::write(&file, example).unwrap();
        let mut node = Command::new("node");
        node.arg(&file);
        self.run(node)
    }
}

/// A call in any dialect.
#[track_caller]
fn call(up: &Up, method: &str, path: &str, body: &Value) -> Value {
    let url = format!("http://{}{path}", up.api);
    let (key, bearer) = (up.key(), format!("Bearer {}", up.key()));
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-api-key", key.as_str()),
        ("content-type", "application/json"),
    ];
    let body = (!body.is_null()).then(|| body.to_string());
    let answer = up
        .try_send(method, &url, &headers, body.as_deref())
        .expect("an answer");
    assert!(matches!(answer.status, 200 | 201), "{path} {answer:?}");
    answer.json()
}

#[test]
fn the_first_calls_of_each_dialects_page_work_as_printed() {
    let here = Up::start();
    let shell = Shell {
        here: &here,
        there: &here,
        folder: tempfile::tempdir().unwrap(),
    };
    let local = ("127.0.0.1:8081", here.api.to_string());
    let local = (local.0, local.1.as_str());

    let page = Page::of("openmylink");
    let made = shell.json(&page.example("sh", &[local]));
    assert_eq!(made["error"], 0, "{made}");
    let made = page.example("python", &[local, ("spring-sale", "spring-py")]);
    assert!(shell.python(GENERATOR, &made).ends_with("/spring-py\n"));
    let made = page.example("js", &[local, ("spring-sale", "spring-js")]);
    assert!(shell.node(&made).ends_with("/spring-js\n"));

    let page = Page::of("urlr");
    let made = shell.json(&page.example("sh", &[local]));
    assert_eq!(made["code"], "spring/été", "{made}");
    let newest = URLR.last().expect("a client");
    let said = shell.python(newest, &page.example("python", &[local]));
    assert_eq!(said.split_whitespace().count(), 2, "{said}");
    let said = shell.node(&page.example("js", &[local]));
    assert!(said.contains("https://example.com/"), "{said}");

    let page = Page::of("minilnk");
    let made = shell.json(&page.example("sh", &[]));
    assert_eq!(made["alias"], "hnnews", "{made}");
    let (url, id) = (made["short_url"].as_str().unwrap(), made["id"].to_string());
    // The id first: there may be such a number in the address.
    let filled = [("43", &*id), ("https://go.example/hnnews", url)];
    let said = shell.node(&page.example("js", &filled));
    assert!(said.starts_with("201 http"), "{said}");

    let page = Page::of("smartlinks");
    let made = shell.json(&page.example("sh", &[]));
    assert_eq!(made["metadata"]["campaign"], "summer-sale", "{made}");
    let id = made["id"].as_str().unwrap();
    let said = shell.node(&page.example("js", &[("link_1b", id)]));
    assert_eq!(said, "0 { ios: 0, android: 0, web: 0 }\n");
}

/// What a dialect's programs bring over.
struct Moved {
    page: &'static str,
    hosted: &'static str,
    base: &'static str,
    /// Links there are: more than one page of a list.
    links: usize,
    /// A list of those that have come over, and the names of URL, code and title in it.
    list: &'static str,
    data: &'static str,
    names: [&'static str; 3],
}

const MOVED: [Moved; 3] = [
    Moved {
        page: "minilnk",
        hosted: "https://minilink.at/api/v1",
        base: "/api/v1",
        links: 17,
        list: "/api/v1/links?search=old16",
        data: "data",
        names: ["original_url", "short_code", "title"],
    },
    Moved {
        page: "urlr",
        hosted: "https://urlr.me/api/v2",
        base: "/api/v2",
        links: 52,
        list: "/api/v2/links?limit=50&page=1",
        data: "links",
        names: ["url", "code", "label"],
    },
    Moved {
        page: "smartlinks",
        hosted: "https://api.smartlinks.com/v1",
        base: "/v1",
        links: 101,
        list: "/v1/links?pageSize=100",
        data: "data",
        names: ["url", "shortCode", "title"],
    },
];

#[test]
fn the_programs_of_each_dialects_page_bring_all_links_over() {
    // The other one stands for the hosted service.
    let (here, there) = (Up::start(), Up::start());
    let shell = Shell {
        here: &here,
        there: &there,
        folder: tempfile::tempdir().unwrap(),
    };
    let mut made = 0;
    for moved in MOVED {
        while made < moved.links {
            let body = json!({"url": format!("https://e.test/{made}?a='b'"), "shortCode": format!("old{made}"), "title": format!("Old \"{made}\" é"), "metadata": {"n": made}});
            call(&there, "POST", "/v1/links", &body);
            made += 1;
        }
        let page = Page::of(moved.page);
        let hosted = format!("http://{}{}", there.api, moved.base);
        let filled = [(moved.hosted, hosted.as_str())];
        let program = |language| page.example_in("Bringing links over", language, &filled);
        for language in ["sh", "python", "js"] {
            let about = format!("{} {language}", moved.page);
            let run = || match language {
                "sh" => shell.sh(&program("sh")),
                "python" => shell.python(GENERATOR, &program("python")),
                _ => shell.node(&program("js")),
            };
            let said = run();
            let created = said.lines().filter(|line| line.starts_with("201 "));
            assert_eq!(created.count(), moved.links, "{about}: {said}");
            let found = call(&here, "GET", moved.list, &json!(null));
            let found = found[moved.data].as_array().expect("links");
            let row = found.iter().find(|link| link[moved.names[1]] == "old16");
            let row = row.unwrap_or_else(|| panic!("{about}: {found:?}"));
            let [url, _, title] = moved.names.map(|name| row[name].as_str().expect("text"));
            assert_eq!(
                (url, title),
                ("https://e.test/16?a=%27b%27", "Old \"16\" é"),
                "{about}"
            );
            if moved.page == "smartlinks" {
                assert_eq!(row["metadata"], json!({"n": 16}), "{about}");
            }
            let all = call(&here, "GET", "/api/urls?limit=500", &json!(null));
            let all = all["data"]["urls"].as_array().expect("links").clone();
            assert_eq!(all.len(), moved.links, "{about}");
            for link in all {
                let path = format!("/api/url/{}/delete", link["id"]);
                call(&here, "DELETE", &path, &json!(null));
            }
        }
    }
}
