//! Which parameters are frozen, and which learn at another rate than the others.

use std::collections::HashMap;

use wildmatch::WildMatch;

use super::Config;
use crate::graph::{Graph, Updating};
use crate::text::listed;
use crate::{Error, Result};

/// Whether a pattern means a parameter: its name, such as `conv1/w`, or that of its layer, `conv1`. With `!` before it, it
/// means all others.
fn means(pattern: &str, name: &str) -> bool {
    if let Some(others) = pattern.strip_prefix('!') {
        return !means(others, name);
    }
    let pattern = WildMatch::new(pattern);
    pattern.matches(name) || name.rsplit_once('/').is_some_and(|(layer, _)| pattern.matches(layer))
}

/// The parameters that a pattern means.
fn matching(graph: &Graph, pattern: &str) -> Result<Vec<String>> {
    let names = || graph.params().map(|(_, node)| node.name.as_str());
    let found: Vec<String> = names().filter(|name| means(pattern, name)).map(ToString::to_string).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let mut layers: Vec<&str> = names().filter_map(|name| Some(name.rsplit_once('/')?.0)).collect();
    layers.dedup();
    layers.sort_by(|a, b| strsim::jaro_winkler(pattern, b).total_cmp(&strsim::jaro_winkler(pattern, a)));
    Err(Error::Setting(format!(
        "\"{pattern}\", given as `freeze` or `rate_of`, means no layer of the network; near it are {}",
        listed(&layers[..layers.len().min(3)])
    )))
}

impl Config {
    /// Names of the parameters that [`freeze`](Self::freeze) means.
    ///
    /// # Errors
    /// A pattern means none, or nothing is left to train.
    pub(in crate::train) fn frozen(&self, graph: &Graph) -> Result<Vec<String>> {
        let mut frozen = Vec::new();
        for pattern in &self.freeze {
            frozen.extend(matching(graph, pattern)?);
        }
        if graph.params().all(|(_, node)| frozen.contains(&node.name)) {
            return Err(Error::Setting("`freeze` leaves nothing to train".into()));
        }
        Ok(frozen)
    }

    /// How parameters are updated.
    ///
    /// # Errors
    /// A pattern of [`rate_of`](Self::rate_of) means none.
    pub(in crate::train) fn updating(&self, graph: &Graph) -> Result<Updating> {
        let mut factors = HashMap::new();
        for group in &self.rate_of {
            let (pattern, factor) = rate_of(group)?;
            factors.extend(matching(graph, pattern)?.into_iter().map(|name| (name, factor)));
        }
        Ok(Updating { factors })
    }
}

/// The parts of `PATTERN=FACTOR`.
pub(super) fn rate_of(group: &str) -> Result<(&str, f32)> {
    let parts = group.rsplit_once('=').and_then(|(pattern, factor)| Some((pattern, factor.parse::<f32>().ok()?)));
    let good = parts.filter(|(pattern, factor)| !pattern.is_empty() && factor.is_finite() && *factor > 0.0);
    let message =
        || format!("`rate_of` {group} is no pattern and factor such as 'conv*=0.1'; `freeze` takes a rate to zero");
    good.ok_or_else(|| Error::Setting(message()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net;

    #[test]
    fn patterns_mean_layers_and_parameters_and_never_nothing() {
        let model = net::find("zf64").unwrap().model().unwrap();
        let frozen = |patterns: &[&str]| {
            let freeze = patterns.iter().map(ToString::to_string).collect();
            Config::default().with(|c| c.freeze = freeze).frozen(model.graph())
        };
        assert_eq!(frozen(&[]).unwrap(), [""; 0]);
        assert_eq!(frozen(&["conv1"]).unwrap(), ["conv1/w", "conv1/b"]);
        assert_eq!(frozen(&["conv1/w"]).unwrap(), ["conv1/w"]);
        let but_the_last = frozen(&["!fc*"]).unwrap();
        assert!(but_the_last.iter().any(|name| name == "conv1/w") && !but_the_last.iter().any(|n| n.starts_with("fc")));
        let convolutions = frozen(&["conv*"]).unwrap();
        assert!(convolutions.len() > 2 && convolutions.iter().all(|name| name.starts_with("conv")));
        let text = frozen(&["cnov1"]).unwrap_err().to_string();
        assert!(
            text.contains("\"cnov1\", given as") && text.contains("means no layer") && text.contains("conv1"),
            "{text}"
        );
        assert!(frozen(&["*"]).unwrap_err().to_string().contains("nothing to train"));
    }

    #[test]
    fn groups_have_a_factor() {
        let model = net::find("zf64").unwrap().model().unwrap();
        let updating = |group: &str| Config::default().with(|c| c.rate_of = vec![group.into()]).updating(model.graph());
        assert_eq!(updating("conv1=0.5").unwrap().factors["conv1/w"], 0.5);
        for group in ["conv1", "conv1=fast", "=1", "conv1=0", "conv1=-1", "conv1=inf"] {
            assert!(updating(group).unwrap_err().to_string().contains("is no pattern and factor"), "{group}");
        }
    }
}
