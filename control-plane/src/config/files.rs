//! Settings of the file storage.

use std::path::{Path, PathBuf};

use schemas::names::files;
use schemas::settings::{Secret, Settings};
use url::Url;

use crate::storage::BucketConfig;

/// Largest file when nothing is set: what people send around, and few enough for a small disk.
const MAX_FILE_BYTES: u64 = 100 << 20;

/// Bounds of the largest file, in bytes. Above, an upload in parts has too many of them.
const FILE_BYTES: std::ops::RangeInclusive<u64> = 1..=64 << 30;

/// Longest prefix in a bucket, in bytes: a key must fit a link's entry.
const MAX_PREFIX: usize = 150;

/// Where files lie, and how large they may be.
#[derive(Debug, Clone)]
pub struct FilesConfig {
    /// Where.
    pub place: FilesPlace,
    /// Largest file in bytes.
    pub max_bytes: u64,
}

/// Where files lie.
#[derive(Debug, Clone)]
pub enum FilesPlace {
    /// A folder of this machine, absolute.
    Folder(PathBuf),
    /// A bucket that speaks S3.
    Bucket(BucketConfig),
}

impl FilesConfig {
    /// Reads the settings; mistakes are noted in `settings`.
    pub(super) fn from_settings(settings: &mut Settings, data_dir: &Path) -> Self {
        let max_bytes = settings.bytes("SIGNPOST_MAX_FILE_BYTES", MAX_FILE_BYTES, FILE_BYTES);
        let endpoint = settings.parsed_with(
            "SIGNPOST_S3_ENDPOINT",
            "http:// or https://, a host, and perhaps a port, nothing else",
            |text| is_bare(text).then(|| text.trim_end_matches('/').to_owned()),
        );
        let region = settings.parsed_with(
            "SIGNPOST_S3_REGION",
            "letters, digits and hyphens, e.g. eu-central-1",
            |text| {
                let legal = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                legal.then(|| text.to_owned())
            },
        );
        let ca_file = settings.text("SIGNPOST_S3_CA_FILE").map(str::to_owned);
        let place = match settings.text("SIGNPOST_FILES").map(str::to_owned) {
            None => FilesPlace::Folder(data_dir.join(files::UPLOADS)),
            Some(text) if !text.contains("://") => {
                FilesPlace::Folder(std::path::absolute(&text).unwrap_or_else(|_| text.into()))
            }
            Some(_) => {
                let (bucket, prefix) = settings
                    .parsed_with(
                        "SIGNPOST_FILES",
                        "a folder, or s3://<bucket>[/<prefix of letters, digits and - _ . / >]",
                        bucket,
                    )
                    .unwrap_or_default();
                FilesPlace::Bucket(BucketConfig {
                    bucket,
                    prefix,
                    endpoint,
                    ca_file: ca_file.map(PathBuf::from),
                    region: region.unwrap_or_else(|| "us-east-1".to_owned()),
                    access_key: key(settings, "SIGNPOST_S3_ACCESS_KEY"),
                    secret_key: Secret(key(settings, "SIGNPOST_S3_SECRET_KEY")),
                })
            }
        };
        Self { place, max_bytes }
    }
}

/// A key that must be there.
fn key(settings: &mut Settings, name: &str) -> String {
    let value = settings.text(name).unwrap_or_default().to_owned();
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic()) {
        let shown = if value.is_empty() { "" } else { "…" };
        settings.reject(
            name,
            shown,
            "set when SIGNPOST_FILES is a bucket: printable ASCII characters without spaces",
        );
    }
    value
}

fn bucket(text: &str) -> Option<(String, String)> {
    let rest = text.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_matches('/');
    let is_bucket = (3..=63).contains(&bucket.len())
        && bucket
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    let is_part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let is_prefix =
        prefix.is_empty() || prefix.len() <= MAX_PREFIX && prefix.split('/').all(is_part);
    (is_bucket && is_prefix).then(|| (bucket.to_owned(), prefix.to_owned()))
}

fn is_bare(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> (FilesConfig, String) {
        let mut settings = Settings::new(values.iter().copied());
        let config = FilesConfig::from_settings(&mut settings, Path::new("/data"));
        let errors = settings.check().err().map(|e| e.to_string());
        (config, errors.unwrap_or_default())
    }

    #[test]
    fn a_folder_is_the_default_and_needs_nothing_else() {
        let (config, errors) = read(&[]);
        assert_eq!(errors, "");
        assert_eq!(config.max_bytes, 100 << 20);
        assert!(
            matches!(config.place, FilesPlace::Folder(path) if path == Path::new("/data/uploads"))
        );
        let (config, _) = read(&[("SIGNPOST_FILES", "/srv/files")]);
        assert!(
            matches!(config.place, FilesPlace::Folder(path) if path == Path::new("/srv/files"))
        );
    }

    #[test]
    fn a_bucket_needs_its_keys() {
        let keys = [
            ("SIGNPOST_S3_ACCESS_KEY", "access"),
            ("SIGNPOST_S3_SECRET_KEY", "hunter22"),
            ("SIGNPOST_S3_ENDPOINT", "http://127.0.0.1:9000/"),
        ];
        let all = [&[("SIGNPOST_FILES", "s3://my-files/a/b/")][..], &keys].concat();
        let (config, errors) = read(&all);
        assert_eq!(errors, "");
        let FilesPlace::Bucket(bucket) = config.place else {
            panic!("no bucket");
        };
        assert_eq!((&*bucket.bucket, &*bucket.prefix), ("my-files", "a/b"));
        assert_eq!(bucket.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(bucket.region, "us-east-1");
        let (_, errors) = read(&[("SIGNPOST_FILES", "s3://my-files")]);
        assert!(
            errors.contains("SIGNPOST_S3_ACCESS_KEY") && errors.contains("SIGNPOST_S3_SECRET_KEY")
        );
    }

    #[test]
    fn what_makes_no_sense_is_named_and_secrets_are_not_shown() {
        for bad in [
            "s3://",
            "s3://ab",
            "s3://UPPER",
            "s3://abc/..",
            "s3://abc/a//b",
            "gs://abc",
            "s3://abc/ü",
        ] {
            let (_, errors) = read(&[("SIGNPOST_FILES", bad)]);
            assert!(errors.contains("SIGNPOST_FILES="), "{bad}: {errors}");
        }
        let (_, errors) = read(&[
            ("SIGNPOST_FILES", "s3://abc"),
            ("SIGNPOST_S3_ENDPOINT", "http://h/path"),
            ("SIGNPOST_S3_REGION", "eu central"),
            ("SIGNPOST_S3_SECRET_KEY", "hunter22 hunter22"),
            ("SIGNPOST_MAX_FILE_BYTES", "0"),
        ]);
        for name in [
            "S3_REGION",
            "S3_SECRET_KEY",
            "S3_ACCESS_KEY",
            "MAX_FILE_BYTES",
            "S3_ENDPOINT",
        ] {
            assert!(errors.contains(name), "{name}: {errors}");
        }
    }
}
