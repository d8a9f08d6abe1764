//! A plan in place to an owned one: for whoever edits or compares plans.

use super::EntryError;
use super::plan::{
    Beyond, Body, ClickLimit, Clock, Condition, Content, File, LinkKey, Password, Pick, Plan,
    Preview, Rule, Target, Test, Variant, Variants,
};
use super::view::{self, View};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn texts(list: view::Texts<'_>) -> Vec<String> {
    list.map(text).collect()
}

fn some(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| text(bytes))
}

impl Plan {
    /// Reads an encoded plan, as [`View::parse`] does. No bytes are an empty plan.
    ///
    /// # Errors
    /// The first rule of the format broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let view = View::parse(bytes)?;
        Ok(Self {
            rules: view.rules().map(rule).collect(),
            variants: view.variants().map(|v| Variants {
                list: v
                    .list
                    .map(|(weight, t)| Variant {
                        weight,
                        target: target(t),
                    })
                    .collect(),
                ends_at_ms: v.ends_at_ms,
                winner: v.winner,
            }),
            target: view.target().map(target),
            password: view.password.map(|(version, phc)| Password {
                version,
                phc: text(phc),
            }),
            click_limit: view.click_limit.map(|(max, beyond)| ClickLimit {
                max,
                beyond: match beyond {
                    view::Beyond::Expired => Beyond::Expired,
                    view::Beyond::Url(url) => Beyond::Url(text(url)),
                    view::Beyond::Page(page) => Beyond::Page(page),
                },
            }),
            expired_page: view.expired_page,
            pass_query: view.pass_query,
            scan: view.scan,
            uncounted: view.uncounted,
            apple: some(view.apple),
            google: some(view.google),
            preview: view.preview.map(|[title, description, image]| Preview {
                title: text(title),
                description: text(description),
                image: text(image),
            }),
            deletes_at_ms: view.deletes_at_ms,
        })
    }
}

fn rule(rule: view::Rule<'_>) -> Rule {
    Rule {
        matches: rule.matches,
        conditions: rule
            .conditions
            .map(|c| Condition {
                negated: c.negated,
                test: test(c.test),
            })
            .collect(),
        target: target(rule.target),
    }
}

fn test(test: view::Test<'_>) -> Test {
    match test {
        view::Test::Country(codes) => Test::Country(codes.as_chunks().0.to_vec()),
        view::Test::Region(list) => Test::Region(texts(list)),
        view::Test::City(list) => Test::City(texts(list)),
        view::Test::Language(list) => Test::Language(texts(list)),
        view::Test::Device(set) => Test::Device(set),
        view::Test::Os(list) => Test::Os(texts(list)),
        view::Test::Browser(list) => Test::Browser(texts(list)),
        view::Test::QueryPresent(name) => Test::QueryPresent(text(name)),
        view::Test::Query(name, values) => Test::Query {
            name: text(name),
            values: texts(values),
        },
        view::Test::Ip(nets) => Test::Ip(nets.collect()),
        view::Test::Before(instant) => Test::Before(instant),
        view::Test::After(instant) => Test::After(instant),
        view::Test::Clock {
            zone,
            weekdays,
            from_minute,
            to_minute,
        } => Test::Clock(Clock {
            zone: zone.to_owned(),
            weekdays,
            from_minute,
            to_minute,
        }),
    }
}

fn target(target: view::Target<'_>) -> Target {
    match target {
        view::Target::Redirect { url, utm } => Target::Redirect {
            url: text(url),
            utm,
        },
        view::Target::Page {
            page,
            destination,
            utm,
        } => Target::Page {
            page,
            destination: text(destination),
            utm,
        },
        view::Target::Body(body) => Target::Body(Body {
            content: match body.content {
                view::Content::Inline(bytes) => Content::Inline(bytes.to_vec()),
                view::Content::Blob(hash, size) => Content::Blob { hash: *hash, size },
            },
            content_type: text(body.content_type),
            disposition: text(body.disposition),
            csp: text(body.csp),
            max_age_s: body.max_age_s,
        }),
        view::Target::File(file) => Target::File(File {
            key: text(file.key),
            name: text(file.name),
            content_type: text(file.content_type),
            size: file.size,
            etag: text(file.etag),
        }),
        view::Target::Link { domain, slug } => Target::Link(LinkKey {
            domain,
            slug: text(slug),
        }),
        view::Target::Pick(picks) => Target::Pick(
            picks
                .map(|pick| Pick {
                    weight: pick.weight,
                    link: LinkKey {
                        domain: pick.domain,
                        slug: text(pick.slug),
                    },
                })
                .collect(),
        ),
    }
}
