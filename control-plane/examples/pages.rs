//! Writes one page of each kind, as a proxy serves it, for the check in a browser (`make pages`): `pages.json` in the
//! folder named by the argument, a list of `{name, status, csp, html, pixels}`, holes filled with a destination. Beside them
//! the pages that people sign in and allow apps on, see [`people`].

use std::path::PathBuf;

use anyhow::Context as _;
use control_plane::domain::bio::value::{Picture, Theme};
use control_plane::domain::bio::{Block, Look};
use control_plane::domain::campaign::MAX_LISTED;
use control_plane::domain::color::Color;
use control_plane::domain::overlay::{Kind, Overlay, Position};
use control_plane::domain::page::Rendered;
use control_plane::domain::pixel::{Pixel, Tag, Vendor};
use control_plane::domain::splash::Splash;
use control_plane::render::bio::{self, Ledger};
use control_plane::render::{self, Listed, Surface};
use serde_json::{Value, json};

#[path = "pages/people.rs"]
mod people;

/// Where visitors are led.
const DESTINATION: &str = "https://dest.test/page?a=1&amp;b=2";
/// Its host.
const HOST: &str = "dest.test";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).context("which folder?")?;
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    let mut pages = pages()?;
    pages.extend(people::pages().await?);
    std::fs::write(folder.join("pages.json"), Value::from(pages).to_string())?;
    Ok(())
}

fn pages() -> anyhow::Result<Vec<Value>> {
    let mut pages = Vec::new();
    let splash = Splash {
        name: "Spring sale".to_owned(),
        title: "Everything for a third less".to_owned(),
        message: "From Monday on.\nIn all shops – and “online” & at <night>.".to_owned(),
        image: "https://img.test/sale.png".to_owned(),
        button: "Show me the shops".to_owned(),
        link: "https://shops.test/".to_owned(),
        counter: 2,
    };
    let waits = Splash {
        name: "Read this first".to_owned(),
        counter: 0,
        ..Splash::default()
    };
    let message = |position, color| Overlay {
        name: "Promo".to_owned(),
        message: "Ten per cent off today.\nSay hello.".to_owned(),
        button: "Get it".to_owned(),
        link: "https://shops.test/".to_owned(),
        position,
        color,
        ..Overlay::new(Kind::Message)
    };
    let (top, corner) = (
        message(Position::Top, Color([0xff, 0xd6, 0])),
        message(Position::BottomRight, Color([0x77, 0x77, 0x77])),
    );
    let contact = Overlay {
        name: "Contact".to_owned(),
        message: "Questions? Write to us.".to_owned(),
        position: Position::BottomLeft,
        email: "owner@shops.test".to_owned(),
        ..Overlay::new(Kind::Contact)
    };
    let all = pixels(&Vendor::ALL.map(|(vendor, _)| vendor))?;
    let one = pixels(&[Vendor::Reddit])?;
    let surfaces = [
        ("frame", Surface::Frame),
        ("splash-usual", Surface::Splash(None)),
        ("splash-custom", Surface::Splash(Some(&splash))),
        ("splash-waits", Surface::Splash(Some(&waits))),
        ("overlay-top", Surface::Overlay(1, &top)),
        ("overlay-corner", Surface::Overlay(2, &corner)),
        ("overlay-contact", Surface::Overlay(3, &contact)),
    ];
    for (name, surface) in surfaces {
        pages.push(page(name, render::link(surface, &[]), &[]));
    }
    for (name, surface) in [
        ("splash-pixel", Surface::Splash(Some(&waits))),
        ("overlay-pixel", Surface::Overlay(2, &corner)),
    ] {
        pages.push(page(name, render::link(surface, &one), &one));
    }
    for pixel in &all {
        let own = std::slice::from_ref(pixel);
        let name = format!("pixel-{}", pixel.vendor.name());
        pages.push(page(&name, render::link(Surface::Direct, own), own));
    }
    pages.push(page("pixel-all", render::link(Surface::Direct, &all), &all));
    let expired = render::expired("The sale is over", "Come back in autumn.");
    pages.push(page("expired", Some(expired), &[]));
    let sent = render::notice(200, "Thank you", "Your message has been sent.");
    pages.push(page("sent", Some(sent), &[]));
    pages.extend(list_pages());
    pages.extend(bio_pages()?);
    Ok(pages)
}

/// The public list of a campaign: without links, as people make it, and the longest.
fn list_pages() -> Vec<Value> {
    let listed = |title: &str, slug: &str| Listed {
        title: title.to_owned(),
        short_url: format!("https://go.test/{slug}"),
    };
    let typical = [
        listed("Everything for a third less", "sale"),
        listed("", "shops/north"),
        listed("Questions & “answers” <at night>", "faq"),
        listed("ورشة عمل في القاهرة", "%D8%B1"),
    ];
    let longest: Vec<Listed> = (0..MAX_LISTED)
        .map(|n| match n % 3 {
            0 => listed(&format!("Link number {n}"), &format!("n{n}")),
            1 => listed("", &format!("{}{n}", "w".repeat(250))),
            _ => listed(&"W".repeat(255), &format!("n{n}")),
        })
        .collect();
    [
        ("list-empty", render::list("Spring sale", &[], false)),
        ("list-typical", render::list("Spring sale", &typical, false)),
        (
            "list-longest",
            render::list(&"Sale".repeat(60), &longest, true),
        ),
    ]
    .map(|(name, list)| page(name, Some(list), &[]))
    .into()
}

/// A page as people make it in each theme, one of all types of blocks, and what is read after voting.
fn bio_pages() -> anyhow::Result<Vec<Value>> {
    let typical = [
        "social-links",
        "link",
        "featured-link",
        "heading",
        "link",
        "youtube",
        "spotify",
        "product-list",
        "newsletter",
    ];
    let mut pages = Vec::new();
    for (theme, word) in Theme::ALL {
        let look = Look {
            theme: *theme,
            avatar: Picture::parse("https://example.com/me.png").ok(),
            ..Look::default()
        };
        pages.push(bio_page(&format!("bio-{word}"), &look, &typical)?);
    }
    let own = Look {
        background: "#fde68a".to_owned(),
        text: "#3b1d00".to_owned(),
        button: "#7c2d12".to_owned(),
        ..Look::default()
    };
    pages.push(bio_page("bio-own", &own, &typical)?);
    pages.push(bio_page("bio-all", &Look::default(), Block::NAMES)?);
    let (tea, coffee) = (("Tea".to_owned(), 3), ("Coffee".to_owned(), 5));
    let look = Look::default();
    let voted = bio::sent(
        &shown(&look, &[]),
        "Your vote has been counted.",
        &[tea, coffee],
    );
    pages.push(page("bio-voted", Some(voted), &[]));
    Ok(pages)
}

fn bio_page(name: &str, look: &Look, types: &[&str]) -> anyhow::Result<Value> {
    let block = |(id, kind): (i64, &&str)| {
        let example = Block::example(kind);
        let fields = example.as_object().context("an example is an object")?;
        Ok((id, Block::parse(kind, fields)?))
    };
    let blocks: Vec<(i64, Block)> = (1..).zip(types).map(block).collect::<anyhow::Result<_>>()?;
    let shown = shown(look, &blocks);
    let mut needed = Ledger::default();
    bio::page(&shown, &mut needed);
    let ways = needed.ways.into_iter().zip(1..);
    let slugs = ways.map(|(way, n)| ((way.block, way.part), format!("u/bio/way{n}")));
    let pictures = needed.wanted.into_iter().zip(1..).map(|(url, n)| {
        let slug = format!("u/bio/picture{n}");
        let (width, height) = (640, 360);
        (
            url,
            bio::Shown {
                slug,
                width,
                height,
            },
        )
    });
    let mut ledger = Ledger::new(slugs.collect(), pictures.collect());
    Ok(page(name, Some(bio::page(&shown, &mut ledger)), &[]))
}

fn shown<'a>(look: &'a Look, blocks: &'a [(i64, Block)]) -> bio::Page<'a> {
    bio::Page {
        title: "Ada Lovelace",
        description: "Writer of programs.\nMachines, numbers & poems.",
        url: "https://go.test/ada",
        base_url: "https://go.test",
        look,
        blocks,
    }
}

fn pixels(vendors: &[Vendor]) -> anyhow::Result<Vec<Pixel>> {
    let pixel = |vendor: &Vendor| {
        Ok(Pixel {
            vendor: *vendor,
            name: String::new(),
            tag: Tag::parse("tag", &format!("{}-TAG/1", vendor.name()))?,
        })
    };
    vendors.iter().map(pixel).collect()
}

fn page(name: &str, page: Option<Rendered>, pixels: &[Pixel]) -> Value {
    let Some(page) = page else {
        return Value::Null;
    };
    let html = String::from_utf8_lossy(&page.body)
        .replace("\0d", DESTINATION)
        .replace("\0h", HOST);
    let pixels: Vec<&str> = pixels.iter().map(|pixel| pixel.vendor.name()).collect();
    json!({ "name": name, "status": page.status, "csp": page.csp, "html": html, "pixels": pixels })
}
