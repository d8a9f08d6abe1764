//! Merging Prometheus pages: every sample gets a `role` label, and the samples of one metric stay together, as the
//! [text format](https://prometheus.io/docs/instrumenting/exposition_formats/) demands.

use std::collections::BTreeMap;

/// Metrics of several pages by name.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
struct Family {
    /// `# HELP` and `# TYPE` of the page that had them first.
    comments: Vec<String>,
    samples: Vec<String>,
}

impl Metrics {
    /// Adds a page. Lines that are not of the format are left out.
    pub(super) fn add(&mut self, page: &str, role: Option<&str>) {
        let mut family = String::new();
        for line in page.lines().map(str::trim).filter(|l| !l.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (Some(kind @ ("HELP" | "TYPE")), Some(name)) = (words.next(), words.next())
                else {
                    continue;
                };
                family = name.to_owned();
                let comments = &mut self.families.entry(family.clone()).or_default().comments;
                let start = format!("# {kind} ");
                if !comments.iter().any(|c| c.starts_with(&start)) {
                    comments.push(line.to_owned());
                }
            } else if let Some(sample) = labelled(line, role) {
                let name = line.split(['{', ' ']).next().unwrap_or_default();
                // Samples of a histogram carry the family's name and a suffix.
                let key = if name.starts_with(&family) && !family.is_empty() {
                    &family
                } else {
                    name
                };
                self.families
                    .entry(key.to_owned())
                    .or_default()
                    .samples
                    .push(sample);
            }
        }
    }

    /// The merged page.
    pub(super) fn render(&self) -> String {
        let mut page = String::new();
        for family in self.families.values() {
            for line in family.comments.iter().chain(&family.samples) {
                page.push_str(line);
                page.push('\n');
            }
        }
        page
    }
}

fn labelled(sample: &str, role: Option<&str>) -> Option<String> {
    let Some(role) = role else {
        return Some(sample.to_owned());
    };
    Some(match sample.split_once('{') {
        Some((name, rest)) if rest.starts_with('}') => format!("{name}{{role=\"{role}\"{rest}"),
        Some((name, rest)) => format!("{name}{{role=\"{role}\",{rest}"),
        None => {
            let (name, value) = sample.split_once(' ')?;
            format!("{name}{{role=\"{role}\"}} {value}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_metric_stay_together_and_carry_their_role() {
        let mut merged = Metrics::default();
        merged.add("# HELP a help\n# TYPE a counter\na 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_sum 3\n", Some("proxy"));
        merged.add("# TYPE a counter\na{x=\"y\"} 4\nnonsense\n", Some("ingest"));
        merged.add("z{role=\"proxy\"} 1\n", None);
        assert_eq!(
            merged.render(),
            "# HELP a help\n# TYPE a counter\na{role=\"proxy\"} 1\na{role=\"ingest\",x=\"y\"} 4\n\
             # TYPE h histogram\nh_bucket{role=\"proxy\",le=\"1\"} 2\nh_sum{role=\"proxy\"} 3\nz{role=\"proxy\"} 1\n"
        );
    }
}
