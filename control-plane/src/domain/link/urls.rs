//! Every URL of a link with the name of its field.

use super::Content;

impl Content {
    /// Those visitors may be led to, http or not, none of them empty.
    pub fn urls(&self) -> impl Iterator<Item = (String, &str)> {
        let extras = &self.extras;
        let one = |name: &str, url| (name.to_owned(), url);
        let own = [
            one("url", &*self.destination),
            one("expired_url", &self.expired_url),
            one("max_clicks_url", &extras.max_clicks_url),
            one("deeplink.apple", &extras.app_apple),
            one("deeplink.google", &extras.app_google),
        ];
        let listed = [
            ("geotarget", &extras.countries),
            ("devicetarget", &extras.devices),
            ("languagetarget", &extras.languages),
        ];
        let listed = listed.into_iter().flat_map(|(field, list)| {
            let list = list.iter().enumerate();
            list.map(move |(place, (_, url))| (format!("{field}[{place}].link"), &**url))
        });
        let rules = extras.rules.iter().enumerate();
        let rules = rules.map(|(place, rule)| (format!("rules[{place}].url"), &*rule.url));
        let geolinks = extras.geolinks.iter().enumerate();
        let geolinks = geolinks.map(|(place, geo)| (format!("geolinks[{place}].url"), &*geo.url));
        let variants = extras.variants.iter().enumerate();
        let variants = variants.map(|(place, v)| (format!("variants[{place}].url"), &*v.url));
        own.into_iter()
            .chain(listed)
            .chain(rules)
            .chain(geolinks)
            .chain(variants)
            .filter(|(_, url)| !url.is_empty())
    }
}
