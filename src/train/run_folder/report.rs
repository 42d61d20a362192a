//! `report.html`: a run on one page, with its pictures inside, that needs no network and no other file.

use std::path::Path;

use maud::{Markup, html};

use crate::chart::page;
use crate::eval::verification::Accuracy;
use crate::text::{count, counted, shown};
use crate::train::{Config, End, EpochReport, Summary, Verdict};

/// What the page tells beside what the run folder knows.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReportFacts<'a> {
    /// How the run ended.
    pub summary: &'a Summary,
    /// The settings.
    pub config: &'a Config,
    /// The device, in words.
    pub device: String,
    /// The images, in words.
    pub data: String,
    /// The command line.
    pub command: String,
}

impl<'a> ReportFacts<'a> {
    /// All of it.
    pub fn new(summary: &'a Summary, config: &'a Config, device: String, data: String, command: String) -> Self {
        Self { summary, config, device, data, command }
    }
}

/// Pictures in their order, with what stands below each.
const PICTURES: [(&str, &str); 10] = [
    (
        "plots/accuracy.png",
        "Accuracy on held-out people after each epoch. The dashed lines are what is reached without training.",
    ),
    ("plots/loss.png", "Loss. At the margin nothing is learned."),
    (
        "plots/active.png",
        "What the loss finds in a batch: pairs with a negative that still counts (active), and how hard the closest negative is.",
    ),
    (
        "plots/distances.png",
        "Squared distances from the anchor, with the standard deviation in a batch. They should part.",
    ),
    ("plots/learning_rate.png", "Learning rate."),
    ("plots/roc.png", "Pairs of held-out people accepted rightly and wrongly, with the best weights."),
    (
        "plots/histogram.png",
        "Distances of the held-out pairs, with the best weights. The less they overlap, the better.",
    ),
    ("hardest.png", "The triplets of held-out people that the best weights find hardest."),
    ("batch.png", "The first batch, as the network sees it: a row a person, the people with one image last."),
    ("augment.png", "Augmentation: an image as it is, then with random changes."),
];

/// Epochs that the table shows at most.
const ROWS: usize = 40;

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

/// The confidence interval of an accuracy.
fn interval(accuracy: &Accuracy) -> String {
    let [low, high] = accuracy.interval().map(|end| 100.0 * end);
    format!("{low:.1} to {high:.1} %")
}

/// The page of the run in `dir`.
pub(super) fn page(dir: &Path, history: &[EpochReport], facts: &ReportFacts<'_>) -> String {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let title = format!("{} - facenet-gpu", shown(&name));
    let body = html! {
        h1 { "Training run " (shown(&name)) }
        (result(facts))
        h2 { "Run" }
        (facts_table(dir, facts))
        h2 { "Pictures" }
        div.pictures { @for (file, caption) in PICTURES { (picture(dir, file, caption)) } }
        @if !history.is_empty() { h2 { "Epochs" } (epochs(history)) }
    };
    page::page(&title, &body)
}

/// How good the weights are, before anything else.
fn result(facts: &ReportFacts<'_>) -> Markup {
    let Summary { best, baselines, .. } = facts.summary;
    let (Some(best), Some(baselines)) = (best, baselines) else {
        return html! { p.note { "Nobody was held out, so nothing was measured." } };
    };
    let before = if facts.config.init.is_some() { "the starting weights" } else { "the untrained network" };
    html! {
        p.result { (percent(best.accuracy)) }
        p {
            "Accuracy on " (count(best.pairs as u64)) " pairs of held-out people, of the best epoch; its 95 % confidence interval is "
            (interval(best)) ". Raw pixels reach " (percent(baselines.pixels.accuracy)) " (" (interval(&baselines.pixels)) "), "
            (before) " " (percent(baselines.untrained.accuracy)) " (" (interval(&baselines.untrained)) "); guessing gives 50 %. Squared distances below " (format!("{:.3}", best.threshold)) " mean one person."
        }
        @match facts.summary.verdict() {
            Some(Verdict::NotBetter) => p.bad { "Not better than without training." },
            Some(Verdict::Unclear) => p.bad { "Whether training has helped is not clear: more held-out people would tell." },
            Some(Verdict::Better) | None => {}
        }
    }
}

fn facts_table(dir: &Path, facts: &ReportFacts<'_>) -> Markup {
    let Summary { steps, epochs, seconds, end, .. } = facts.summary;
    let ended = match end {
        End::Done => "all epochs are done".to_string(),
        End::Stopped => "stopped by the user".to_string(),
        End::TimeOver => "its time was over".to_string(),
        End::NoBetter(epochs) => format!("nothing better for {}", counted(*epochs as usize, "epoch")),
    };
    let config = facts.config;
    let sizes = format!(
        "{} with {}{}",
        config.network,
        config.input.map_or(String::new(), |[h, w]| format!("{h}x{w} pixels, ")),
        config.embedding.map_or(String::new(), |d| format!("{d} dimensions"))
    );
    let rows = [
        ("command", shown_whole(&facts.command)),
        ("folder", shown_whole(&dir.display().to_string())),
        ("data", shown_whole(&facts.data)),
        ("network", sizes),
        ("batch", format!("{} people with {} images each", config.people, config.images)),
        ("optimiser", config.recipe_in_words()),
        ("augmentation", config.augment.in_words()),
        ("seed", config.seed.to_string()),
        ("device", facts.device.clone()),
        ("length", format!("{} steps, {epochs} epochs, {}", count(*steps as u64), time(*seconds))),
        ("end", ended),
        ("version", env!("CARGO_PKG_VERSION").to_string()),
    ];
    html! {
        table { @for (name, value) in rows { tr { th { (name) } td { code { (value) } } } } }
        p.note { "All settings are in args.toml, every step is in metrics.jsonl, the weights are in weights/." }
    }
}

/// A path or a command line: as long as it is, without control characters.
fn shown_whole(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn time(seconds: f64) -> String {
    let s = seconds.max(0.0).round();
    if s < 120.0 { format!("{s:.0} s") } else { format!("{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0) }
}

fn picture(dir: &Path, file: &str, caption: &str) -> Markup {
    let Ok(bytes) = std::fs::read(dir.join(file)) else { return html! {} };
    page::figure(&bytes, caption)
}

fn epochs(history: &[EpochReport]) -> Markup {
    let every = history.len().div_ceil(ROWS).max(1);
    let chosen = history.iter().enumerate().filter(|(at, r)| (at + 1) % every == 0 || r.best).map(|(_, r)| r);
    let chosen: Vec<&EpochReport> = chosen.collect();
    let number = |value: f64| format!("{value:.4}");
    html! {
        div.wide { table {
            tr {
                th.n { "epoch" } th.n { "step" } th.n { "loss" } th.n { "active" } th.n { "d(a,p)" } th.n { "d(a,n)" }
                th.n { "learning rate" } th.n { "images/s" } th.n { "held-out" } th.n { "95 % interval" }
            }
            @for r in chosen {
                tr {
                    td.n { (r.epoch) } td.n { (r.step) } td.n { (number(r.loss_all)) } td.n { (percent(r.active)) }
                    td.n { (number(r.d_ap)) } td.n { (number(r.d_an)) } td.n { (format!("{:.2e}", r.learning_rate)) }
                    td.n { (format!("{:.0}", r.images_per_second)) }
                    td.n { @if let Some(a) = r.accuracy { @if r.best { strong { (percent(a)) } } @else { (percent(a)) } } }
                    td.n {
                        @if let (Some(low), Some(high)) = (r.accuracy_low, r.accuracy_high) {
                            (format!("{:.1} to {:.1} %", 100.0 * low, 100.0 * high))
                        }
                    }
                }
            }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::verification::verification_accuracy;
    use crate::train::Baselines;

    fn summary() -> Summary {
        let pair = |same| crate::eval::verification::Pair { a: 0, b: 1, same };
        let pairs = [true, true, false, false].map(pair);
        let accuracy = verification_accuracy(&pairs, &[0.1, 0.2, 1.0, 1.1], |image| image, 0).unwrap();
        let baselines = Baselines { pixels: accuracy, untrained: accuracy };
        let (best, baselines) = (Some(accuracy), Some(baselines));
        Summary {
            steps: 1,
            epochs: 1,
            best,
            baselines,
            versions: None,
            all_equal: false,
            end: End::Done,
            seconds: 61.0,
        }
    }

    #[test]
    fn the_page_is_whole_in_itself_and_what_comes_from_outside_is_escaped() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("<b>run");
        std::fs::create_dir_all(run.join("plots")).unwrap();
        std::fs::write(run.join("plots/loss.png"), [1, 2, 3]).unwrap();
        let (summary, config) = (summary(), Config::default());
        let facts = ReportFacts::new(&summary, &config, "CPU".into(), "<script>\u{1b}".into(), "train & go".into());
        let page = page(&run, &[EpochReport { epoch: 1, accuracy: Some(0.75), ..EpochReport::default() }], &facts);
        assert!(page.contains("data:image/png;base64,AQID"));
        assert!(page.contains("&lt;script&gt;") && page.contains("&lt;b&gt;run") && page.contains("train &amp; go"));
        assert!(!page.contains('\u{1b}') && !page.contains("<script>"));
        assert!(!page.contains("http"), "the page needs the network");
        assert!(page.contains("75.0 %") && page.contains("Not better than without training"), "{page}");
    }
}
