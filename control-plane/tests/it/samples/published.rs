//! The requests of the published reference, as they are printed there.

/// One published sample. `{…}` in paths and bodies stand for what a reader of the reference replaces.
pub(super) struct Sample {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// As printed: with line breaks, and `/` escaped, as PHP and C# send it.
    pub(super) body: Option<&'static str>,
    /// JSON pointers to what the published answer holds.
    pub(super) answer: &'static [&'static str],
}

const fn sample(
    method: &'static str,
    path: &'static str,
    body: Option<&'static str>,
    answer: &'static [&'static str],
) -> Sample {
    Sample {
        method,
        path,
        body,
        answer,
    }
}

const MESSAGE: &[&str] = &["/message"];
const CAMPAIGN: &[&str] = &["/id", "/domain", "/public", "/rotator", "/list"];

/// In the order of the reference, save that what lists a thing comes after what makes it, and what deletes it last.
pub(super) const SAMPLES: [Sample; 31] = [
    sample(
        "POST",
        "/api/account",
        None,
        &[
            "/data/id",
            "/data/email",
            "/data/username",
            "/data/avatar",
            "/data/status",
            "/data/expires",
            "/data/registered",
        ],
    ),
    sample(
        "PUT",
        "/api/account/update",
        Some("{\n    \"email\": \"newemail@google.com\",\n    \"password\": \"newpassword\"\n}"),
        MESSAGE,
    ),
    sample(
        "POST",
        "/api/campaign/add",
        Some(
            "{\n    \"name\": \"New Campaign\",\n    \"slug\": \"new-campaign\",\n    \"public\": true\n}",
        ),
        CAMPAIGN,
    ),
    sample(
        "GET",
        "/api/campaigns?limit=2&page=1",
        None,
        &[
            "/data/result",
            "/data/perpage",
            "/data/currentpage",
            "/data/nextpage",
            "/data/maxpage",
            "/data/campaigns/0/id",
            "/data/campaigns/0/name",
            "/data/campaigns/0/domain",
            "/data/campaigns/0/public",
            "/data/campaigns/0/rotator",
            "/data/campaigns/0/list",
        ],
    ),
    sample(
        "POST",
        "/api/campaign/{campaign}/assign/{link}",
        None,
        MESSAGE,
    ),
    sample(
        "PUT",
        "/api/campaign/{campaign}/update",
        Some(
            "{\n    \"name\": \"Twitter Campaign\",\n    \"slug\": \"twitter-campaign\",\n    \"public\": true\n}",
        ),
        CAMPAIGN,
    ),
    sample("DELETE", "/api/campaign/{campaign}/delete", None, MESSAGE),
    sample(
        "POST",
        "/api/channel/add",
        Some(
            "{\n    \"name\": \"New Channel\",\n    \"description\": \"my new channel\",\n    \"color\": \"#000000\",\n    \"starred\": true\n}",
        ),
        &["/id", "/name", "/description", "/color", "/starred"],
    ),
    sample(
        "GET",
        "/api/channels?limit=2&page=1",
        None,
        &[
            "/data/result",
            "/data/maxpage",
            "/data/channels/0/id",
            "/data/channels/0/name",
            "/data/channels/0/description",
            "/data/channels/0/color",
            "/data/channels/0/starred",
        ],
    ),
    sample(
        "POST",
        "/api/channel/{channel}/assign/links/{link}",
        None,
        MESSAGE,
    ),
    sample(
        "GET",
        "/api/channel/{channel}?limit=1&page=1",
        None,
        &[
            "/data/result",
            "/data/items/0/type",
            "/data/items/0/id",
            "/data/items/0/title",
            "/data/items/0/preview",
            "/data/items/0/link",
            "/data/items/0/date",
        ],
    ),
    sample(
        "PUT",
        "/api/channel/{channel}/update",
        Some(
            "{\n    \"name\": \"Acme Corp\",\n    \"description\": \"channel for items for Acme Corp\",\n    \"color\": \"#FFFFFF\",\n    \"starred\": false\n}",
        ),
        MESSAGE,
    ),
    sample("DELETE", "/api/channel/{channel}/delete", None, MESSAGE),
    sample(
        "POST",
        "/api/qr/add",
        Some(
            "{\n    \"type\": \"link\",\n    \"data\": \"https:\\/\\/google.com\",\n    \"background\": \"rgb(255,255,255)\",\n    \"foreground\": \"rgb(0,0,0)\",\n    \"logo\": \"{logo}\"\n}",
        ),
        &["/id", "/link"],
    ),
    sample(
        "GET",
        "/api/qr?limit=2&page=1",
        None,
        &[
            "/data/result",
            "/data/qrs/0/id",
            "/data/qrs/0/link",
            "/data/qrs/0/scans",
            "/data/qrs/0/name",
            "/data/qrs/0/date",
        ],
    ),
    sample(
        "GET",
        "/api/qr/{qr}",
        None,
        &[
            "/details/id",
            "/details/link",
            "/details/scans",
            "/details/name",
            "/details/date",
            "/data/clicks",
            "/data/uniqueClicks",
            "/data/topCountries",
            "/data/topReferrers",
            "/data/topBrowsers",
            "/data/topOs",
            "/data/socialCount/facebook",
            "/data/socialCount/twitter",
            "/data/socialCount/instagram",
        ],
    ),
    sample(
        "PUT",
        "/api/qr/{qr}/update",
        Some(
            "{\n    \"type\": \"link\",\n    \"data\": \"https:\\/\\/google.com\",\n    \"background\": \"rgb(255,255,255)\",\n    \"foreground\": \"rgb(0,0,0)\",\n    \"logo\": \"{logo}\"\n}",
        ),
        MESSAGE,
    ),
    sample("DELETE", "/api/qr/{qr}/delete", None, MESSAGE),
    sample(
        "POST",
        "/api/domain/add",
        Some(
            "{\n    \"domain\": \"https:\\/\\/domain1.com\",\n    \"redirectroot\": \"https:\\/\\/rootdomain.com\",\n    \"redirect404\": \"https:\\/\\/rootdomain.com\\/404\"\n}",
        ),
        &["/id"],
    ),
    sample(
        "GET",
        "/api/domains?limit=2&page=1",
        None,
        &[
            "/data/result",
            "/data/domains/0/id",
            "/data/domains/0/domain",
            "/data/domains/0/redirectroot",
            "/data/domains/0/redirect404",
        ],
    ),
    sample(
        "PUT",
        "/api/domain/{domain}/update",
        Some(
            "{\n    \"redirectroot\": \"https:\\/\\/rootdomain-new.com\",\n    \"redirect404\": \"https:\\/\\/rootdomain-new.com\\/404\"\n}",
        ),
        MESSAGE,
    ),
    sample("DELETE", "/api/domain/{domain}/delete", None, MESSAGE),
    sample(
        "POST",
        "/api/files/upload/{file}?name=My+File",
        Some("\"BINARY DATA\""),
        &["/id", "/shorturl"],
    ),
    sample(
        "GET",
        "/api/files?limit=2&page=1",
        None,
        &[
            "/result",
            "/perpage",
            "/currentpage",
            "/nextpage",
            "/maxpage",
            "/list/0/id",
            "/list/0/name",
            "/list/0/downloads",
            "/list/0/shorturl",
            "/list/0/date",
        ],
    ),
    sample(
        "POST",
        "/api/pixel/add",
        Some(
            "{\n    \"type\": \"gtmpixel\",\n    \"name\": \"My GTM\",\n    \"tag\": \"GTM-ABCDE\"\n}",
        ),
        &["/id"],
    ),
    sample(
        "GET",
        "/api/pixels?limit=2&page=1",
        None,
        &[
            "/data/result",
            "/data/pixels/0/id",
            "/data/pixels/0/type",
            "/data/pixels/0/name",
            "/data/pixels/0/tag",
            "/data/pixels/0/date",
        ],
    ),
    sample(
        "PUT",
        "/api/pixel/{pixel}/update",
        Some("{\n    \"name\": \"My GTM\",\n    \"tag\": \"GTM-ABCDE\"\n}"),
        MESSAGE,
    ),
    sample("DELETE", "/api/pixel/{pixel}/delete", None, MESSAGE),
    sample(
        "GET",
        "/api/splash?limit=2&page=1",
        None,
        &[
            "/data/result",
            "/data/splash/0/id",
            "/data/splash/0/name",
            "/data/splash/0/date",
        ],
    ),
    sample(
        "GET",
        "/api/overlay?limit=2&page=1",
        None,
        &[
            "/data/result",
            "/data/cta/0/id",
            "/data/cta/0/type",
            "/data/cta/0/name",
            "/data/cta/0/date",
        ],
    ),
    // Once more at the end: the password that changed left the key valid.
    sample("POST", "/api/account", None, &["/data/email"]),
];
