//! Kernels chosen by measurement. A kernel has several ways of being computed, and which is the fastest depends on the
//! device and the sizes: the first time that a shape meets a device, those that suit it are timed, and the choice is kept in
//! a file. Choices change speed and rounding, never what is computed.

mod kept;
mod measure;
mod shapes;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::kept::{Entry, File};
use self::measure::Until;
pub(crate) use self::measure::ordinary;
use self::shapes::{Candidates, ShapeOf, by_shape, shape_of};
use crate::gpu::Gpu;
use crate::plan::Plan;
use crate::{Error, Result};

/// How long all measuring of one network may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Part of the static choice's time that another way must stay below to take its place: less is noise.
const WINS: f64 = 0.97;

/// What happens while kernels are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A shape is about to be timed.
    Shape {
        /// Shapes of this plan that are done.
        done: usize,
        /// Shapes of this plan that have to be timed.
        of: usize,
        /// The kernel.
        kernel: &'a str,
    },
    /// The shapes of a plan are through.
    Done {
        /// Shapes that were timed.
        timed: usize,
        /// Shapes that the time did not suffice for: they take the static choice.
        left: usize,
        /// Time that it took.
        time: Duration,
    },
    /// Something is wrong, and the work goes on without it: a file of choices cannot be read or written, a kernel does not
    /// run.
    Warning(&'a str),
}

type Tell = Box<dyn Fn(Event<'_>) + Send + Sync>;
type Stop = Box<dyn Fn() -> bool + Send + Sync>;

/// How an [`Engine`](crate::Engine) chooses kernels by measurement: see
/// [`Engine::with_tuning`](crate::Engine::with_tuning).
pub struct Tuning {
    folder: Option<PathBuf>,
    record: Option<PathBuf>,
    choices: BTreeMap<String, Entry>,
    limit: Duration,
    trouble: Option<String>,
    tell: Tell,
    stop: Stop,
}

impl fmt::Debug for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, record, limit, .. } = self;
        f.debug_struct("Tuning").field("folder", folder).field("record", record).field("limit", limit).finish()
    }
}

impl Default for Tuning {
    /// Keeps choices in [`cache_folder`] and measures for 10 seconds at most, for each network.
    fn default() -> Self {
        Self { folder: cache_folder(), ..Self::in_memory() }
    }
}

impl Tuning {
    /// Keeps choices for as long as the engine lives.
    pub fn in_memory() -> Self {
        Self {
            folder: None,
            record: None,
            choices: BTreeMap::new(),
            limit: LIMIT,
            trouble: None,
            tell: Box::new(|_| ()),
            stop: Box::new(|| false),
        }
    }

    /// Takes the choices that [`recorded_in`](Self::recorded_in) has left in a file and measures nothing: what the file does
    /// not name takes the static choice, and so does everything if it cannot be read.
    pub fn of_record(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let read = File::read(path).map_err(|message| {
            format!(
                "the choices of kernels in {} cannot be read ({message}): results may differ in their last digits",
                path.display()
            )
        });
        let (file, trouble) = read.map_or_else(|e| (None, Some(e)), |file| (file, None));
        let choices = file.map(|file| file.choices).unwrap_or_default();
        Self { choices, trouble, limit: Duration::ZERO, ..Self::in_memory() }
    }

    /// Keeps choices in another folder, a file for each device.
    #[must_use]
    pub fn kept_in(self, folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()), ..self }
    }

    /// Also writes every choice that plans have met to this file, for [`of_record`](Self::of_record).
    #[must_use]
    pub fn recorded_in(self, path: impl Into<PathBuf>) -> Self {
        Self { record: Some(path.into()), ..self }
    }

    /// Measures no longer than this for each network: all plans of a [`Session`](crate::Session), of a
    /// [`Detector`](crate::detect::Detector), or of all else that is put on the engine.
    #[must_use]
    pub fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Tells what happens, from another thread than the caller's. Must not ask the engine for its choices.
    #[must_use]
    pub fn tell(self, tell: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        Self { tell: Box::new(tell), ..self }
    }

    /// Measures no more once this says so; it is asked before each run of a kernel. What has no choice by then takes the static
    /// choice.
    #[must_use]
    pub fn until(self, stop: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { stop: Box::new(stop), ..self }
    }
}

/// Where choices are kept: the folder that `FACENET_GPU_CACHE` names, else `facenet-gpu` in the user's cache folder
/// (`XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows). `None` if there is neither.
pub fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |below: &str| std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(below));
    let users = || match std::env::consts::OS {
        "windows" => set("LOCALAPPDATA"),
        "macos" => home("Library/Caches"),
        _ => set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| home(".cache")),
    };
    set("FACENET_GPU_CACHE").or_else(|| Some(users()?.join("facenet-gpu")))
}

/// A choice that plans of an engine have met.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// The kernel, its parameters and its overrides.
    pub shape: String,
    /// Name of the chosen way.
    pub chosen: String,
    /// The ways that suit the shape, the static choice first, with their times in milliseconds; `None` where nothing was
    /// measured.
    pub candidates: Vec<(String, Option<f64>)>,
}

/// The device whose kernels are chosen.
#[derive(Debug, Clone)]
pub(crate) enum Device {
    /// A GPU or a software adapter.
    Gpu(Gpu),
    /// The CPU device in `f32`.
    Cpu,
}

/// Chooses the kernels of an engine's plans. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Tuner {
    shared: Arc<Shared>,
    /// Time that was spent on measuring for one network.
    spent: Arc<Mutex<Duration>>,
}

/// What the tuners of all networks have in common.
struct Shared {
    device: Device,
    tuning: Tuning,
    /// The device as its file names it.
    identity: String,
    state: Mutex<State>,
}

/// What a tuner knows so far.
#[derive(Debug, Default)]
struct State {
    kept: BTreeMap<String, Entry>,
    /// Shapes that plans have met, with the names of their candidates.
    met: BTreeMap<String, Candidates>,
    /// A file could not be written: that was told once, and is not tried again.
    broken: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("identity", &self.identity).field("tuning", &self.tuning).finish()
    }
}

impl Tuner {
    pub(crate) fn new(device: Device, mut tuning: Tuning) -> Self {
        let identity = device.identity();
        let mut kept = std::mem::take(&mut tuning.choices);
        if let Some(trouble) = tuning.trouble.take() {
            (tuning.tell)(Event::Warning(&trouble));
        }
        if let Some(path) = tuning.folder.as_deref().map(|folder| kept::file_of(folder, &identity)) {
            match File::read(&path) {
                Ok(file) => {
                    kept.extend(file.filter(|file| file.is_of(&identity)).map(|f| f.choices).unwrap_or_default());
                }
                Err(message) => (tuning.tell)(Event::Warning(&format!(
                    "the choices of kernels in {} are ignored: {message}",
                    path.display()
                ))),
            }
        }
        let state = Mutex::new(State { kept, ..State::default() });
        Self { shared: Arc::new(Shared { device, tuning, identity, state }), spent: Arc::default() }
    }

    /// The same tuner with time for another network.
    pub(crate) fn for_a_network(&self) -> Self {
        Self { shared: self.shared.clone(), spent: Arc::default() }
    }

    /// Names the way of every step of a plan that is about to be put on the device. What has no choice yet is timed, as far
    /// as the time goes. Plans that others bring meanwhile wait.
    ///
    /// # Errors
    /// The device is lost.
    pub(crate) fn choose(&self, plan: &mut Plan) -> Result<()> {
        let shared = &*self.shared;
        let shapes = by_shape(&shared.device, plan);
        if shapes.is_empty() {
            return Ok(());
        }
        let mut state = shared.state();
        let met = state.met.len();
        let mut open: Vec<&ShapeOf<'_>> = Vec::new();
        for shape in &shapes {
            // What an earlier plan left untimed stays so: one engine computes a shape in one way.
            let first = state.met.insert(shape.key.clone(), shape.candidates.clone()).is_none();
            if first && !state.kept.get(&shape.key).is_some_and(|entry| entry.is_of(&shape.candidates)) {
                open.push(shape);
            }
        }
        if !open.is_empty() {
            open.sort_by_key(|shape| std::cmp::Reverse(shape.weight));
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            let (known, spent) = (&mut *state, &mut *spent);
            let timed = apart(|| shared.time(plan, &open, known, spent));
            timed.unwrap_or_else(|e| {
                (shared.tuning.tell)(Event::Warning(&format!("kernels are not timed: no thread for it ({e})")));
                Ok(())
            })?;
        }
        if state.met.len() > met {
            shared.record(&mut state);
        }
        let names: Vec<Option<&'static str>> = (0..plan.steps.len())
            .map(|at| {
                let shape = shape_of(&shapes, at)?;
                let chosen = &state.kept.get(&shape.key).filter(|entry| entry.is_of(&shape.candidates))?.choice;
                shape.candidates.names.iter().copied().find(|name| name == chosen)
            })
            .collect();
        plan.steps.iter_mut().zip(names).for_each(|(step, name)| step.choice = name);
        Ok(())
    }

    /// What the plans so far have met.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        let state = self.shared.state();
        let choice = |(key, candidates): (&String, &Candidates)| {
            let entry = state.kept.get(key).filter(|entry| entry.is_of(candidates));
            let time = |name: &&'static str| ((*name).to_string(), entry.and_then(|e| e.times_ms.get(*name).copied()));
            Choice {
                shape: key.clone(),
                chosen: entry.map_or_else(|| candidates.names[0].to_string(), |entry| entry.choice.clone()),
                candidates: candidates.names.iter().map(time).collect(),
            }
        };
        state.met.iter().map(choice).collect()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Times shapes in this order until the time is over.
    fn time(&self, plan: &Plan, open: &[&ShapeOf<'_>], state: &mut State, spent: &mut Duration) -> Result<()> {
        let begin = Instant::now();
        let until = Until { tuning: &self.tuning, deadline: begin + self.tuning.limit.saturating_sub(*spent) };
        let tell = &self.tuning.tell;
        let (mut timed, mut slowest_start) = (0, Duration::ZERO);
        for (done, shape) in open.iter().enumerate() {
            // A driver that compiles cannot be stopped.
            if until.is_over(slowest_start) {
                break;
            }
            tell(Event::Shape { done, of: open.len(), kernel: plan.steps[shape.steps[0]].kernel.name });
            let measured = match measure::measure(&self.device, plan, shape, &until) {
                Ok(measured) => measured,
                Err(Error::Memory(_)) => continue,
                Err(Error::Kernel { kernel, message }) => {
                    tell(Event::Warning(&format!("kernel {kernel} is left out: {message}")));
                    continue;
                }
                Err(e) => return Err(e),
            };
            slowest_start = slowest_start.max(measured.start);
            let Some(seconds) = measured.seconds else { continue };
            let names = shape.candidates.names.iter();
            let times_ms = names.zip(&seconds).map(|(name, s)| ((*name).to_string(), s * 1e3)).collect();
            let entry = Entry::new(&shape.candidates, fastest(&seconds), times_ms);
            let entry = self.keep(shape, entry, state);
            state.kept.insert(shape.key.clone(), entry);
            timed += 1;
        }
        *spent += begin.elapsed();
        tell(Event::Done { timed, left: open.len() - timed, time: begin.elapsed() });
        Ok(())
    }

    /// Writes a choice to the device's file at once: what was measured is not lost when the program is ended. Gives the
    /// choice that counts.
    fn keep(&self, shape: &ShapeOf<'_>, entry: Entry, state: &mut State) -> Entry {
        let Some(folder) = self.tuning.folder.as_deref().filter(|_| !state.broken) else { return entry };
        match kept::add(folder, &self.identity, &shape.key, &shape.candidates, &entry) {
            Ok(kept) => kept,
            Err(e) => {
                state.broken = true;
                let message = format!("choices of kernels cannot be kept, so they are measured again next time: {e}");
                (self.tuning.tell)(Event::Warning(&message));
                entry
            }
        }
    }

    /// Writes all that plans have met to the file of the run.
    fn record(&self, state: &mut State) {
        let Some(path) = &self.tuning.record else { return };
        let entry = |(key, candidates): (&String, &Candidates)| {
            let kept = state.kept.get(key).filter(|entry| entry.is_of(candidates)).cloned();
            (key.clone(), kept.unwrap_or_else(|| Entry::new(candidates, 0, BTreeMap::new())))
        };
        let choices = state.met.iter().map(entry).collect();
        if let Err(e) = File::new(&self.identity, choices).write(path) {
            (self.tuning.tell)(Event::Warning(&format!("the run does not keep its choices of kernels: {e}")));
        }
    }
}

/// Does `work` on threads of its own, as many as the caller has. A thread of the caller's pool that waits for work in its pool would
/// take other work meanwhile; that may need what this thread has locked, and wait for ever.
fn apart<R: Send>(work: impl FnOnce() -> R + Send) -> std::io::Result<R> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(rayon::current_num_threads());
    let pool = pool.build().map_err(std::io::Error::other)?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("tuner".to_string());
        let thread = thread.spawn_scoped(scope, || pool.install(work))?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// The place of the fastest: the first, unless another one wins clearly.
fn fastest(seconds: &[f64]) -> usize {
    let best = (0..seconds.len()).min_by(|&a, &b| seconds[a].total_cmp(&seconds[b])).unwrap_or(0);
    if seconds[best] < WINS * seconds[0] { best } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_way_takes_the_place_of_the_static_choice_where_it_wins_clearly() {
        assert_eq!(fastest(&[1.0, 0.98, 0.975]), 0, "less than 3 % is noise");
        assert_eq!(fastest(&[1.0, 0.96, 0.95, 1.2]), 2);
        assert_eq!(fastest(&[1.0, f64::INFINITY]), 0);
    }

    #[test]
    fn a_choice_of_other_code_or_other_candidates_does_not_count() {
        let of = |code: &str, names: &[&'static str]| Candidates { names: names.to_vec(), code: code.to_string() };
        let mine = of("a", &["x", "y"]);
        let times = mine.names.iter().map(|name| ((*name).to_string(), 1.0)).collect();
        let entry = Entry::new(&mine, 1, times);
        assert!(entry.is_of(&mine) && entry.is_of(&of("a", &["y", "x"])));
        assert!(!entry.is_of(&of("b", &["x", "y"])), "the kernel is another one now");
        assert!(!entry.is_of(&of("a", &["x", "y", "z"])) && !entry.is_of(&of("a", &["y", "z"])));
        let untimed = Entry::new(&mine, 0, BTreeMap::new());
        assert!(untimed.is_of(&mine) && !untimed.is_of(&of("b", &["x", "y"])));
    }
}
