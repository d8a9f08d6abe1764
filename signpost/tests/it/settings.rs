//! Bad settings, data folders that cannot be used.

use crate::harness::signpost;

#[test]
fn every_bad_setting_is_told_in_one_go() {
    let folder = tempfile::tempdir().unwrap();
    let bad = [
        ("SIGNPOST_PROXY_ADDR", "nowhere"),
        ("SIGNPOST_API_ADDR", "127.0.0.1"),
        ("SIGNPOST_ADMIN_ADDR", "127.0.0.1:99999"),
        ("SIGNPOST_CLICKHOUSE_ADDR", "x:y"),
        ("SIGNPOST_PUBLIC_URL", "ftp://x"),
        ("SIGNPOST_DATABASE_URL", "mysql://x"),
        ("SIGNPOST_RING_BYTES", "lots"),
        ("SIGNPOST_CLICK_LOG_BYTES", "-1"),
        ("SIGNPOST_TRUSTED_PROXIES", "10.0.0.0/99"),
        ("SIGNPOST_IP_POLICY", "some"),
        ("SIGNPOST_UNIQUE_PERIOD", "year"),
        ("SIGNPOST_FEED_URL", "http://192.0.2.1:8081"),
        ("SIGNPOST_LOG_FORMAT", "xml"),
        ("SIGNPOST_SLUG_QUARANTINE_DAYS", "soon"),
        ("SIGNPOST_ASK_DESTINATIONS", "perhaps"),
    ];
    let output = signpost()
        .arg("up")
        .env("SIGNPOST_DATA_DIR", folder.path())
        .envs(bad)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr);
    for (name, value) in bad {
        assert!(said.contains(name), "{name} is not named:\n{said}");
        // A database's URL may hold a password: only its scheme is shown.
        let shown = value
            .strip_suffix("//x")
            .filter(|_| name == "SIGNPOST_DATABASE_URL")
            .unwrap_or(value);
        assert!(said.contains(shown), "{value} is not shown:\n{said}");
    }
    // The same through `check`.
    let output = signpost()
        .arg("check")
        .env("SIGNPOST_DATA_DIR", folder.path())
        .envs(bad)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn a_data_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = signpost()
        .arg("up")
        .env("SIGNPOST_DATA_DIR", file.join("data"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("SIGNPOST_DATA_DIR") && said.contains("file"),
        "{said}"
    );
}

#[test]
fn a_wrong_command_line_ends_with_64_and_help_with_0() {
    assert_eq!(
        signpost().arg("fly").output().unwrap().status.code(),
        Some(64)
    );
    let help = signpost().arg("--help").output().unwrap();
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("signpost up --data-dir"));
}
