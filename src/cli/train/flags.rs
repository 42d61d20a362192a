//! The flags of `facenet-gpu train`: those of [`Config`], in groups, and those that are no setting of a run.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::batch;
use crate::Result;
use crate::align::{Alignment, NoFace};
use crate::cli::DeviceFlag;
use crate::train::Config;

/// What the columns of the output mean, below the flags. Paragraphs are one line each: clap wraps them.
const OUTPUT: &str = "\
Output:
  loss      mean of the triplet loss over all anchor-positive pairs of a batch
            (with batch-all: over all triplets)
  active    pairs that have a negative; those without a candidate are skipped
  d(a,p)    mean squared distance of an anchor and its positive, 0 to 4
  d(a,n)    mean squared distance of an anchor and its chosen negative
  lr        learning rate
  wait      part of the time spent waiting for images
  held-out  verification accuracy on people who were not trained on
  baseline  the same accuracy without training: of raw pixels and of the starting weights
  selected  offline selection: triplets found, and those that fit into the steps until the next one

With auto the chunk depends on free memory; args.toml holds it, and --chunk repeats it. The folder docs of the source tells \
of batches in chunks, selection, offline selection and comparable embeddings.

Ctrl-C saves the weights and the state of the run, and ends; the exit status is then 130. --resume goes on from there.";

/// Train a face embedding on a folder per person, or on synthetic faces
#[derive(Debug, Args)]
#[command(after_help = "`facenet-gpu train --help` lists all flags and explains what is printed.", after_long_help = OUTPUT)]
pub(in crate::cli) struct Train {
    /// Faces: a folder per person, or a list (.csv, .txt) of path,person. Without it, synthetic people are drawn
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub(super) data: Option<PathBuf>,

    /// Faces to measure on, in place of a part of --data that is held out
    #[arg(long, value_name = "DIR", help_heading = "Data", conflicts_with_all = ["held_out", "synth_people", "synth_images"])]
    pub(super) val: Option<PathBuf>,

    /// Face detector that finds the face on each image of --data, by its file or its name in the folder of models
    #[arg(long, value_name = "FILE", help_heading = "Data", conflicts_with = "crop")]
    pub(super) detector: Option<PathBuf>,

    /// Where a face comes to lie: facenet, arcface, dlib, openface, or a template's file [default: facenet with --detector].
    /// Without --detector it says how the images are aligned already, and the weights keep that
    #[arg(long, value_name = "NAME|FILE", help_heading = "Data", hide_short_help = true)]
    pub(super) alignment: Option<Alignment>,

    /// What becomes of an image on which no face is found: skip it, or take its middle (crop) [default: skip]
    #[arg(long, value_name = "skip|crop", help_heading = "Data", hide_short_help = true)]
    pub(super) no_face: Option<NoFace>,

    /// Synthetic people to draw, without --data [default: 400]
    #[arg(long, value_name = "N", conflicts_with = "data", help_heading = "Data",
          value_parser = clap::value_parser!(u32).range(4..=100_000))]
    pub(super) synth_people: Option<u32>,

    /// Images of each synthetic person, without --data [default: 12]
    #[arg(long, value_name = "N", conflicts_with = "data", help_heading = "Data",
          value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub(super) synth_images: Option<u32>,

    /// Settings from a file such as a run's args.toml; flags come before it
    #[arg(long, value_name = "FILE", help_heading = "Run", conflicts_with = "resume")]
    pub(super) config: Option<PathBuf>,

    /// Go on with a run: its folder, its name, or last. --epochs prolongs it
    #[arg(long, value_name = "RUN", help_heading = "Run", conflicts_with = "name")]
    pub(super) resume: Option<PathBuf>,

    /// Folder of all runs
    #[arg(long, value_name = "DIR", default_value = "runs", help_heading = "Run", hide_short_help = true)]
    pub(super) runs: PathBuf,

    /// Name of this run: it gets the folder RUNS/train/NAME, or NAME2, NAME3, ...
    #[arg(long, value_name = "NAME", default_value = "run", help_heading = "Run")]
    pub(super) name: String,

    #[command(flatten)]
    pub(super) device: DeviceFlag,

    /// Choose kernels by timing them, and keep the choices in the run's choices.json: faster steps, and the same bytes again
    /// only with the same choices
    #[arg(long, help_heading = "Device", hide_short_help = true, conflicts_with = "no_tune")]
    pub(super) tune: bool,

    #[command(flatten)]
    pub(super) settings: Settings,

    /// Try learning rates from 1e-6 to 10 in so many steps, draw the loss over them, suggest one, and end [default: 140]
    #[arg(long, value_name = "STEPS", num_args = 0..=1, require_equals = true, default_missing_value = "140",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(20..=100_000),
          conflicts_with_all = ["resume", "plan"], help_heading = "Inspection")]
    pub(super) find_lr: Option<usize>,

    /// Print nothing but warnings and errors
    #[arg(long, short, help_heading = "Output", conflicts_with = "json")]
    pub(super) quiet: bool,

    /// Print JSON objects, one a line, for programs: begin, step (once a second), epoch, end
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,

    /// Print every buffer and every kernel of a training step, and end
    #[arg(long, help_heading = "Inspection", hide_short_help = true)]
    pub(super) plan: bool,
}

/// A heading, whether the short help shows the flags, too, and their settings. The order of flags is that of [`Config`].
type Group = (&'static str, bool, &'static [&'static str]);

/// Every setting under a heading, those that few runs need last.
const GROUPS: [Group; 16] = [
    ("Network", true, &["network", "init", "input", "embedding"]),
    ("Network", false, &["normalise"]),
    ("Data", true, &["layout", "crop"]),
    ("Batch", true, &["people", "images"]),
    ("Batch", false, &["negatives", "batch"]),
    (
        "Training",
        true,
        &["loss", "epochs", "time", "patience", "margin", "mining", "optimiser", "learning_rate", "held_out", "seed"],
    ),
    ("Measuring", false, &["eval_pairs", "eval_data"]),
    ("Training", false, &["positives", "loss_scale", "angular_margin", "dropout"]),
    ("Augmentation", true, &["augment.preset"]),
    (
        "Augmentation",
        false,
        &[
            "augment.no_flip",
            "augment.shift",
            "augment.rotate",
            "augment.zoom",
            "augment.light",
            "augment.blur",
            "augment.jpeg",
            "augment.erase",
            "augment.grey",
        ],
    ),
    (
        "Optimiser",
        false,
        &[
            "warm_up",
            "schedule",
            "rates",
            "decay",
            "decay_every",
            "momentum",
            "nesterov",
            "betas",
            "weight_decay",
            "clip_norm",
            "ema",
            "freeze",
            "rate_of",
        ],
    ),
    ("Memory", true, &["chunk"]),
    ("Less common", false, &["save_every", "frozen_statistics", "on_collapse"]),
    ("Offline selection", false, &["offline.every", "offline.subset", "offline.share", "offline.hardest"]),
    ("Embeddings comparable with older ones", false, &["compatible_with"]),
    ("Weights file", false, &["dataset", "license"]),
];

/// [`Config`] as flags.
#[derive(Debug)]
pub(super) struct Settings {
    config: Config,
    /// The flags that were given, by the names of their settings.
    given: Vec<String>,
}

impl Settings {
    /// Whether a flag was given.
    pub(super) fn given(&self, flag: &str) -> bool {
        self.given.iter().any(|given| given == flag)
    }

    /// The settings: those of `file`, if there is one, where no flag says otherwise, with the batch's size in its parts.
    ///
    /// # Errors
    /// The batch's size and its parts do not go together.
    pub(super) fn config(&self, file: Option<&Config>) -> Result<Config> {
        let c = match file {
            Some(file) => self.over(file),
            None => self.config.clone(),
        };
        // What a file says counts as given, unless a flag gives the whole instead.
        let given = |part: &str| self.given(part) || (file.is_some() && !self.given("batch"));
        if file.is_some() && !["people", "images", "negatives", "batch"].iter().any(|part| self.given(part)) {
            return Ok(c);
        }
        let people = given("people").then_some(c.people);
        let negatives = c.negatives.filter(|_| given("negatives"));
        let batch = c.batch.filter(|_| file.is_none() || self.given("batch"));
        let (people, images, negatives) = batch::shape(people, c.images, negatives, batch)?;
        Ok(Config { people, images, negatives, batch, ..c })
    }

    /// `file` with what the flags say.
    fn over(&self, file: &Config) -> Config {
        let table = |config: &Config| toml::Table::try_from(config).expect("settings are plain data");
        let (mut merged, flags) = (table(file), table(&self.config));
        for key in &self.given {
            overlay(&mut merged, &flags, key);
        }
        merged.try_into().expect("both are settings")
    }

    /// Settings that the flags change in `run`, apart from those that a run may change when it goes on.
    pub(super) fn changed(&self, run: &Config) -> Vec<&str> {
        let (wanted, run_table) = (self.over(run), toml::Table::try_from(run).expect("settings are plain data"));
        let wanted = toml::Table::try_from(wanted).expect("settings are plain data");
        let top = |key: &str| key.split('.').next().unwrap_or_default().to_string();
        let differs = |key: &&String| wanted.get(&top(key)) != run_table.get(&top(key));
        let free = |key: &&String| !["epochs", "time", "patience", "save_every"].contains(&key.as_str());
        self.given.iter().filter(free).filter(differs).map(String::as_str).collect()
    }
}

/// Takes over the setting `key`, whose parts are separated by dots, from `from`.
fn overlay(to: &mut toml::Table, from: &toml::Table, key: &str) {
    match key.split_once('.') {
        Some((table, inner)) => match (to.get_mut(table), from.get(table)) {
            (Some(toml::Value::Table(to)), Some(toml::Value::Table(from))) => overlay(to, from, inner),
            (_, Some(whole)) => drop(to.insert(table.to_string(), whole.clone())),
            (_, None) => drop(to.remove(table)),
        },
        None => match from.get(key) {
            Some(value) => drop(to.insert(key.to_string(), value.clone())),
            // What is not in the table is as it fits.
            None => drop(to.remove(key)),
        },
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        let given = matches.ids().filter(given).map(ToString::to_string).collect();
        Ok(Self { config: Config::from_arg_matches(matches)?, given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        // A struct's description would take the place of the command's.
        let about = command.get_about().cloned();
        let mut command = Config::augment_args(command);
        if let Some(about) = about {
            command = command.about(about).long_about(None);
        }
        for (heading, common, ids) in GROUPS {
            for id in ids {
                command = command.mut_arg(id, |arg| arg.help_heading(heading).hide_short_help(!common));
            }
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        train: Train,
    }

    fn config(flags: &str) -> Config {
        let program = Program::try_parse_from(format!("train {flags}").split_whitespace());
        program.unwrap_or_else(|e| panic!("{e}")).train.settings.config(None).unwrap()
    }

    #[test]
    fn without_flags_the_settings_are_the_defaults() {
        assert_eq!(config(""), Config::default());
    }

    #[test]
    fn flags_come_before_a_file_and_leave_its_other_settings_alone() {
        let file = Config::default().with(|c| {
            (c.margin, c.seed, c.chunk, c.people) = (0.5, 9, Some(7), 5);
            c.offline = Some(crate::train::Offline::every(3));
        });
        let over = |flags: &str| {
            let program = Program::try_parse_from(format!("train {flags}").split_whitespace()).unwrap();
            let settings = program.train.settings;
            let changed: Vec<String> = settings.changed(&file).into_iter().map(ToString::to_string).collect();
            (settings.config(Some(&file)).unwrap(), changed)
        };
        assert_eq!(over(""), (file.clone(), vec![]));
        // A flag that says the default is a flag, too.
        let changes = |change: fn(&mut Config)| file.clone().with(change);
        assert_eq!(over("--margin 0.2 --chunk auto").0, changes(|c| (c.margin, c.chunk) = (0.2, None)));
        assert_eq!(over("--no-flip").0, changes(|c| c.augment.no_flip = true));
        assert_eq!(over("--batch 66").0, changes(|c| (c.people, c.negatives, c.batch) = (16, Some(2), Some(66))));
        let offline = over("--offline-every 5").0.offline.unwrap();
        assert_eq!((offline.every, offline.subset), (5, 5000));
        assert_eq!(over("--seed 9 --epochs 40 --patience 2").1, [""; 0], "these may change");
        assert_eq!(over("--seed 8 --margin 0.2").1.len(), 2);
    }

    #[test]
    fn every_setting_has_a_flag_under_a_heading() {
        let command = Settings::augment_args(Command::new("train"));
        for arg in command.get_arguments() {
            assert!(arg.get_help_heading().is_some(), "{} has no heading", arg.get_id());
        }
        // As many flags as args.toml has entries, those of the tables counted one by one.
        let full = Config::default().with(|c| c.offline = Some(crate::train::Offline::every(1)));
        let toml::Value::Table(table) = toml::Value::try_from(full).unwrap() else { panic!("no table") };
        for (key, value) in &table {
            match value {
                toml::Value::Table(inner) => {
                    for inner in inner.keys() {
                        assert!(
                            command.get_arguments().any(|arg| *arg.get_id() == format!("{key}.{inner}")),
                            "{key}.{inner}"
                        );
                    }
                }
                _ => assert!(command.get_arguments().any(|arg| arg.get_id() == key), "{key}"),
            }
        }
    }

    #[test]
    fn flags_reach_the_settings_also_those_of_parts() {
        let given = config(
            "--net nn4 --input 96x80 -P 8 --negatives 3 --chunk 5 --no-flip --shift 1 --optimizer sgd --mining batch-all \
             --offline-every 7 --offline-share 0.5 --on-collapse back-off --seed 9 --epochs 2",
        );
        assert_eq!((given.network.as_str(), given.input, given.chunk), ("nn4", Some([96, 80]), Some(5)));
        assert_eq!((given.people, given.images, given.negatives), (8, 4, Some(3)));
        assert!(given.augment.no_flip && given.augment.shift == Some(1));
        let offline = given.offline.unwrap();
        assert_eq!((offline.every, offline.subset, offline.share, offline.hardest), (7, 5000, 0.5, false));
        assert_eq!((given.seed, given.epochs), (9, 2));
        assert_eq!(config("--batch 66"), Config::default().with(|c| (c.negatives, c.batch) = (Some(2), Some(66))));
        assert_eq!(config("--chunk auto"), Config::default());
        for flags in ["--offline-subset 9", "--offline-hardest", "--epochs many", "--chunk 0"] {
            assert!(Program::try_parse_from(format!("train {flags}").split_whitespace()).is_err(), "{flags}");
        }
    }
}
