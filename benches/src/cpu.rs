//! CPU time of threads and processes, from `/proc`.

use std::collections::BTreeMap;

use anyhow::Context as _;

/// Ticks of `/proc/<pid>/stat` a second (`USER_HZ`, 100 on every Linux).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds used by the threads of a process, by thread name. Threads that have ended are not in it.
pub(crate) fn by_thread(pid: u32) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut used = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("process {pid} is gone"))?
    {
        // A thread may end between the listing and the reading.
        let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else {
            continue;
        };
        let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else {
            continue;
        };
        let name = stat.get(open + 1..close).unwrap_or_default().to_owned();
        let fields: Vec<&str> = stat
            .get(close + 1..)
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        // Fields 14 and 15 of proc(5), utime and stime; the third field is the first here.
        let ticks = |i: usize| {
            fields
                .get(i)
                .and_then(|f| f.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        *used.entry(name).or_insert(0.0) += (ticks(11) + ticks(12)) / TICKS_PER_SECOND;
    }
    Ok(used)
}

/// CPU seconds of all threads whose name starts with `prefix`.
pub(crate) fn of(used: &BTreeMap<String, f64>, prefix: &str) -> f64 {
    used.iter()
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(_, s)| s)
        .sum()
}
