//! `facenet-gpu train`: a folder of faces in, a weights file out.

mod batch;
mod console;
mod flags;

use std::process::ExitCode;
use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;

use self::console::{Console, bar, farewell};
pub(super) use self::flags::Train;
use super::{INTERRUPTED, stop_on_ctrl_c, weights};
use crate::data::decode::prepare;
use crate::data::faces::{DEFAULT_PIXEL_BUDGET, FaceSet};
use crate::data::folder::FaceFolder;
use crate::data::preprocess::{Normalise, Preprocess};
use crate::data::synth::{Identity, draw};
use crate::model::{Model, derive_plan};
use crate::net;
use crate::plan::Role;
use crate::train::{Config, RunFolder, Summary, Trainer, check_data, choose_chunk, train};
use crate::weights::Weights;
use crate::{Engine, Error, Result};

/// What `args.toml` holds.
#[derive(Serialize)]
struct Arguments<'a> {
    version: &'static str,
    device: String,
    data: String,
    #[serde(flatten)]
    config: &'a Config,
}

impl Train {
    pub(in crate::cli) fn run(self) -> Result<ExitCode> {
        let mut config = self.config()?;
        config.check()?;
        let network = net::find(&config.network)?;
        // args.toml says what was used, also where it was the network's own.
        config.input = config.input.or(Some(network.input));
        config.embedding = config.embedding.or(Some(network.embedding));
        config.positives = Some(config.positives());
        let model = network.sized(config.input, config.embedding)?;
        if self.plan {
            return self.print_plan(&model, &config);
        }
        if let Some(old) = &config.compatible_with {
            weights::from_user(old, Weights::load(old))?;
        }
        RunFolder::check(&self.runs, &self.name)?;
        let (engine, reason) = self.device.open()?;
        say!("device    {}", engine.describe());
        say!("          {reason}");
        let set = Arc::new(self.load(config.input.unwrap_or(network.input), config.seed)?);
        let batch = check_data(&config, &set)?;
        // args.toml says what was used here, too: free memory differs from run to run.
        config.chunk = config.chunk.or(Some(choose_chunk(&engine, &model, &config, batch)?));
        let mut folder = RunFolder::create(&self.runs, &self.name)?;
        let summary = match self.train(&model, &config, &engine, &set, &mut folder) {
            Ok(summary) if summary.steps == 0 => {
                Err(Error::Interrupted("stopped before the first step; nothing was written".into()))
            }
            summary => summary,
        };
        let summary = match summary {
            Ok(summary) => summary,
            Err(e) => {
                folder.discard_if_empty();
                return Err(e);
            }
        };
        farewell(&summary, &folder);
        Ok(if summary.stopped { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
    }

    /// Everything that happens once there is a run folder.
    fn train(
        &self,
        model: &Model,
        config: &Config,
        engine: &Engine,
        set: &Arc<FaceSet>,
        folder: &mut RunFolder,
    ) -> Result<Summary> {
        let data = self.data.as_ref().map_or_else(|| self.synthetic(), |dir| dir.display().to_string());
        let version = env!("CARGO_PKG_VERSION");
        folder.write_args(&Arguments { version, device: engine.describe(), data, config })?;
        if let Some(report) = folder.write_skipped(set)? {
            let count = set.skipped().len();
            say!("skipped   {count} of the folder's files, listed with reasons in {}", report.display());
        }
        let stop = stop_on_ctrl_c("stopping: this step ends, then the weights are saved (Ctrl-C again to end at once)");
        let mut console = Console::new(config, model);
        let summary = train(engine, model, config, set, folder, &stop, &mut console);
        console.bar.finish_and_clear();
        summary
    }

    fn print_plan(&self, model: &Model, config: &Config) -> Result<ExitCode> {
        // --batch has given M its places already.
        let batch = config.people.saturating_mul(config.images).saturating_add(config.negatives);
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

    /// Reads the folder, or draws the synthetic people of `seed`.
    fn load(&self, [height, width]: [u32; 2], seed: u64) -> Result<FaceSet> {
        let preprocess = Preprocess { height, width, normalise: Normalise::Fixed };
        if let Some(dir) = &self.data {
            let folder = FaceFolder::scan(dir)?;
            let bar = bar(folder.image_count(), "reading   {bar:40} {pos}/{len} images");
            let set =
                FaceSet::load(&folder, &preprocess, DEFAULT_PIXEL_BUDGET, &|done, _| bar.set_position(done as u64));
            bar.finish_and_clear();
            return set;
        }
        let bar = bar(self.synth_people as usize, "drawing   {bar:40} {pos}/{len} people");
        let person = |number: u32| {
            let identity = Identity::new(seed, number);
            let face = |image| draw(&identity, image, height.max(width));
            let faces =
                (0..self.synth_images).map(|image| prepare(&face(image).into(), &preprocess)).collect::<Result<_>>();
            bar.inc(1);
            Ok((format!("person_{:05}", number + 1), faces?))
        };
        let people: Result<_> = (0..self.synth_people).into_par_iter().map(person).collect();
        bar.finish_and_clear();
        FaceSet::from_images(&preprocess, people?)
    }
}
