//! Geo databases of both layouts, written here byte by byte after the MaxMind DB format 2.0.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// A value of the format: a text, or a map of names to values.
pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(u16),
    Number32(u32),
    Number64(u64),
    List(Vec<Value<'a>>),
    Map(Vec<(&'a str, Value<'a>)>),
}

impl Value<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let control = |out: &mut Vec<u8>, kind: u8, size: usize| {
            let size = u8::try_from(size).unwrap();
            assert!(size < 29);
            if kind > 7 {
                out.extend([size, kind - 7]);
            } else {
                out.push(kind << 5 | size);
            }
        };
        match self {
            Self::Text(text) => {
                control(out, 2, text.len());
                out.extend(text.as_bytes());
            }
            Self::Number(number) => {
                control(out, 5, 2);
                out.extend(number.to_be_bytes());
            }
            Self::Number32(number) => {
                control(out, 6, 4);
                out.extend(number.to_be_bytes());
            }
            Self::Number64(number) => {
                control(out, 9, 8);
                out.extend(number.to_be_bytes());
            }
            Self::List(values) => {
                control(out, 11, values.len());
                values.iter().for_each(|v| v.write(out));
            }
            Self::Map(entries) => {
                control(out, 7, entries.len());
                for (name, value) in entries {
                    Self::Text(name).write(out);
                    value.write(out);
                }
            }
        }
    }
}

/// A database in which every address of 128.0.0.0/1 (or 8000::/1) has this value.
pub(crate) fn database(ip_version: u16, value: &Value<'_>) -> Vec<u8> {
    // One node; left leads nowhere (the number of nodes), right to the data, 16 bytes behind the tree.
    let mut out = vec![0, 0, 1, 0, 0, 1 + 16];
    out.extend([0; 16]);
    value.write(&mut out);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    Value::Map(vec![
        ("node_count", Value::Number32(1)),
        ("record_size", Value::Number(24)),
        ("ip_version", Value::Number(ip_version)),
        ("database_type", Value::Text("Test")),
        ("languages", Value::List(vec![])),
        ("binary_format_major_version", Value::Number(2)),
        ("binary_format_minor_version", Value::Number(0)),
        ("build_epoch", Value::Number64(1)),
        ("description", Value::Map(vec![])),
    ])
    .write(&mut out);
    out
}

pub(crate) fn flat() -> Value<'static> {
    Value::Map(vec![
        ("city", Value::Text("Zürich")),
        ("country_code", Value::Text("ch")),
        ("state1", Value::Text("Zurich")),
        ("latitude", Value::Number(47)),
    ])
}

fn nested() -> Value<'static> {
    let names = |en| {
        Value::Map(vec![(
            "names",
            Value::Map(vec![("de", Value::Text("x")), ("en", Value::Text(en))]),
        )])
    };
    Value::Map(vec![
        ("city", names("Lyon")),
        (
            "country",
            Value::Map(vec![
                ("iso_code", Value::Text("FR")),
                ("geoname_id", Value::Number(1)),
            ]),
        ),
        (
            "subdivisions",
            Value::List(vec![names("Rhône"), names("other")]),
        ),
    ])
}

fn place(country: &str, region: &str, city: &str) -> Place {
    Place {
        country: country.to_owned(),
        region: region.to_owned(),
        city: city.to_owned(),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn both_layouts_are_read() {
    let dir = tempfile::tempdir().unwrap();
    for (value, expected) in [
        (flat(), place("CH", "Zurich", "Zürich")),
        (nested(), place("FR", "Rhône", "Lyon")),
    ] {
        let path = dir.path().join("a.mmdb");
        fs::write(&path, database(4, &value)).unwrap();
        let mut geo = Geo::new(&[path]);
        assert!(geo.problem().is_some());
        assert!(geo.refresh());
        assert_eq!(geo.problem(), None);
        for _ in 0..2 {
            assert_eq!(geo.place(ip("192.0.2.1")), expected);
            assert_eq!(geo.place(ip("::ffff:192.0.2.1")), expected);
            assert_eq!(geo.place(ip("10.0.0.1")), Place::default());
            assert_eq!(geo.place(ip("2001:db8::1")), Place::default());
        }
        assert_eq!(geo.errors(), 0);
    }
}

#[test]
fn one_file_for_each_family_is_asked_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let (v4, v6) = (dir.path().join("4"), dir.path().join("6"));
    fs::write(&v4, database(4, &flat())).unwrap();
    fs::write(&v6, database(6, &nested())).unwrap();
    let mut geo = Geo::new(&[v4, v6]);
    geo.refresh();
    assert_eq!(geo.place(ip("192.0.2.1")).country, "CH");
    assert_eq!(geo.place(ip("a001:db8::1")).country, "FR");
}

#[test]
fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mmdb");
    let mut geo = Geo::new(std::slice::from_ref(&path));
    assert!(!geo.refresh());
    assert!(geo.problem().unwrap().contains("a.mmdb"));
    assert_eq!(geo.place(ip("192.0.2.1")), Place::default());

    fs::write(&path, b"nonsense").unwrap();
    assert!(geo.refresh());
    assert!(geo.problem().unwrap().contains("no geo database"));

    fs::write(&path, database(4, &flat())).unwrap();
    assert!(geo.refresh());
    assert!(!geo.refresh());
    assert_eq!(geo.place(ip("192.0.2.1")).country, "CH");

    fs::write(&path, b"nonsense again").unwrap();
    assert!(geo.refresh());
    assert!(geo.problem().is_some());
    assert_eq!(geo.place(ip("192.0.2.1")).country, "CH");

    fs::remove_file(&path).unwrap();
    geo.refresh();
    assert_eq!(geo.place(ip("192.0.2.1")).country, "CH");
    fs::write(&path, database(4, &nested())).unwrap();
    geo.refresh();
    assert_eq!(geo.place(ip("192.0.2.1")).country, "FR");
}

proptest! {
    #[test]
    fn a_damaged_file_gives_nothing_worse_than_nothing(at: prop::sample::Index, with in any::<u8>(), cut: prop::sample::Index) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mmdb");
        let mut bytes = database(4, &flat());
        let at = at.index(bytes.len());
        bytes[at] = with;
        if with.is_multiple_of(3) {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, &bytes).unwrap();
        let mut geo = Geo::new(&[path]);
        geo.refresh();
        for address in ["192.0.2.1", "0.0.0.0", "255.255.255.255", "::1", "ffff::"] {
            let place = geo.place(ip(address));
            prop_assert!(place.country.len() <= 2 && place.city.len() <= MAX_NAME_BYTES);
        }
    }
}
