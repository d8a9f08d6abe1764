//! TXT records: from the system's name servers, or from what a test says they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;

/// Longest record that is looked at, in bytes: a proof is far shorter.
const MAX_RECORD: usize = 1024;

/// Most records of a name that are looked at.
const MAX_RECORDS: usize = 100;

/// No answer that says something.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct LookupError(pub String);

/// Where TXT records are asked for. Clones share it.
#[derive(Debug, Clone, Default)]
pub enum Txt {
    /// The name servers of this machine (`/etc/resolv.conf`), without a cache of our own: a record that was added a moment
    /// ago is to be seen.
    #[default]
    System,
    /// These records, by name; for tests. A name that is not there has none.
    Fixed(Arc<Mutex<HashMap<String, Vec<String>>>>),
}

impl Txt {
    /// The TXT records of a name; none when it does not exist.
    ///
    /// # Errors
    /// No name server, or no answer of theirs.
    pub async fn records(&self, name: &str) -> Result<Vec<String>, LookupError> {
        match self {
            Self::System => ask_system(name).await,
            Self::Fixed(records) => {
                let records = records.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(records.get(name).cloned().unwrap_or_default())
            }
        }
    }
}

async fn ask_system(name: &str) -> Result<Vec<String>, LookupError> {
    static RESOLVER: OnceLock<Option<TokioResolver>> = OnceLock::new();
    let resolver = RESOLVER.get_or_init(|| {
        let mut builder = TokioResolver::builder_tokio().ok()?;
        builder.options_mut().cache_size = 0;
        builder.build().ok()
    });
    let Some(resolver) = resolver else {
        return Err(LookupError(
            "this machine has no name servers configured".to_owned(),
        ));
    };
    // With the dot at the end no search domain is tried.
    match resolver.txt_lookup(format!("{name}.")).await {
        Ok(found) => Ok(found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(txt) => Some(joined(&txt.txt_data)),
                _ => None,
            })
            .take(MAX_RECORDS)
            .collect()),
        Err(error) if error.is_no_records_found() => Ok(Vec::new()),
        Err(error) => {
            tracing::debug!(%error, name, "a TXT look-up failed");
            Err(LookupError(format!(
                "the name servers do not answer about {name}"
            )))
        }
    }
}

/// A record's strings as the one text they are parts of.
fn joined(parts: &[Box<[u8]>]) -> String {
    let mut bytes: Vec<u8> = parts.concat();
    bytes.truncate(MAX_RECORD);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_odd_records_become_bounded_text() {
        let parts: Vec<Box<[u8]>> = vec![b"a".as_slice().into(), b"\xff".as_slice().into()];
        assert_eq!(joined(&parts), "a\u{fffd}");
        assert_eq!(joined(&[vec![b'x'; 9000].into()]).len(), MAX_RECORD);
        assert_eq!(joined(&[]), "");
    }

    #[tokio::test]
    async fn fixed_records_are_shared_by_clones() {
        let records = Arc::new(Mutex::new(HashMap::new()));
        let txt = Txt::Fixed(records.clone());
        assert!(
            txt.clone()
                .records("a.test")
                .await
                .expect("an answer")
                .is_empty()
        );
        records
            .lock()
            .expect("no panic")
            .insert("a.test".to_owned(), vec!["x".to_owned()]);
        assert_eq!(txt.records("a.test").await.expect("an answer"), ["x"]);
    }
}
