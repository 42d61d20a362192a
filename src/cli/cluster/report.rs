//! What was found, for people, for programs, and as a table.

use serde_json::{Value, json};

use super::source::Source;
use super::{Cluster, Method};
use crate::Result;
use crate::cli::threshold::Threshold;
use crate::cli::{output, table};
use crate::cluster::Clusters;
use crate::eval::clusters::{Agreement, PrecisionRecall, agreement};
use crate::text::counted;

/// Clusters, with how they came about and how good they are.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) clusters: Clusters,
    /// Agreement with the people who are known, where there are any.
    pub(super) agreement: Option<Agreement>,
    seconds: f64,
    memory: u64,
    failed: usize,
}

impl Found {
    pub(super) fn new(source: &Source, clusters: Clusters, seconds: f64, memory: u64) -> Result<Self> {
        let agreement = match &source.people {
            Some(people) => {
                let known =
                    people.iter().zip(&clusters.labels).filter_map(|(name, &label)| Some((name.as_ref()?, label)));
                let (truth, found): (Vec<&String>, Vec<u32>) = known.unzip();
                Some(agreement(&truth, &found)?)
            }
            None => None,
        };
        Ok(Self { clusters, agreement, seconds, memory, failed: source.failed.len() })
    }

    pub(super) fn say(&self) {
        let (all, alone) = (self.clusters.len(), self.clusters.singletons());
        let count = |n: usize| table::count(n as u64);
        say!(
            "clusters  {}: {} of two or more images, {} of one; the largest has {}",
            count(all),
            count(all - alone),
            count(alone),
            counted(self.clusters.sizes[0] as usize, "image")
        );
        if let Some(a) = &self.agreement {
            say!("people    {}, known of {} by their folders", count(a.people), counted(a.images, "image"));
            say!("pairs     {}", in_words(&a.pairwise));
            say!("B-cubed   {}", in_words(&a.b_cubed));
            say!("NMI       {:.4}", a.nmi);
        }
        say!("time      {:.2} s for the clustering alone", self.seconds);
    }

    pub(super) fn json(&self, verb: &Cluster, method: &str, threshold: Threshold<'_>) {
        let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let figures = |f: &PrecisionRecall| json!({ "precision": f.precision, "recall": f.recall, "f": f.f });
        let agreement = self.agreement.as_ref().map_or(Value::Null, |a| {
            json!({
                "images": a.images, "people": a.people, "pairwise": figures(&a.pairwise),
                "b_cubed": figures(&a.b_cubed), "nmi": a.nmi,
            })
        });
        let graph = method == "graph" || verb.method == Method::Graph;
        output::json(&json!({
            "event": "end", "images": self.clusters.labels.len(), "failed": self.failed,
            "clusters": self.clusters.len(), "singletons": self.clusters.singletons(), "sizes": self.clusters.sizes,
            "threshold": output::number(threshold.value), "threshold_source": threshold.source(), "method": method,
            "linkage": format!("{:?}", verb.linkage).to_lowercase(), "neighbours": graph.then_some(verb.neighbours),
            "memory_bytes": self.memory, "seconds": self.seconds, "agreement": agreement,
            "out": path(&verb.out), "html": path(&verb.html),
        }));
    }
}

/// Figures as people read them.
pub(super) fn in_words(f: &PrecisionRecall) -> String {
    let percent = |part: f64| format!("{:.1} %", 100.0 * part);
    format!("precision {}, recall {}, F {}", percent(f.precision), percent(f.recall), percent(f.f))
}

/// Prints a row for each image: cluster (1 is the largest), its size, the person if known, and the reason for those without.
pub(super) fn csv(source: &Source, found: &Found) {
    let clusters = &found.clusters;
    output::csv(["path", "cluster", "size", "person", "reason"]);
    for (at, &label) in clusters.labels.iter().enumerate() {
        let person = source.people.as_ref().and_then(|people| people[at].as_deref()).unwrap_or_default();
        let (number, size) = ((label + 1).to_string(), clusters.sizes[label as usize].to_string());
        output::csv([&*source.embeddings.id(at), &number, &size, person, ""]);
    }
    source.failed.iter().for_each(|(file, why)| output::csv([file, "", "", "", why]));
}
