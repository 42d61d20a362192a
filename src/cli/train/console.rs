//! What a training run prints: an updating display on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::cli::output::{self, Audience};
use crate::cli::table;
use crate::cli::words::with_flags;
use crate::eval::verification::Accuracy;
use crate::model::Model;
use crate::text::counted;
use crate::train::{
    Baselines, Config, End, EpochReport, LossKind, Observer, Pace, RunFolder, SelectionReport, Setup, StepReport,
    Summary,
};

/// Fewer pairs than this are few: the interval of an accuracy is four points to either side.
const FEW_PAIRS: usize = 500;

/// Without a terminal a line about steps is printed this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Programs that watch a run hear of its steps this often.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// Whether people watch, on a terminal.
fn on_terminal() -> bool {
    output::audience() == Audience::People && std::io::stderr().is_terminal()
}

/// A progress bar on a terminal, nothing elsewhere.
pub(super) fn bar(len: usize, template: &str) -> ProgressBar {
    let target = if on_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::with_draw_target(Some(len as u64), target).with_style(style)
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// Prints what happens: one updating line on a terminal, plain lines elsewhere.
pub(super) struct Console {
    pub(super) bar: ProgressBar,
    terminal: bool,
    steps: usize,
    /// Steps before this run.
    first: usize,
    banner: String,
    /// The settings as asked for.
    config: Config,
    begin: Instant,
    last_line: Instant,
    last_selection: Option<Instant>,
    baselines: Option<Baselines>,
    told_inactive: bool,
}

impl Console {
    pub(super) fn new(config: &Config, model: &Model) -> Self {
        let [height, width] = model.input();
        let dimensions = model.dimensions().unwrap_or_default();
        let crop = config.crop.map_or(String::new(), |crop| format!(" of {crop}"));
        Self {
            bar: ProgressBar::hidden(),
            terminal: on_terminal(),
            steps: 0,
            first: 0,
            banner: format!("{}, {height}x{width}{crop}, {dimensions} dimensions", model.name()),
            config: config.clone(),
            begin: Instant::now(),
            last_line: Instant::now(),
            last_selection: None,
            baselines: None,
            told_inactive: false,
        }
    }

    /// Half of the confidence interval of an accuracy on the held-out pairs.
    fn interval(&self, accuracy: f64) -> f64 {
        self.baselines.map_or(0.0, |baselines| Accuracy { accuracy, ..baselines.pixels }.half_interval())
    }

    /// Tells once that there is nothing to learn from, after an epoch of steps without an active triplet.
    fn watch_active(&mut self, r: &EpochReport) {
        if self.config.loss != LossKind::Triplet || r.active > 0.0 || self.told_inactive {
            return;
        }
        self.told_inactive = true;
        if r.all_equal() {
            hint!("warning: no triplet is active in epoch {}: all embeddings are equal; look at the images", r.epoch);
            return;
        }
        hint!(
            "warning: no triplet is active in epoch {}: every negative is farther than its positive by the margin, so nothing \
             is learned; more people in a batch (-P), --negatives, a larger --margin or --mining hard give harder ones",
            r.epoch
        );
    }

    /// What chooses the triplets, and from what.
    fn say_loss(&self, train_images: usize) {
        let c = &self.config;
        let online = format!("{} negatives, {} positives", c.mining.name(), c.positives().name());
        let offline = c.offline.map(|o| {
            let images = table::count(o.subset.min(train_images) as u64);
            let negatives = if o.hardest { "closest" } else { "closest beyond the positive" };
            format!("offline every {}, among {images} images, {negatives}", counted(o.every, "step"))
        });
        let by = match (offline, c.offline.map_or(0.0, |o| o.share)) {
            (None, _) => online,
            (Some(offline), share) if share < 1.0 => {
                format!("{} of the steps {offline}; the others {online}", percent(share))
            }
            (Some(offline), _) => offline,
        };
        let classes = format!("over {} people, scale {}", table::count(u64::from(c.classes)), c.loss_scale);
        match c.loss {
            LossKind::Triplet => say!("loss      margin {}, {by}", c.margin),
            LossKind::Softmax => say!("loss      softmax {classes}; triplets are only watched"),
            LossKind::ArcFace => {
                say!("loss      arcface {classes}, margin {} rad; triplets are only watched", c.angular_margin);
            }
        }
    }
}

impl Observer for Console {
    fn begin(&mut self, s: &Setup<'_>) {
        (self.steps, self.first) = (s.steps, s.first);
        say!("data      {}", s.set.summary());
        let pairs = if s.pairs > 0 { format!(" ({} pairs)", table::count(s.pairs as u64)) } else { String::new() };
        say!("split     {} people to train on, {} held out{pairs}", s.train_people, s.held_out.len());
        say!(
            "network   {}, {} parameters, {} multiply-adds",
            self.banner,
            table::count(s.params),
            table::short(s.macs as f64)
        );
        let batch = s.people * s.images + s.negatives;
        let others = if s.negatives > 0 { format!(" + {} others", s.negatives) } else { String::new() };
        say!("batch     {} people x {} images{others} = {}", s.people, s.images, table::count(batch as u64));
        let asked = match self.config.chunk.filter(|&chunk| chunk as usize > s.chunk) {
            Some(chunk) => format!(" ({chunk} images were asked for)"),
            None => String::new(),
        };
        let chunk = match batch.div_ceil(s.chunk) {
            1 => format!("the whole batch{asked}"),
            chunks => format!("{} images, {chunks} chunks", s.chunk),
        };
        say!("chunk     {chunk}, {:.0} MiB on the device", s.bytes as f64 / f64::from(1 << 20));
        self.say_loss(s.train_images);
        self.baselines = s.baselines;
        match &s.baselines {
            Some(f) => say!(
                "baseline  raw pixels {}, {} {}",
                percent(f.pixels.accuracy),
                start_of(&self.config),
                percent(f.untrained.accuracy)
            ),
            None if s.held_out.is_empty() => say!("baseline  nobody is held out, so nothing is measured"),
            None => {}
        }
        if let Some(few) = s.baselines.filter(|f| f.pixels.pairs < FEW_PAIRS) {
            let (pairs, half) = (few.pixels.pairs, 100.0 * few.untrained.half_interval());
            say!("          every accuracy rests on {pairs} pairs, and is known to about {half:.0} points either way");
        }
        say!("training  {}, {}", counted(self.config.epochs as usize, "epoch"), counted(s.steps, "step"));
        output::json(&json!({
            "event": "begin", "people": s.train_people, "images": s.train_images, "held_out_people": s.held_out.len(),
            "held_out_pairs": s.pairs, "skipped_images": s.set.skipped().len(), "network": self.config.network,
            "parameters": s.params, "batch": batch, "chunk": s.chunk, "bytes": s.bytes, "first_step": s.first,
            "steps": s.steps, "epochs": self.config.epochs,
            "raw_pixels_accuracy": s.baselines.map(|b| b.pixels.accuracy),
            "untrained_accuracy": s.baselines.map(|b| b.untrained.accuracy),
        }));
        if self.terminal {
            self.bar.finish_and_clear();
            self.bar = bar(s.steps, "{wide_msg}");
        }
        self.begin = Instant::now();
        self.last_line = self.begin;
    }

    fn starting(&mut self, said: &str) {
        say!("start     {said}");
    }

    fn warning(&mut self, message: &str) {
        hint!("warning: {}", with_flags(message));
    }

    fn embedding(&mut self, what: &str, done: usize, of: usize) {
        let state = format!("{what}  {}/{} images", table::count(done as u64), table::count(of as u64));
        if self.terminal {
            if self.bar.is_hidden() {
                self.bar = bar(of, "{msg}");
            }
            self.bar.set_message(state);
            self.bar.tick();
        } else if self.last_line.elapsed() >= LINE_EVERY {
            say!("{state}");
            self.last_line = Instant::now();
        }
    }

    fn selected(&mut self, r: &SelectionReport) {
        if self.last_selection.is_some_and(|last| last.elapsed() < LINE_EVERY) {
            return;
        }
        self.last_selection = Some(Instant::now());
        let [images, found, used] = [r.images, r.triplets, r.used].map(|n| table::count(n as u64));
        let (d_ap, d_an) = (r.d_ap, r.d_an);
        let time = table::duration(r.seconds);
        self.bar.suspend(|| {
            say!(
                "selected  step {}: {found} triplets of {images} images, {used} in use  d(a,p) {d_ap:.3}  d(a,n) {d_an:.3}  {time}",
                r.step
            );
        });
    }

    fn step(&mut self, r: &StepReport, pace: &Pace) {
        let left = self.begin.elapsed().as_secs_f64() / (r.step - self.first) as f64
            * self.steps.saturating_sub(r.step) as f64;
        if output::audience() == Audience::Programs && self.last_line.elapsed() >= JSON_EVERY {
            let mut row = serde_json::to_value(r).expect("a row is plain data");
            row["event"] = "step".into();
            row["images_per_second"] = pace.images_per_second.into();
            row["data_wait"] = pace.data_wait.into();
            row["seconds_left"] = left.into();
            output::json(&row);
            self.last_line = Instant::now();
        }
        let part = if r.pairs > 0.0 { f64::from((r.pairs - r.skipped_pairs) / r.pairs) } else { 0.0 };
        let (what, part) = match self.config.loss {
            LossKind::Triplet => ("active", part),
            LossKind::Softmax | LossKind::ArcFace => ("right", f64::from(r.class_accuracy)),
        };
        let line = format!(
            "epoch {}/{}  step {}/{}  loss {:.4}  {what} {}  d(a,p) {:.3}  d(a,n) {:.3}  lr {:.1e}  {:.0} images/s  \
             wait {}  {} left",
            r.epoch,
            self.config.epochs,
            r.step,
            self.steps,
            r.loss_all,
            percent(part),
            r.d_ap,
            r.d_an,
            r.learning_rate,
            pace.images_per_second,
            percent(pace.data_wait),
            table::duration(left)
        );
        if self.terminal {
            self.bar.set_position(r.step as u64);
            self.bar.set_message(line);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            say!("{line}");
            self.last_line = Instant::now();
        }
    }

    fn epoch(&mut self, r: &EpochReport) {
        let accuracy = match r.accuracy {
            Some(a) => {
                let half = self.interval(a);
                format!("  held-out {:.1} ±{:.1} %{}", 100.0 * a, 100.0 * half, if r.best { " (best)" } else { "" })
            }
            None => String::new(),
        };
        let accuracy = match r.pairs_accuracy {
            Some(pairs) => format!("{accuracy}  pairs {}", percent(pairs)),
            None => accuracy,
        };
        let (what, part) = match self.config.loss {
            LossKind::Triplet => ("active", r.active),
            LossKind::Softmax | LossKind::ArcFace => ("right", r.class_accuracy),
        };
        let line = format!(
            "epoch {:>width$}/{}  loss {:.4}  {what} {:>7}  d(a,p) {:.3}  d(a,n) {:.3}  {:>4.0} images/s{accuracy}",
            r.epoch,
            self.config.epochs,
            r.loss_all,
            percent(part),
            r.d_ap,
            r.d_an,
            r.images_per_second,
            width = self.config.epochs.to_string().len()
        );
        self.bar.suspend(|| say!("{line}"));
        let mut row = serde_json::to_value(r).expect("a row is plain data");
        row["event"] = "epoch".into();
        output::json(&row);
        self.bar.clone().suspend(|| self.watch_active(r));
        self.last_line = Instant::now();
    }
}

/// What the network was before training.
fn start_of(config: &Config) -> &'static str {
    if config.init.is_some() { "starting weights" } else { "untrained network" }
}

/// The end of a run for programs.
fn farewell_to_programs(summary: &Summary, folder: &RunFolder) {
    let end = match summary.end {
        End::Done => "done",
        End::Stopped => "stopped",
        End::TimeOver => "time over",
        End::NoBetter(_) => "no better",
    };
    let weights = |path: std::path::PathBuf| path.exists().then(|| path.display().to_string());
    output::json(&json!({
        "event": "end", "end": end, "steps": summary.steps, "epochs": summary.epochs, "seconds": summary.seconds,
        "accuracy": summary.best.map(|best| best.accuracy),
        "half_interval": summary.best.map(|best| best.half_interval()),
        "threshold": summary.best.map(|best| best.threshold),
        "better_than_baselines": summary.best.map(|_| !summary.is_useless()),
        "best": weights(folder.best()), "last": weights(folder.last()), "run": folder.path().display().to_string(),
    }));
}

/// The last lines of a run.
pub(super) fn farewell(summary: &Summary, config: &Config, folder: &RunFolder) {
    farewell_to_programs(summary, folder);
    let time = table::duration(summary.seconds);
    let steps = counted(summary.steps, "step");
    match summary.end {
        End::Done => say!("done      {steps} in {time}"),
        End::Stopped => say!("stopped   after {steps}, {time}"),
        End::TimeOver => say!("done      the time is over after {steps}, {time}"),
        End::NoBetter(epochs) => {
            say!("done      {steps} in {time}; {} were no better than the best", counted(epochs as usize, "epoch"));
        }
    }
    if let (Some(best), Some(baselines)) = (&summary.best, &summary.baselines) {
        say!(
            "accuracy  {:.1} ±{:.1} % on held-out people (raw pixels {}, {} {}), threshold {:.3}",
            100.0 * best.accuracy,
            100.0 * best.half_interval(),
            percent(baselines.pixels.accuracy),
            start_of(config),
            percent(baselines.untrained.accuracy),
            best.threshold
        );
        let (pixels, untrained) = (baselines.pixels.accuracy, baselines.untrained.accuracy);
        if summary.is_useless() {
            let what = if untrained > pixels { "the starting weights" } else { "raw pixels" };
            say!(
                "          not better than {what}: these weights are of no use; try another --learning-rate, more --epochs, \
                 or more people and images"
            );
        }
    }
    if let Some(v) = &summary.versions {
        say!(
            "versions  new {}, old {}, new against old {} on held-out people, threshold {:.3}",
            percent(v.new.accuracy),
            percent(v.old.accuracy),
            percent(v.across.accuracy),
            v.across.threshold
        );
    }
    if folder.best().exists() {
        say!("weights   {}", folder.best().display());
    } else {
        say!("weights   {} (as they were at the end, not measured)", folder.last().display());
    }
    if summary.stopped() && folder.best().exists() {
        say!("          {} (as they were at the end)", folder.last().display());
    }
    say!("run       {} ({})", folder.path().display(), folder.files().join(", "));
    if summary.stopped() {
        say!("resume    facenet-gpu train --resume {}", folder.path().display());
    }
}
