//! What a run leaves behind: `runs/train/NAME[N]/` with its settings, metrics, weights and state.

mod appender;
mod curves;
mod data_list;
mod events;
mod plots;
mod report;
mod sheets;
mod states;
mod table;

pub use report::ReportFacts;

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use self::curves::Curves;
use self::events::Events;
use self::plots::Setting;
use self::table::{Format, Table};
use super::{
    Baselines, Begun, Config, EpochReport, HeldOutPairs, Output, SelectionReport, StepReport, TrainingState, Versions,
};
use crate::chart::png;
use crate::data::augment::{Augment, augment_sheet};
use crate::data::faces::FaceSet;
use crate::data::skipped::SkippedImage;
use crate::weights::{Weights, check_writable, remove_stale, write_whole};
use crate::{Error, Result};

/// Names of the files that tell of the run, as far as there are any.
const FILES: [&str; 15] = [
    "report.html",
    "args.toml",
    "env.json",
    "choices.json",
    "metrics.csv",
    "metrics.jsonl",
    "selections.csv",
    "versions.toml",
    "data.csv",
    "held_out.txt",
    "skipped.csv",
    "augment.png",
    "batch.png",
    "hardest.png",
    "plots",
];

/// While a run goes on, its plots are drawn this often.
const DRAW_EVERY: Duration = Duration::from_secs(60);

/// The folder of one run. As long as it is open, no other program can write to it.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Locked until it is dropped, or the program ends however it ends.
    _lock: File,
    /// Settings that are not written yet.
    args: Option<String>,
    /// What the run goes on from.
    state: Option<TrainingState>,
    history: Vec<EpochReport>,
    curves: Curves,
    baselines: Option<Baselines>,
    /// What is trained on, once that has begun.
    set: Option<Arc<FaceSet>>,
    setting: Option<Setting>,
    events: Option<Events>,
    /// When the plots were drawn last.
    drawn: Option<Instant>,
    epochs: Table,
    steps: Table,
    selections: Table,
    skipped: Table,
}

impl RunFolder {
    /// Creates `root/train/name`, or `name2`, `name3`, ... if there are runs of that name already.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(root: &Path, name: &str) -> Result<Self> {
        let path = numbered(&Self::check(root, name)?, name)?;
        for folder in ["weights", "state", "plots"].map(|folder| path.join(folder)) {
            fs::create_dir(&folder).map_err(Error::io("create", &folder))?;
        }
        Self::open(path)
    }

    /// Opens the folder of an earlier run to go on with it, and removes what a killed program has left half-written.
    ///
    /// # Errors
    /// It is no run's folder, cannot be written, or another program is training in it.
    pub fn resume(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if !path.join("args.toml").is_file() {
            let message = match path.is_dir() {
                true => "is no folder of a run: it has no args.toml; give one such as runs/train/run, or last",
                false => "is no folder; give that of a run, such as runs/train/run, or last",
            };
            return Err(Error::Data(format!("{} {message}", path.display())));
        }
        let folders = [path.clone(), path.join("weights"), path.join("state"), path.join("plots")];
        for folder in &folders {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            check_writable(folder)?;
        }
        let open = Self::open(path)?;
        folders.iter().for_each(|folder| remove_stale(folder));
        Ok(open)
    }

    fn open(path: PathBuf) -> Result<Self> {
        let lock_path = path.join("state/lock");
        let lock = File::create(&lock_path).map_err(Error::io("create", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Data(format!(
                    "another program is training in {}; wait for its end",
                    path.display()
                )));
            }
            // A file system without locks, such as some network drives: the run is worth more than the lock.
            Err(TryLockError::Error(_)) => {}
        }
        let table = |name: &str, format| Table::open(path.join(name), format);
        let (epochs, steps) = (table("metrics.csv", Format::Csv), table("metrics.jsonl", Format::JsonLines));
        let [selections, skipped] = ["selections.csv", "skipped.csv"].map(|name| table(name, Format::Csv));
        Ok(Self {
            path,
            _lock: lock,
            args: None,
            state: None,
            history: Vec::new(),
            curves: Curves::default(),
            baselines: None,
            set: None,
            setting: None,
            events: None,
            drawn: None,
            epochs,
            steps,
            selections,
            skipped,
        })
    }

    /// The folder that `run` names: itself, a run of that name below `root`, or with `last` the run below `root` that was
    /// written last.
    ///
    /// # Errors
    /// There is no run below `root`.
    pub fn find(root: &Path, run: &Path) -> Result<PathBuf> {
        let all = root.join("train");
        if run != Path::new("last") {
            let named = all.join(run);
            return Ok(if !run.exists() && named.exists() { named } else { run.to_path_buf() });
        }
        let written = |path: &Path| {
            let newest = ["metrics.jsonl", "args.toml"].map(|file| fs::metadata(path.join(file)));
            newest.into_iter().flatten().filter_map(|found| found.modified().ok()).max()
        };
        let runs = fs::read_dir(&all).into_iter().flatten().flatten().map(|entry| entry.path());
        let last = runs.filter_map(|path| Some((written(&path)?, path))).max();
        let none = || Error::Data(format!("there is no run in {}; `runs` says where they are", all.display()));
        last.map(|(_, path)| path).ok_or_else(none)
    }

    /// Checks the name and that the folder can be written, so that this is found out before images are read for
    /// minutes. Returns `root/train`, which exists then.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn check(root: &Path, name: &str) -> Result<PathBuf> {
        if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
            let message = format!("`name` \"{name}\" cannot name a run: give a plain folder name");
            return Err(Error::Setting(message));
        }
        let parent = root.join("train");
        fs::create_dir_all(&parent).map_err(Error::io("create", &parent))?;
        check_writable(&parent)?;
        Ok(parent)
    }

    /// Checks that the disk has space for what a run writes: two weights files and a temporary one of `weights` bytes each,
    /// and as many states of `state` bytes, and some pictures and tables.
    ///
    /// # Errors
    /// It has not.
    pub fn check_space(&self, weights: u64, state: u64) -> Result<()> {
        const FILES: u64 = 3;
        // Pictures, the page with them, and tables.
        const OTHERS: u64 = 16 << 20;
        // Where the system does not tell, the run itself will find out.
        let Ok(free) = fs4::available_space(&self.path) else { return Ok(()) };
        let needed = FILES * (weights + state) + OTHERS;
        if free >= needed {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        Err(Error::Data(format!(
            "the disk of {} has {} MiB left, and the run needs {} MiB for its weights and its state; make space, or give \
             another folder as `runs`",
            self.path.display(),
            free >> 20,
            mib(needed)
        )))
    }

    /// Removes the folder unless a step was made: after a failure before the first step nothing in it is worth keeping.
    pub fn discard_if_empty(self) {
        if !self.path.join("metrics.jsonl").exists() && !self.last().exists() && !self.best().exists() {
            let path = self.path.clone();
            // Open files cannot be removed everywhere.
            drop(self);
            let _ = fs::remove_dir_all(path);
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the files beside the weights that tell of the run.
    pub fn files(&self) -> Vec<&'static str> {
        FILES.into_iter().filter(|name| self.path.join(name).exists()).collect()
    }

    /// The weights of the last epoch.
    pub fn last(&self) -> PathBuf {
        self.path.join("weights/last.safetensors")
    }

    /// The weights with the best accuracy so far.
    pub fn best(&self) -> PathBuf {
        self.path.join("weights/best.safetensors")
    }

    fn states(&self) -> PathBuf {
        self.path.join("state")
    }

    /// Whether there is a state to go on from.
    pub fn can_resume(&self) -> bool {
        states::any(&self.states())
    }

    /// Makes the run go on from the latest training state that can be read. Returns its step, or `None` if the run has saved
    /// no state, and what is wrong with later states. The tables lose the rows of later steps, which will be made again.
    ///
    /// # Errors
    /// There are states and none can be read, there is none though there are weights, or a table cannot be written.
    pub fn go_on(&mut self) -> Result<(Option<u64>, Vec<String>)> {
        let (state, troubles) = states::latest(&self.states())?;
        if state.is_none() && (self.last().exists() || self.best().exists()) {
            return Err(Error::Data(format!(
                "{} has weights and no training state to go on from; begin a new run from the weights with `init` {}",
                self.path.display(),
                [self.last(), self.best()].into_iter().find(|path| path.exists()).unwrap_or_default().display()
            )));
        }
        let (step, closed) = state.as_ref().map_or((0, 0), |state| {
            let step = usize::try_from(state.progress.step).unwrap_or(usize::MAX);
            (step, step - state.run.steps_of_epoch().min(step))
        });
        let steps =
            table::cut::<StepReport>(&self.path.join("metrics.jsonl"), Format::JsonLines, |row| row.step <= step)?;
        steps.iter().for_each(|row| self.curves.add(row));
        table::cut::<SelectionReport>(&self.path.join("selections.csv"), Format::Csv, |row| row.step < step)?;
        self.history =
            table::cut::<EpochReport>(&self.path.join("metrics.csv"), Format::Csv, |row| row.step <= closed)?;
        // The tables were made before their rows were cut.
        let table = |name: &str, format| Table::open(self.path.join(name), format);
        self.epochs = table("metrics.csv", Format::Csv);
        self.steps = table("metrics.jsonl", Format::JsonLines);
        self.selections = table("selections.csv", Format::Csv);
        let reached = state.as_ref().map(|state| state.progress.step);
        self.state = state;
        Ok((reached, troubles))
    }

    /// Sets what `args.toml` is to hold. It is written when the run begins, at the latest, so that settings that are refused
    /// before are not in the way of a next try.
    pub fn set_args(&mut self, args: &impl Serialize) {
        self.args = Some(toml::to_string(args).expect("settings are plain data"));
    }

    /// Writes the settings, if there are any that are not written yet.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_args(&mut self) -> Result<()> {
        self.args.take().map_or(Ok(()), |text| write_whole(&self.path.join("args.toml"), text.as_bytes()))
    }

    /// Writes where and with what the run is made.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_env(&self, env: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec_pretty(env).expect("it is plain data");
        write_whole(&self.path.join("env.json"), &text)
    }

    /// Writes a row per image that could not be used, if there are any. Returns the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_skipped(&mut self, set: &FaceSet) -> Result<Option<PathBuf>> {
        if set.skipped().is_empty() {
            return Ok(None);
        }
        let path = self.path.join("skipped.csv");
        set.write_report(&path)?;
        self.skipped = Table::open(path.clone(), Format::Csv);
        Ok(Some(path))
    }

    /// Writes what augmentation makes of some images.
    ///
    /// # Errors
    /// An image can no longer be read, or the file cannot be written.
    pub fn write_augment(&self, set: &FaceSet, config: &Config) -> Result<()> {
        if config.augment == Augment::default() {
            return Ok(());
        }
        let sheet = augment_sheet(set, &config.augment, config.seed)?;
        write_whole(&self.path.join("augment.png"), &png(&sheet)?)
    }

    /// Writes the run on one page, `report.html`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_report(&self, facts: &ReportFacts<'_>) -> Result<()> {
        write_whole(&self.path.join("report.html"), report::page(&self.path, &self.history, facts).as_bytes())
    }

    fn plots(&self) -> PathBuf {
        self.path.join("plots")
    }

    /// Draws what steps and epochs tell.
    fn draw(&mut self) -> Result<()> {
        let Some(setting) = self.setting else { return Ok(()) };
        self.drawn = Some(Instant::now());
        plots::draw(&self.plots(), &self.curves, &self.history, self.baselines.as_ref(), setting)
    }

    /// Checks that `set` is what the run was begun with.
    ///
    /// # Errors
    /// It is not; the message says what has changed.
    pub fn check_data(&self, set: &FaceSet) -> Result<()> {
        data_list::check(&self.path.join("data.csv"), set)
    }
}

/// Creates `parent/name`, or `name2`, `name3`, ... if these are there already.
///
/// # Errors
/// It cannot be created.
pub fn numbered(parent: &Path, name: &str) -> Result<PathBuf> {
    let mut number = 1;
    loop {
        let path = parent.join(if number == 1 { name.to_string() } else { format!("{name}{number}") });
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(e) => return Err(Error::io("create", &path)(e)),
        }
    }
}

/// What `versions.toml` holds, of the best weights.
#[derive(Debug, Serialize)]
struct VersionsFile {
    new: f64,
    old: f64,
    across: f64,
    across_threshold: f32,
}

impl Output for RunFolder {
    fn begin(&mut self, begun: &Begun<'_>) -> Result<()> {
        self.write_args()?;
        let Begun { set, held_out, config, .. } = *begun;
        data_list::write(&self.path.join("data.csv"), set, held_out)?;
        let first = self.state.as_ref().map_or(0, |state| usize::try_from(state.progress.step).unwrap_or(usize::MAX));
        self.events = Some(Events::begin(&self.path, first, config.loss));
        (self.set, self.setting) = (Some(set.clone()), Some(Setting::of(config)));
        if first == 0 {
            write_whole(&self.path.join("batch.png"), &png(&sheets::batch_sheet(set, begun.first_batch)?)?)?;
        }
        let names: String = held_out.iter().map(|&person| set.people()[person].name.clone() + "\n").collect();
        match names.is_empty() {
            true => Ok(()),
            false => write_whole(&self.path.join("held_out.txt"), names.as_bytes()),
        }
    }

    fn save_last(&mut self, weights: &Weights) -> Result<()> {
        weights.save(&self.last())
    }

    fn save_best(&mut self, weights: &Weights) -> Result<()> {
        weights.save(&self.best())
    }

    fn last_place(&self) -> String {
        self.last().display().to_string()
    }

    fn state(&mut self) -> Result<Option<TrainingState>> {
        Ok(self.state.take())
    }

    fn keeps_state(&self) -> bool {
        true
    }

    fn save_state(&mut self, state: TrainingState) -> Result<()> {
        // What comes before the state is not made again.
        let written = self.events.as_mut().map_or(Ok(()), Events::flush);
        states::save(&self.states(), &state).and(written)
    }

    fn skipped(&mut self, image: &SkippedImage) -> Result<()> {
        self.skipped.add(image)
    }

    fn step(&mut self, report: &StepReport) -> Result<()> {
        self.curves.add(report);
        let written = self.events.as_mut().map_or(Ok(()), |events| events.step(report));
        self.steps.add(report).and(written)
    }

    fn epoch(&mut self, report: &EpochReport, baselines: Option<&Baselines>) -> Result<()> {
        self.history.push(*report);
        self.baselines = baselines.copied();
        let written = self.events.as_mut().map_or(Ok(()), |events| events.epoch(report));
        self.epochs.add(report).and(written)?;
        match self.drawn {
            Some(drawn) if drawn.elapsed() < DRAW_EVERY => Ok(()),
            _ => self.draw(),
        }
    }

    fn pictures(&mut self, found: Option<&HeldOutPairs>) -> Result<()> {
        self.draw()?;
        let Some(found) = found else { return Ok(()) };
        plots::draw_held_out(&self.plots(), found)?;
        let Some(set) = &self.set else { return Ok(()) };
        match sheets::hardest_sheet(set, &found.hardest)? {
            Some(sheet) => write_whole(&self.path.join("hardest.png"), &png(&sheet)?),
            None => Ok(()),
        }
    }

    fn selection(&mut self, report: &SelectionReport) -> Result<()> {
        self.selections.add(report)
    }

    fn versions(&mut self, versions: &Versions) -> Result<()> {
        let [new, old, across] = [versions.new, versions.old, versions.across].map(|a| a.accuracy);
        let file = VersionsFile { new, old, across, across_threshold: versions.across.threshold };
        let text = toml::to_string(&file).expect("a few numbers");
        write_whole(&self.path.join("versions.toml"), text.as_bytes())
    }

    fn finish(&mut self) -> Result<()> {
        [&mut self.steps, &mut self.epochs, &mut self.selections, &mut self.skipped]
            .into_iter()
            .try_for_each(Table::flush)?;
        self.events.as_mut().map_or(Ok(()), Events::flush)
    }
}
