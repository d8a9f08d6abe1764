//! The five published Node.js recipes of OpenMyLink, run by Node as they are printed: only base URL, ids, domain and file
//! path are replaced, and what a recipe got is printed after its last line. Each one's effect is then looked for where a
//! visitor or the next call finds it.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{CHROME, SETTLE, Up, cache, eventually};

/// How long one recipe may take: Node starts slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a recipe in `folder` and returns its `data`.
#[track_caller]
fn run(up: &Up, folder: &Path, recipe: &str, filled: &[(&str, &str)]) -> Value {
    let mut text = recipe.replace("{{base}}", &format!("http://{}", up.api));
    for (name, value) in filled {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    assert!(!text.contains("{{"), "{text}");
    let file = folder.join("recipe.mjs");
    let mut out = std::fs::File::create(&file).unwrap();
    writeln!(out, "{text}\nconsole.log(JSON.stringify(data));").unwrap();
    let mut node = Command::new("node")
        .arg(&file)
        .env("OML_KEY", up.key())
        .current_dir(folder)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("node is there: make deps");
    let until = Instant::now() + PATIENCE;
    while node.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            node.kill().unwrap();
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let output = node.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        up.log()
    );
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

/// The part of a URL after its host.
fn path(url: &Value) -> String {
    let url = url.as_str().expect("text");
    let mut parts = url.splitn(4, '/');
    format!("/{}", parts.nth(3).expect("a path"))
}

#[test]
fn the_five_recipes_work_as_printed() {
    let up = Up::with(&[("SIGNPOST_DOMAIN_CHECK", "off")]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("node_modules")).unwrap();
    std::os::unix::fs::symlink(
        cache().join("undici"),
        folder.path().join("node_modules/undici"),
    )
    .unwrap();
    let node = |recipe: &str, filled: &[(&str, &str)]| run(&up, folder.path(), recipe, filled);

    // Recipe 1: the link leads on with its campaign's parameters.
    let link = node(include_str!("recipes/1-short-link.mjs"), &[]);
    assert_eq!(path(&link["short_url"]), "/spring-sale");
    let visit = eventually(SETTLE, "the link is live", || {
        (up.head("/spring-sale").status == 302).then(|| up.visit("/spring-sale"))
    });
    assert_eq!(
        visit.header("location"),
        "https://example.com/spring-sale-page?utm_source=newsletter&utm_medium=email&utm_campaign=spring-2026"
    );

    // Recipe 2: the image is there for everybody.
    let code = node(include_str!("recipes/2-qr-code.mjs"), &[]);
    assert!(code["id"].is_u64());
    let image = eventually(SETTLE, "the image is served", || {
        Some(up.head(&path(&code["image_url"]))).filter(|image| image.status == 200)
    });
    assert_eq!(image.header("content-type"), "image/png");

    // Recipe 3: the visit of recipe 1 is counted, though not in May.
    let id = link["id"].as_i64().unwrap();
    up.settled(id, 1);
    let stats = node(
        include_str!("recipes/3-analytics.mjs"),
        &[("link", &id.to_string())],
    );
    assert_eq!(
        (&stats["total_clicks"], &stats["unique_clicks"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(stats["daily"], json!([]));
    assert!(stats["by_country"].is_object() && stats["by_device"].is_object());

    // Recipe 4: the file is at its address on the branded domain, byte for byte.
    let added = up.api(
        "POST",
        "/domain/add",
        Some(&json!({"domain": "https://files.acme.test"})),
    );
    assert_eq!(added.json()["error"], 0, "{added:?}");
    let deck = "%PDF-1.7 Q2 pricing";
    std::fs::write(folder.path().join("deck.pdf"), deck).unwrap();
    let file = node(
        include_str!("recipes/4-file.mjs"),
        &[("file", "./deck.pdf"), ("domain", "files.acme.test")],
    );
    assert!(file["id"].is_u64());
    let url = file["download_url"].as_str().unwrap();
    assert!(url.contains("://files.acme.test/"), "{url}");
    let place = path(&file["download_url"]);
    let download = eventually(SETTLE, "the file is served", || {
        let answer = up.visit_as(
            &place,
            "203.0.113.7",
            CHROME,
            &[("host", "files.acme.test")],
        );
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(download.body, deck);
    assert_eq!(download.header("content-type"), "application/pdf");

    // Recipe 5: the block is the second on its page.
    let page = up
        .api(
            "POST",
            "/bio/add",
            Some(&json!({"title": "Acme", "custom": "acme"})),
        )
        .json();
    assert_eq!(page["error"], 0, "{page}");
    let bio = page["id"].to_string();
    let heading = json!({"type": "heading", "title": "Acme"});
    let first = up
        .api("POST", &format!("/bio/{bio}/blocks"), Some(&heading))
        .json();
    assert_eq!(first["error"], 0, "{first}");
    let block = node(include_str!("recipes/5-bio-block.mjs"), &[("bio", &bio)]);
    assert!(block["id"].is_u64());
    let shown = eventually(SETTLE, "the page shows the block", || {
        let answer = up.visit("/acme");
        answer
            .body
            .contains("Spring Sale — 30% off")
            .then_some(answer)
    });
    assert!(shown.body.find("Acme") < shown.body.find("Spring Sale"));
}
