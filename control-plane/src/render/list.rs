//! The public list of a campaign: its name and its links.

use maud::html;

use super::PAGE_CSS;
use super::document::Document;
use crate::domain::page::Rendered;

/// A link in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its title; empty: the short URL is shown alone.
    pub title: String,
    /// Its short URL.
    pub short_url: String,
}

/// The page, in the order of `links`. `has_more`: there are older ones that it does not show.
pub fn list(name: &str, links: &[Listed], has_more: bool) -> Rendered {
    let mut document = Document::new(html! { (name) });
    document.is_closed_to_frames = true;
    document.style.push_str(PAGE_CSS);
    document.style.push_str(LIST_CSS);
    document.body = html! {
        main {
            h1 { (name) }
            @if links.is_empty() { p { "There are no links here yet." } }
            @else {
                ul {
                    @for link in links {
                        li {
                            a href=(link.short_url) {
                                @if link.title.is_empty() { (shown(&link.short_url)) } @else { (link.title) }
                            }
                            @if !link.title.is_empty() { small { (shown(&link.short_url)) } }
                        }
                    }
                }
            }
            @if has_more { p { "The newest " (links.len()) " links are shown." } }
        }
    };
    document.finish()
}

/// A short URL without its scheme.
fn shown(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}

/// Beside the style of all cards.
const LIST_CSS: &str = "ul{list-style:none;margin:0 0 1rem;padding:0}li{padding:.75rem 0;border-top:1px solid #e5e7eb}small{display:block;color:#4b5563;overflow-wrap:anywhere}";

#[cfg(test)]
mod tests {
    use schemas::link::plan::MAX_BLOB_BYTES;

    use super::*;
    use crate::domain::campaign::MAX_LISTED;

    fn listed(title: &str, short_url: &str) -> Listed {
        Listed {
            title: title.to_owned(),
            short_url: short_url.to_owned(),
        }
    }

    #[test]
    fn texts_of_owners_stay_texts() {
        let hostile = "</title><script>alert(1)</script>\"'&";
        let page = list(hostile, &[listed(hostile, "https://go.test/a")], false);
        let body = String::from_utf8(page.body).expect("text");
        assert!(!body.contains("<script"), "{body}");
        assert!(body.contains("&lt;script&gt;") && body.contains("href=\"https://go.test/a\""));
        assert!(page.csp.starts_with("default-src 'none'") && page.status == 200);
        assert!(!body.contains('\0'));
    }

    #[test]
    fn the_longest_list_is_a_blob() {
        let url = format!("https://{}.test/{}", "a".repeat(63), "%AA".repeat(255));
        let links = vec![listed(&"\"".repeat(255), &url); MAX_LISTED];
        let page = list("x", &links, true);
        assert!(
            (page.body.len() as u64) < MAX_BLOB_BYTES,
            "{}",
            page.body.len()
        );
        let body = String::from_utf8(page.body).expect("text");
        assert!(body.contains("The newest 500 links are shown."));
    }

    #[test]
    fn an_empty_list_says_so() {
        let page = list("x", &[], false);
        assert!(
            String::from_utf8(page.body)
                .expect("text")
                .contains("no links here yet")
        );
    }
}
