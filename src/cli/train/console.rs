//! What a training run prints: an updating display on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use console::Term;
use indicatif::ProgressBar;
use serde_json::json;

use super::columns::fitted;
use crate::cli::output::{self, Audience};
use crate::cli::progress::{bar, on_terminal};
use crate::cli::table;
use crate::cli::words::with_flags;
use crate::eval::verification::Accuracy;
use crate::model::Model;
use crate::text::counted;
use crate::train::{
    Baselines, Config, End, EpochReport, LossKind, Observer, Pace, RunFolder, SelectionReport, Setup, StepReport,
    Summary, Verdict,
};

/// Fewer pairs than this are few: the interval of an accuracy is four points to either side.
const FEW_PAIRS: usize = 500;

/// Without a terminal a line about steps is printed this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Programs that watch a run hear of its steps this often.
const JSON_EVERY: Duration = Duration::from_secs(1);

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
        say!("recipe    {}", self.config.recipe_in_words());
        say!("augment   {}", self.config.augment.in_words());
        if self.config.warm_up() as usize >= s.steps {
            hint!(
                "warning: the warm-up of {} steps is not shorter than the run of {}: the learning rate of {} is never reached; give \
                 more --epochs or a shorter --warm-up",
                self.config.warm_up(),
                s.steps,
                self.config.learning_rate()
            );
        }
        self.baselines = s.baselines;
        match &s.baselines {
            Some(f) => {
                say!(
                    "baseline  raw pixels {}, {} {}",
                    with_interval(&f.pixels),
                    start_of(&self.config),
                    with_interval(&f.untrained)
                );
            }
            None if s.held_out.is_empty() => say!("baseline  nobody is held out, so nothing is measured"),
            None => {}
        }
        if let Some(few) = s.baselines.filter(|f| f.pixels.pairs < FEW_PAIRS) {
            let pairs = few.pixels.pairs;
            say!("          every accuracy rests on {pairs} pairs; its 95 % confidence interval stands behind it");
        }
        say!("training  {}, {}", counted(self.config.epochs as usize, "epoch"), counted(s.steps, "step"));
        output::json(&json!({
            "event": "begin", "people": s.train_people, "images": s.train_images, "held_out_people": s.held_out.len(),
            "held_out_pairs": s.pairs, "skipped_images": s.set.skipped().len(), "network": self.config.network,
            "parameters": s.params, "batch": batch, "chunk": s.chunk, "bytes": s.bytes, "first_step": s.first,
            "steps": s.steps, "epochs": self.config.epochs,
            "raw_pixels_accuracy": s.baselines.map(|b| b.pixels.accuracy),
            "raw_pixels_interval": s.baselines.map(|b| b.pixels.interval()),
            "untrained_accuracy": s.baselines.map(|b| b.untrained.accuracy),
            "untrained_interval": s.baselines.map(|b| b.untrained.interval()),
            "recipe": self.config.recipe_in_words(), "augment": self.config.augment.in_words(),
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
            let mut row = output::row(r, "step");
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
        let line = fitted(
            &[
                format!("epoch {}/{}", r.epoch, self.config.epochs),
                format!("step {}/{}", r.step, self.steps),
                format!("{} left", table::duration(left)),
                format!("loss {:.4}", r.loss_all),
                format!("{what} {}", percent(part)),
                format!("d(a,p) {:.3}", r.d_ap),
                format!("d(a,n) {}", distance_to_negative(f64::from(r.d_an))),
                format!("lr {:.1e}", r.learning_rate),
                format!("{:.0} images/s", pace.images_per_second),
                format!("wait {}", percent(pace.data_wait)),
            ],
            &Term::stderr(),
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
        let (what, part) = match self.config.loss {
            LossKind::Triplet => ("active", r.active),
            LossKind::Softmax | LossKind::ArcFace => ("right", r.class_accuracy),
        };
        let within = |accuracy: Option<f64>, low: Option<f64>, high: Option<f64>| {
            let ends = accuracy.zip(low.zip(high));
            ends.map(|(accuracy, (low, high))| ranged(accuracy, [low, high]))
        };
        let held_out = within(r.accuracy, r.accuracy_low, r.accuracy_high);
        let on_pairs = within(r.pairs_accuracy, r.pairs_accuracy_low, r.pairs_accuracy_high);
        let line = fitted(
            &[
                format!(
                    "epoch {:>width$}/{}",
                    r.epoch,
                    self.config.epochs,
                    width = self.config.epochs.to_string().len()
                ),
                format!("loss {:.4}", r.loss_all),
                held_out.map_or(String::new(), |a| format!("held-out {a}{}", if r.best { " best" } else { "     " })),
                on_pairs.map_or(String::new(), |a| format!("pairs {a}")),
                format!("{what} {:>7}", percent(part)),
                format!("d(a,p) {:.3}", r.d_ap),
                format!("d(a,n) {}", distance_to_negative(r.d_an)),
                format!("{:>4.0} images/s", r.images_per_second),
            ],
            &Term::stdout(),
        );
        self.bar.suspend(|| say!("{line}"));
        output::json(&output::row(r, "epoch"));
        self.bar.clone().suspend(|| self.watch_active(r));
        self.last_line = Instant::now();
    }
}

/// What the network was before training.
fn start_of(config: &Config) -> &'static str {
    if config.init.is_some() { "starting weights" } else { "untrained network" }
}

/// An accuracy with its confidence interval.
fn with_interval(accuracy: &Accuracy) -> String {
    ranged(accuracy.accuracy, accuracy.interval())
}

/// A part with the ends of its confidence interval.
fn ranged(part: f64, [low, high]: [f64; 2]) -> String {
    format!("{} ({:.1} to {:.1})", percent(part), 100.0 * low, 100.0 * high)
}

/// The distance of anchors to their negatives, where there are any.
fn distance_to_negative(distance: f64) -> String {
    if distance > 0.0 { format!("{distance:.3}") } else { "-    ".to_string() }
}

/// What to think of weights that are not clearly better than what is reached without training.
fn judgement(summary: &Summary, baselines: &Baselines, config: &Config) -> Option<String> {
    let pixels = baselines.pixels.accuracy >= baselines.untrained.accuracy;
    let baseline = if pixels { "raw pixels" } else { start_of(config) };
    match (summary.verdict()?, &config.init) {
        (Verdict::NotBetter, _) if summary.all_equal => {
            Some("all embeddings are equal: these weights are of no use; look at the images".to_string())
        }
        (Verdict::NotBetter, Some(init)) if !pixels => Some(format!(
            "not better than the starting weights, {}; go on with those, or try a lower --learning-rate or --freeze",
            init.display()
        )),
        (Verdict::NotBetter, _) => Some(format!(
            "not better than {baseline}: these weights are of no use; try another --learning-rate, more --epochs, or more \
             people and images"
        )),
        (Verdict::Unclear, _) => Some(format!(
            "not clearly better than {baseline}, whose accuracy lies in the confidence interval; measuring on more people \
             would tell"
        )),
        (Verdict::Better, _) => None,
    }
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
        "interval": summary.best.map(|best| best.interval()),
        "threshold": summary.best.map(|best| output::number(best.threshold)),
        "verdict": summary.verdict(),
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
            say!("done      {steps} in {time}; nothing better for {}", counted(epochs as usize, "epoch"));
        }
    }
    if let (Some(best), Some(baselines)) = (&summary.best, &summary.baselines) {
        say!("accuracy  {} on held-out people, threshold {:.3}", with_interval(best), best.threshold);
        say!(
            "          without training: raw pixels {}, {} {}",
            with_interval(&baselines.pixels),
            start_of(config),
            with_interval(&baselines.untrained)
        );
        match (judgement(summary, baselines, config), output::audience()) {
            (Some(judgement), Audience::Nobody) => hint!("warning: {judgement}"),
            (Some(judgement), _) => say!("          {judgement}"),
            (None, _) => {}
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
    match summary.best {
        Some(_) if folder.best().exists() => say!("weights   {}", folder.best().display()),
        Some(_) => say!("weights   {} (as they were at the end; the best are gone)", folder.last().display()),
        None => say!("weights   {} (as they were at the end, not measured)", folder.last().display()),
    }
    if summary.stopped() && folder.best().exists() {
        say!("          {} (as they were at the end)", folder.last().display());
    }
    say!("run       {} ({})", folder.path().display(), folder.files().join(", "));
    match summary.end {
        End::Stopped => say!("resume    facenet-gpu train --resume {}", folder.path().display()),
        End::TimeOver => say!(
            "resume    facenet-gpu train --resume {} --time TIME, with more than the {time} that it has taken",
            folder.path().display()
        ),
        End::Done | End::NoBetter(_) => {}
    }
}
