//! `facenet-gpu train`: a folder of faces in, a weights file out.

mod arguments;
mod batch;
mod columns;
pub(super) mod console;
mod find_lr;
mod flags;
mod source;
mod unused;

use std::process::ExitCode;
use std::sync::Arc;

use self::arguments::{Arguments, Environment};
use self::console::{Console, farewell};
pub(super) use self::flags::Train;
use self::source::Source;
use super::output::{self, Audience};
use super::signals::stop_on_signals;
use super::{INTERRUPTED, models, tuning, weights};
use crate::align::Alignment;
use crate::data::faces::FaceSet;
use crate::data::preprocess::{Normalise, Preprocess};
use crate::model::{Model, REFERENCE_BATCH, derive_plan};
use crate::net;
use crate::plan::Role;
use crate::text::count;
use crate::train::{
    Config, OptimiserKind, ReportFacts, RunFolder, Summary, Trainer, check_data, check_precision, choose_chunk, train,
};
use crate::tune::Tuning;
use crate::weights::Weights;
use crate::{Engine, Error, Result};

/// Everything that a run begins or goes on with.
struct Job {
    arguments: Arguments,
    model: Model,
    engine: Engine,
    set: Arc<FaceSet>,
}

impl Train {
    pub(in crate::cli) fn run(mut self) -> Result<ExitCode> {
        output::speak_to(match (self.quiet, self.json) {
            (true, _) => Audience::Nobody,
            (_, true) => Audience::Programs,
            _ => Audience::People,
        });
        let Some(run) = self.resume.take() else { return self.begin() };
        let folder = RunFolder::find(&self.runs, &run)?;
        self.go_on(RunFolder::resume(folder)?)
    }

    /// A new run.
    fn begin(mut self) -> Result<ExitCode> {
        let file = self.config.as_ref().map(|path| Arguments::load(path)).transpose()?;
        let mut config = self.settings.config(file.as_ref().map(|file| &file.config))?;
        config.check()?;
        let drawn = Source::synthetic(self.synth_people.unwrap_or(400), self.synth_images.unwrap_or(12));
        if self.val.is_some() && self.data.is_none() && file.as_ref().is_none_or(|file| file.source.data.is_none()) {
            return Err(Error::Setting("--val is for people beside those of --data; give both".into()));
        }
        let mut source = match (&self.data, &file) {
            (Some(dir), _) => Source::folder(dir),
            (None, Some(file)) if file.source != Source::default() && !self.draws() => file.source.clone(),
            (None, _) => drawn,
        };
        source.val = self.val.clone().or(source.val);
        self.find_faces(&mut source)?;
        if let Some(file) = &file {
            self.take_device(file)?;
        }
        config.dataset = config.dataset.or_else(|| Some(source.name()));
        if let Some(path) = config.init.clone() {
            let start = weights::from_user(&path, Weights::load(&path))?.metadata;
            if file.is_none() && !self.settings.given("network") {
                config.network = start.network.clone();
            }
            if config.network == start.network {
                let Preprocess { height, width, .. } = start.preprocess;
                config.input.get_or_insert([height, width]);
                config.embedding.get_or_insert(start.embedding);
                config.normalise.get_or_insert(start.preprocess.normalise);
                config.crop = config.crop.or(start.preprocess.crop).filter(|_| self.detector.is_none());
                source.alignment = source.alignment.or(start.preprocess.alignment);
            }
            config.license = config.license.or(start.origin.license);
        }
        let network = net::find(&config.network)?;
        // args.toml says what was used, also where it was the network's own.
        config.input = config.input.or(Some(network.input));
        config.embedding = config.embedding.or(Some(network.embedding));
        config.positives = Some(config.positives());
        config.normalise.get_or_insert(Normalise::Fixed);
        config = config.with_recipe();
        let model = network.sized(config.input, config.embedding)?;
        if self.plan {
            return print_plan(&model, &config);
        }
        for idle in unused::unused(&config, |flag| self.settings.given(flag)) {
            hint!("warning: {idle}");
        }
        if let Some(old) = &config.compatible_with {
            weights::from_user(old, Weights::load(old))?;
        }
        // The run may be resumed from another folder.
        for path in [&mut config.compatible_with, &mut config.eval_pairs, &mut config.eval_data].into_iter().flatten() {
            *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
        }
        RunFolder::check(&self.runs, &self.name)?;
        let mut job = self.job(config, source, model)?;
        let batch = check_data(&mut job.arguments.config, &job.set)?;
        // args.toml says what was used here, too: free memory differs from run to run.
        let chunk = choose_chunk(&job.engine, &job.model, &job.arguments.config, batch)?;
        job.arguments.config.chunk.get_or_insert(chunk);
        if let Some(steps) = self.find_lr {
            return find_lr::find_lr(&job, steps, &self.runs, &self.name);
        }
        let folder = RunFolder::create(&self.runs, &self.name)?;
        let (weights, state) = sizes(&job.model, &job.arguments.config);
        if let Err(e) = folder.check_space(weights, state) {
            folder.discard_if_empty();
            return Err(e);
        }
        job.execute(folder, true)
    }

    /// Goes on with an earlier run.
    fn go_on(mut self, mut folder: RunFolder) -> Result<ExitCode> {
        let path = folder.path().to_path_buf();
        let file = Arguments::load(&path.join("args.toml"))?;
        if let Some(setting) = self.settings.changed(&file.config).first() {
            return Err(Error::Setting(format!(
                "`{setting}` cannot change in a run that goes on, only `epochs`, `time`, `patience`, `save_every` and the \
                 device can; a new run can start from the weights of this one"
            )));
        }
        if self.tune && !file.tune {
            return Err(Error::setting(
                "`tune` cannot be switched on in a run that goes on: the kernels that it began with go on with it; a new run can \
                 start from the weights of this one",
            ));
        }
        let config = self.settings.config(Some(&file.config))?;
        config.check()?;
        if self.draws() {
            return Err(Error::Setting(
                "a run that goes on has its images already; leave the flags about them out".into(),
            ));
        }
        let val = self.val.clone().or_else(|| file.source.val.clone());
        let source = match &self.data {
            Some(dir) => Source { data: Some(dir.clone()), val, ..file.source.clone() },
            None => Source { val, ..file.source.clone() },
        };
        self.take_device(&file)?;
        let model = net::find(&config.network)?.sized(config.input, config.embedding)?;
        let job = self.job(config, source, model)?;
        folder.check_data(&job.set)?;
        let (step, troubles) = folder.go_on()?;
        troubles.iter().for_each(|trouble| hint!("warning: {trouble}"));
        match step {
            Some(step) => say!("resume    {}, after step {step}", path.display()),
            None => say!("resume    {} had saved no state yet: it begins anew", path.display()),
        }
        job.execute(folder, false)
    }

    /// Takes the flags about finding faces.
    fn find_faces(&self, source: &mut Source) -> Result<()> {
        if let Some(detector) = &self.detector {
            source.detector = Some(models::file_of(detector)?);
        }
        source.alignment = self.alignment.clone().or(source.alignment.take());
        source.no_face = self.no_face.or(source.no_face);
        if source.data.is_none() && source.detector.is_some() {
            return Err(Error::setting("`detector` finds faces in photographs; give their folder with `data`"));
        }
        if source.detector.is_some() && source.alignment.is_none() {
            source.alignment = Alignment::preset("facenet");
        }
        Ok(())
    }

    /// Whether flags ask for synthetic people.
    fn draws(&self) -> bool {
        self.synth_people.is_some() || self.synth_images.is_some()
    }

    /// Takes the device of a file, unless flags give another one.
    fn take_device(&mut self, file: &Arguments) -> Result<()> {
        if self.device.device.is_none() {
            self.device.device = Some(file.device()?);
        }
        self.device.threads = self.device.threads.or(file.threads);
        self.tune |= file.tune && !self.device.no_tune;
        Ok(())
    }

    /// Opens the device and reads the images.
    fn job(&self, config: Config, source: Source, model: Model) -> Result<Job> {
        check_precision(self.device.precision())?;
        let (engine, reason) = self.device.open_untuned()?;
        say!("device    {}", engine.describe());
        say!("          {reason}");
        check_memory(&engine, &model, &config, &source)?;
        let [height, width] = model.input();
        let normalise = config.normalise.unwrap_or(Normalise::Fixed);
        let alignment = source.alignment.clone();
        let preprocess = Preprocess { height, width, normalise, crop: config.crop, alignment };
        let set = Arc::new(source.load(&engine, &preprocess, &config)?);
        let (version, device) = (env!("CARGO_PKG_VERSION").to_string(), self.device.choice().to_string());
        let (threads, tune) = (self.device.threads, self.tune);
        let arguments = Arguments { version, device, threads, tune, source: source.absolute(), config };
        Ok(Job { arguments, model, engine, set })
    }
}

impl Job {
    /// Trains into `folder`, from the state on that it has, if there is one.
    fn execute(mut self, mut folder: RunFolder, new: bool) -> Result<ExitCode> {
        if self.arguments.tune {
            let choices = folder.path().join("choices.json");
            let tuning = if new { Tuning::default() } else { Tuning::of_record(&choices) };
            self.engine = self.engine.with_tuning(tuning::shown(tuning.recorded_in(choices)));
        }
        let summary = match self.train(&mut folder, new) {
            Ok(summary) if summary.steps == 0 => {
                Err(Error::Interrupted("stopped before the first step; nothing was written".into()))
            }
            summary => summary,
        };
        let summary = match summary {
            Ok(summary) => summary,
            Err(e) => {
                let passes = matches!(e, Error::Io { .. } | Error::Device(_) | Error::Memory(_) | Error::Image { .. });
                if passes && folder.can_resume() {
                    hint!(
                        "what was saved stays: facenet-gpu train --resume {} goes on from it",
                        folder.path().display()
                    );
                } else if new && !folder.can_resume() {
                    folder.discard_if_empty();
                }
                return Err(e);
            }
        };
        let command: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let facts = ReportFacts::new(
            &summary,
            &self.arguments.config,
            self.engine.describe(),
            format!("{}, {}", self.arguments.source.in_words(), self.set.summary()),
            command.join(" "),
        );
        if let Err(e) = folder.write_report(&facts) {
            hint!("warning: {e}");
        }
        farewell(&summary, &self.arguments.config, &folder);
        Ok(if summary.stopped() { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
    }

    /// Everything that happens once there is a run folder.
    fn train(&self, folder: &mut RunFolder, new: bool) -> Result<Summary> {
        let Self { arguments, model, engine, set } = self;
        folder.set_args(arguments);
        if new {
            folder.write_args()?;
            folder.write_env(&Environment::now(engine, &arguments.source, set)?)?;
            folder.write_augment(set, &arguments.config)?;
        }
        if let Some(report) = folder.write_skipped(set)? {
            let count = set.skipped().len();
            say!("skipped   {count} of the folder's files, listed with reasons in {}", report.display());
        }
        let stop = stop_on_signals("stopping: this step ends, then the run is saved (Ctrl-C again to end at once)");
        let mut console = Console::new(&arguments.config, model);
        let summary = train(engine, model, &arguments.config, set, folder, &stop, &mut console);
        console.bar.finish_and_clear();
        summary
    }
}

/// Checks, before images are read for minutes, that drawn images fit in memory and that a step of few images fits the device.
fn check_memory(engine: &Engine, model: &Model, config: &Config, source: &Source) -> Result<()> {
    let budget = engine.memory_budget();
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let [height, width] = model.input();
    let drawn = source.drawn_images() * u64::from(height) * u64::from(width) * 3;
    if let Some(free) = budget.total.filter(|&free| drawn > free) {
        return Err(Error::Setting(format!(
            "{} synthetic images of {height}x{width} take {:.1} GiB, and {:.1} GiB may be used; give a smaller \
             `synth_people` or `synth_images`",
            count(source.drawn_images()),
            gib(drawn),
            gib(free)
        )));
    }
    let mut least = config.clone();
    // Batch normalisation needs more than one.
    least.chunk = Some(REFERENCE_BATCH);
    let plan = Trainer::plan(model, &least, 4)?;
    if budget.holds(&plan, false) {
        return Ok(());
    }
    Err(Error::Setting(format!(
        "a training step of {} with {REFERENCE_BATCH} images of {height}x{width} at a time takes {:.1} GiB, more than the device may use; \
         give a smaller `input` or another `network`",
        model.name(),
        gib(plan.bytes())
    )))
}

/// Bytes of a weights file and of a file of the training state.
fn sizes(model: &Model, config: &Config) -> (u64, u64) {
    let floats: u64 = model.tensors().map(|(_, shape)| shape.len() as u64).sum();
    let states = match config.optimiser_kind() {
        OptimiserKind::AdaGrad | OptimiserKind::Sgd => 1,
        OptimiserKind::RmsProp | OptimiserKind::Adam | OptimiserKind::AdamW => 2,
    };
    (4 * floats, 4 * (floats + states * model.param_count()))
}

fn print_plan(model: &Model, config: &Config) -> Result<ExitCode> {
    // --batch has given M its places already.
    let batch = config.people.saturating_mul(config.images).saturating_add(config.negatives.unwrap_or(0));
    let batch = u32::try_from(batch).map_err(|_| Error::Setting("the batch is too large".into()))?;
    let plan = Trainer::plan(model, config, batch)?;
    say!("{plan}");
    let derived = derive_plan(&model.inference(1)?.folds);
    let bytes: u64 = derived.with_role(Role::Derived).map(|(_, spec)| spec.bytes()).sum();
    if bytes > 0 {
        let mib = bytes as f64 / f64::from(1 << 20);
        say!("derived {mib:>9.1} MiB beside it: weights with batch normalisation folded in, for evaluation");
    }
    Ok(ExitCode::SUCCESS)
}
