//! Operating system and kind of device.

use super::{Device, OTHER, has_any, version_after};

/// What a user agent says about the machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) os: &'static str,
    pub(super) version: String,
    pub(super) device: Device,
}

/// Televisions, boxes and consoles, whatever system they run.
const SCREENS: [&str; 15] = [
    "SmartTV",
    "SMART-TV",
    "Smart-TV",
    "HbbTV",
    "AppleTV",
    "Apple TV",
    "GoogleTV",
    "Android TV",
    "BRAVIA",
    "CrKey",
    "Roku",
    "PlayStation",
    "Nintendo",
    "Xbox",
    "AFTS",
];

/// Phones from before the systems of today.
const FEATURE_PHONES: [&str; 13] = [
    "MIDP",
    "CLDC",
    "UP.Browser",
    "Openwave",
    "MAUI",
    "Maui ",
    "SEMC-Browser",
    "Obigo",
    "Teleca",
    "J2ME",
    "Opera Mini",
    "Opera Mobi",
    "UCWEB",
];

/// Versions of Windows by their kernel's number.
const WINDOWS: [(&str, &str); 11] = [
    ("10.0", "10"),
    ("6.4", "10"),
    ("6.3", "8.1"),
    ("6.2", "8"),
    ("6.1", "7"),
    ("6.0", "Vista"),
    ("5.2", "XP"),
    ("5.1", "XP"),
    ("5.01", "2000"),
    ("5.0", "2000"),
    ("4.0", "NT"),
];

/// Systems told by one token: token, name, device.
const SYSTEMS: [(&str, &str, Device); 20] = [
    ("CrOS", "Chrome OS", Device::Desktop),
    ("Tizen", "Tizen", Device::Mobile),
    ("KAIOS/", "KaiOS", Device::Mobile),
    ("HarmonyOS", "HarmonyOS", Device::Mobile),
    ("OpenHarmony", "HarmonyOS", Device::Mobile),
    ("Symbian", "Symbian", Device::Mobile),
    ("SymbOS", "Symbian", Device::Mobile),
    ("Series60", "Symbian", Device::Mobile),
    ("BlackBerry", "BlackBerry", Device::Mobile),
    ("BB10", "BlackBerry", Device::Mobile),
    ("PlayBook", "BlackBerry", Device::Tablet),
    ("hpwOS", "webOS", Device::Tablet),
    ("webOS", "webOS", Device::Mobile),
    ("Web0S", "webOS", Device::Other),
    ("FreeBSD", "FreeBSD", Device::Desktop),
    ("OpenBSD", "OpenBSD", Device::Desktop),
    ("NetBSD", "NetBSD", Device::Desktop),
    ("DragonFly", "DragonFly BSD", Device::Desktop),
    ("SunOS", "Solaris", Device::Desktop),
    ("Haiku", "Haiku", Device::Desktop),
];

pub(super) fn of(text: &str) -> Platform {
    let mut platform = system(text);
    if has_any(text, &SCREENS) {
        platform.device = Device::Other;
    }
    platform
}

fn system(text: &str) -> Platform {
    let found = |os, version: &str, device| Platform {
        os,
        version: version.replace('_', "."),
        device,
    };
    // Says "Windows", "Android" and "iPhone" too, so it comes first.
    if has_any(
        text,
        &[
            "Windows Phone",
            "IEMobile",
            "Windows CE",
            "Windows Mobile",
            "WPDesktop",
        ],
    ) {
        let version = ["Windows Phone OS ", "Windows Phone ", "Windows Mobile "]
            .iter()
            .find_map(|token| version_after(text, token))
            .unwrap_or_default();
        return found("Windows Phone", version, Device::Mobile);
    }
    if has_any(text, &["iPhone", "iPod", "iPad"]) {
        let device = if text.contains("iPad") {
            Device::Tablet
        } else {
            Device::Mobile
        };
        let version = ["iPhone OS ", "CPU OS ", "iOS "]
            .iter()
            .find_map(|token| version_after(text, token))
            .unwrap_or_default();
        return found("iOS", version, device);
    }
    if text.contains("Android") {
        let version = version_after(text, "Android ").unwrap_or_default();
        // Google's rule: phones say "Mobile", tablets do not. Opera Mini says neither and runs on phones.
        let phone =
            has_any(text, &["Mobile", "Opera Mini", "Opera Mobi"]) && !text.contains("; Tablet");
        let device = if phone {
            Device::Mobile
        } else {
            Device::Tablet
        };
        return found("Android", version, device);
    }
    // Amazon's tablets in their "desktop" mode say Linux or Mac only.
    if text.contains("Silk/") && text.contains("KF") || text.contains("Silk-Accelerated") {
        return found("Android", "", Device::Tablet);
    }
    for (token, os, device) in SYSTEMS {
        if text.contains(token) {
            return found(os, system_version(text, token), device);
        }
    }
    if has_any(
        text,
        &[
            "Windows", "Win95", "Win98", "Win 9x", "WinNT", "Win32", "Win64",
        ],
    ) {
        return found("Windows", windows_version(text), Device::Desktop);
    }
    if has_any(
        text,
        &["Macintosh", "Mac OS X", "Mac_PowerPC", "Mac_PPC", "macOS"],
    ) {
        let version = version_after(text, "Mac OS X ").unwrap_or_default();
        return found("macOS", version, Device::Desktop);
    }
    if has_any(text, &FEATURE_PHONES) {
        return found(OTHER, "", Device::Mobile);
    }
    if has_any(text, &["Linux", "X11", "Ubuntu", "linux"]) {
        return found("Linux", "", Device::Desktop);
    }
    found(OTHER, "", Device::Other)
}

fn system_version<'a>(text: &'a str, token: &str) -> &'a str {
    // "CrOS x86_64 4920.83.0": the architecture stands between.
    if token == "CrOS" {
        let mut words = text
            .split_once("CrOS ")
            .map_or("", |(_, rest)| rest)
            .split([' ', ')']);
        return words.nth(1).unwrap_or_default();
    }
    if token.ends_with('/') {
        return version_after(text, token).unwrap_or_default();
    }
    text.split_once(token)
        .and_then(|(_, rest)| rest.strip_prefix(['/', ' ']))
        .and_then(|rest| version_after(rest, ""))
        .unwrap_or_default()
}

fn windows_version(text: &str) -> &'static str {
    if let Some(kernel) = version_after(text, "Windows NT ") {
        return WINDOWS
            .iter()
            .find_map(|(number, name)| (*number == kernel).then_some(*name))
            .unwrap_or_default();
    }
    let named = [
        ("Windows XP", "XP"),
        ("Windows 2000", "2000"),
        ("Win 9x 4.90", "ME"),
        ("Windows ME", "ME"),
        ("Windows 98", "98"),
        ("Win98", "98"),
        ("Windows 95", "95"),
        ("Win95", "95"),
        ("Windows NT", "NT"),
        ("WinNT", "NT"),
    ];
    named
        .iter()
        .find_map(|(token, name)| text.contains(token).then_some(*name))
        .unwrap_or_default()
}
