//! All types on one page, by their published examples and with hostile texts: the page is read by a reader of its own,
//! which knows every element and attribute there may be.

use serde_json::{Map, Value};

use super::*;
use crate::domain::bio::value::Picture;

/// Elements there may be.
const ELEMENTS: [&str; 58] = [
    "html",
    "head",
    "meta",
    "title",
    "link",
    "style",
    "body",
    "main",
    "header",
    "h1",
    "h2",
    "p",
    "a",
    "span",
    "div",
    "img",
    "svg",
    "path",
    "circle",
    "rect",
    "line",
    "polyline",
    "polygon",
    "ellipse",
    "g",
    "ul",
    "ol",
    "li",
    "figure",
    "figcaption",
    "blockquote",
    "details",
    "summary",
    "hr",
    "section",
    "time",
    "table",
    "tbody",
    "tr",
    "th",
    "td",
    "address",
    "form",
    "label",
    "input",
    "select",
    "option",
    "textarea",
    "button",
    "fieldset",
    "legend",
    "code",
    "script",
    "meter",
    "br",
    "defs",
    "use",
    "clippath",
];

/// Attributes there may be, but for those of drawings.
const ATTRIBUTES: [&str; 46] = [
    "lang",
    "charset",
    "name",
    "content",
    "property",
    "rel",
    "href",
    "class",
    "src",
    "width",
    "height",
    "alt",
    "loading",
    "decoding",
    "dir",
    "aria-hidden",
    "aria-label",
    "focusable",
    "title",
    "role",
    "tabindex",
    "datetime",
    "data-end",
    "data-done",
    "scope",
    "method",
    "type",
    "value",
    "hidden",
    "autocomplete",
    "for",
    "id",
    "required",
    "maxlength",
    "step",
    "rows",
    "min",
    "max",
    "viewbox",
    "d",
    "cx",
    "cy",
    "r",
    "x",
    "y",
    "xmlns",
];

/// Of drawings.
const DRAWN: [&str; 11] = [
    "x1",
    "x2",
    "y1",
    "y2",
    "rx",
    "ry",
    "points",
    "fill",
    "stroke",
    "shape-rendering",
    "transform",
];

/// Its name, and its attributes with their values.
type Element = (String, Vec<(String, String)>);

/// Elements by name with their attributes, and all text between them. Panics at what a page of ours does not hold.
fn read(html: &str) -> (Vec<Element>, String) {
    let (mut elements, mut text) = (Vec::new(), String::new());
    let mut rest = html.strip_prefix("<!DOCTYPE html>").expect("a doctype");
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('/') {
            let end = after.find('>').expect("an end");
            assert!(
                ELEMENTS.contains(&after[..end].to_lowercase().as_str()),
                "</{}",
                &after[..end]
            );
            rest = &after[end + 1..];
            continue;
        }
        let name: String = rest
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        assert!(
            ELEMENTS.contains(&name.to_lowercase().as_str()),
            "<{}",
            &rest[..rest.len().min(60)]
        );
        rest = &rest[name.len()..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix("/>").or_else(|| rest.strip_prefix('>')) {
                rest = after;
                break;
            }
            let end = rest.find(['=', '>', ' ']).expect("an attribute's end");
            let attribute = rest[..end].to_owned();
            let lower = attribute.to_lowercase();
            assert!(
                ATTRIBUTES.contains(&lower.as_str()) || DRAWN.contains(&lower.as_str()),
                "{name} has {attribute}"
            );
            rest = &rest[end..];
            let mut value = String::new();
            if let Some(after) = rest.strip_prefix("=\"") {
                let end = after.find('"').expect("a quote");
                value = after[..end].to_owned();
                assert!(
                    !value.contains('<') && !value.contains('>'),
                    "{name} {attribute}={value}"
                );
                rest = &after[end + 1..];
            } else {
                assert!(
                    matches!(lower.as_str(), "hidden" | "required"),
                    "{attribute} has no value"
                );
            }
            attributes.push((lower, value));
        }
        if name == "style" || name == "script" {
            let end = rest.find(&format!("</{name}>")).expect("its end");
            assert!(!rest[..end].contains('<') || name == "script", "{name}");
            rest = &rest[end..];
        }
        elements.push((name.to_lowercase(), attributes));
    }
    text.push_str(rest);
    (elements, text)
}

/// A page with all types, twice rendered: as it is served.
fn served(title: &str, look: &Look, blocks: &[(i64, Block)]) -> (Rendered, Ledger) {
    let wanted = Page {
        title,
        description: title,
        url: "https://go.test/ada",
        base_url: "https://go.test",
        look,
        blocks,
    };
    let mut first = Ledger::default();
    page(&wanted, &mut first);
    let slugs = first.ways.iter().enumerate();
    let slugs = slugs.map(|(n, way)| ((way.block, way.part.clone()), format!("u/bio/way{n}")));
    let pictures = first.wanted.iter().enumerate().map(|(n, url)| {
        let shown = Shown {
            slug: format!("u/bio/picture{n}"),
            width: 640,
            height: 360,
        };
        (url.clone(), shown)
    });
    let mut second = Ledger::new(slugs.collect(), pictures.collect());
    (page(&wanted, &mut second), second)
}

/// Texts of an example replaced by `change`.
fn changed(value: &mut Value, change: &impl Fn(&str, &str) -> Option<String>, name: &str) {
    match value {
        Value::Object(map) => map
            .iter_mut()
            .for_each(|(key, value)| changed(value, change, key)),
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| changed(value, change, name)),
        Value::String(text) => {
            if let Some(new) = change(name, text) {
                *text = new;
            }
        }
        _ => {}
    }
}

fn examples(change: impl Fn(&str, &str) -> Option<String>) -> Vec<(i64, Block)> {
    let one = |(id, name): (i64, &&str)| {
        let mut example = Block::example(name);
        changed(&mut example, &change, "");
        let fields: Map<String, Value> = example.as_object().expect("an object").clone();
        (
            id,
            Block::parse(name, &fields).unwrap_or_else(|e| panic!("{name}: {e}")),
        )
    };
    (1..).zip(Block::NAMES).map(one).collect()
}

#[test]
fn a_page_of_all_types_is_well_formed_and_asks_nobody() {
    let look = Look {
        avatar: Picture::parse("https://example.com/me.png").ok(),
        ..Look::default()
    };
    let (page, ledger) = served("Ada", &look, &examples(|_, _| None));
    let html = String::from_utf8(page.body).expect("UTF-8");
    let (elements, text) = read(&html);
    assert!(text.contains("Spring Sale — 30% off"));
    for (name, attributes) in &elements {
        let value = |wanted: &str| {
            attributes
                .iter()
                .find(|(n, _)| n == wanted)
                .map(|(_, v)| v.as_str())
        };
        match name.as_str() {
            "a" => assert!(
                value("href").is_some_and(|href| href.starts_with("/u/bio/way")),
                "{attributes:?}"
            ),
            "img" => {
                assert!(
                    value("src").is_some_and(|src| src.starts_with("/u/bio/picture")),
                    "{attributes:?}"
                );
                assert!(
                    value("alt").is_some() && value("width").is_some(),
                    "{attributes:?}"
                );
            }
            "script" => assert!(value("src").is_none()),
            _ => assert!(value("src").is_none()),
        }
    }
    assert_eq!(elements.iter().filter(|(name, _)| name == "h1").count(), 1);
    assert!(
        !ledger.ways.is_empty() && ledger.wanted.len() == 2,
        "{:?}",
        ledger.wanted
    );
    assert!(
        page.csp.starts_with("default-src 'sha256-")
            && !page.csp.contains("unsafe")
            && !page.csp.contains("http"),
        "{}",
        page.csp
    );
    assert!(
        !html.contains('\0') && html.len() < 200_000,
        "{}",
        html.len()
    );
    // Two links of one block are two.
    let mut keys: Vec<(i64, &str)> = ledger
        .ways
        .iter()
        .map(|way| (way.block, way.part.as_str()))
        .collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all);
}

#[test]
fn texts_of_owners_stay_texts() {
    let hostile =
        "\"'`&<3 > onmouseover=alert(1) x=\"y\" ]]> &lt;b&gt; {{1}} ${x} \u{200f}שלום -->";
    let plain = [
        "title",
        "description",
        "text",
        "button",
        "success",
        "label",
        "question",
        "answer",
        "options",
        "items",
        "author",
        "role",
        "alt",
        "price",
        "amount",
        "size",
        "code",
        "done",
        "location",
        "name",
        "company",
        "job",
        "address",
        "note",
        "subject",
        "message",
        "data",
    ];
    let blocks = examples(|name, text| match name {
        "options" | "items" | "label" => Some(format!("{hostile}{text}")),
        name if plain.contains(&name) => Some(hostile.to_owned()),
        "url" | "link" if text.starts_with("https://example.com/") => {
            Some("https://example.com/?a=%22&b='\"<x>".to_owned())
        }
        _ => None,
    });
    let (page, _) = served(hostile, &Look::default(), &blocks);
    let html = String::from_utf8(page.body).expect("UTF-8");
    let (elements, text) = read(&html);
    let escaped = hostile
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;");
    assert!(
        text.matches(&escaped).count() > 60,
        "{}",
        text.matches(&escaped).count()
    );
    assert_eq!(
        elements.iter().filter(|(name, _)| name == "script").count(),
        1
    );
    let sent = sent(
        &Page {
            title: hostile,
            description: "",
            url: "https://go.test/a",
            base_url: "",
            look: &Look::default(),
            blocks: &[],
        },
        hostile,
        &[(hostile.to_owned(), 1), ("b".to_owned(), 0)],
    );
    let (_, text) = read(std::str::from_utf8(&sent.body).expect("UTF-8"));
    assert!(
        text.contains("100% (1)") && text.contains(&escaped),
        "{text}"
    );
}

#[test]
fn a_page_is_rendered_in_time() {
    let one = examples(|_, _| None);
    let blocks: Vec<(i64, Block)> = one
        .into_iter()
        .cycle()
        .take(100)
        .zip(1..)
        .map(|((_, block), id)| (id, block))
        .collect();
    let (page, _) = served("Ada", &Look::default(), &blocks);
    assert!((page.body.len() as u64) < schemas::link::plan::MAX_BLOB_BYTES);
}
