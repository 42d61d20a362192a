//! The flags of `facenet-gpu train`: those of [`Config`], in groups, and those that are no setting of a run.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::batch;
use crate::Result;
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
  held-out  verification accuracy on people who were not trained on
  baseline  the same accuracy without training: of raw pixels and of the starting weights
  selected  offline selection: triplets found, and those that fit into the steps until the next one

With auto the chunk depends on free memory; args.toml holds it, and --chunk repeats it. The folder docs of the source tells \
of batches in chunks, selection, offline selection and comparable embeddings.

Ctrl-C saves the weights and ends; the exit status is then 130.";

/// Train a face embedding on a folder per person, or on synthetic faces
#[derive(Debug, Args)]
#[command(after_help = "`facenet-gpu train --help` lists all flags and explains what is printed.", after_long_help = OUTPUT)]
pub(in crate::cli) struct Train {
    /// Faces: a folder per person. Without it, synthetic people are drawn
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub(super) data: Option<PathBuf>,

    /// Synthetic people to draw (without --data)
    #[arg(long, value_name = "N", default_value_t = 400, conflicts_with = "data", help_heading = "Data",
          value_parser = clap::value_parser!(u32).range(4..=100_000))]
    pub(super) synth_people: u32,

    /// Images of each synthetic person (without --data)
    #[arg(long, value_name = "N", default_value_t = 12, conflicts_with = "data", help_heading = "Data",
          value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub(super) synth_images: u32,

    /// Folder of all runs
    #[arg(long, value_name = "DIR", default_value = "runs", help_heading = "Run", hide_short_help = true)]
    pub(super) runs: PathBuf,

    /// Name of this run: it gets the folder RUNS/train/NAME, or NAME2, NAME3, ...
    #[arg(long, value_name = "NAME", default_value = "run", help_heading = "Run")]
    pub(super) name: String,

    #[command(flatten)]
    pub(super) device: DeviceFlag,

    #[command(flatten)]
    pub(super) settings: Settings,

    /// Print every buffer and every kernel of a training step, and end
    #[arg(long, help_heading = "Inspection", hide_short_help = true)]
    pub(super) plan: bool,
}

/// A heading, whether the short help shows the flags, too, and their settings. The order of flags is that of [`Config`].
type Group = (&'static str, bool, &'static [&'static str]);

/// Every setting under a heading, those that few runs need last.
const GROUPS: [Group; 10] = [
    ("Network", true, &["network", "input", "embedding"]),
    ("Batch", true, &["people", "images"]),
    ("Batch", false, &["negatives", "batch"]),
    ("Training", true, &["epochs", "margin", "mining", "optimiser", "learning_rate", "held_out", "seed"]),
    (
        "Training",
        false,
        &["positives", "schedule", "momentum", "weight_decay", "dropout", "augment.flip", "augment.shift"],
    ),
    ("Memory", true, &["chunk"]),
    ("Less common", false, &["frozen_statistics", "on_collapse"]),
    ("Offline selection", false, &["offline.every", "offline.subset", "offline.share", "offline.hardest"]),
    ("Embeddings comparable with older ones", false, &["compatible_with"]),
    ("Weights file", false, &["dataset", "license"]),
];

/// [`Config`] as flags.
#[derive(Debug)]
pub(super) struct Settings {
    config: Config,
    /// P was given.
    people: bool,
    /// M was given.
    negatives: bool,
}

impl Settings {
    /// The settings, with the batch's size in its parts.
    ///
    /// # Errors
    /// The batch's size and its parts do not go together.
    pub(super) fn config(&self) -> Result<Config> {
        let c = &self.config;
        let people = self.people.then_some(c.people);
        let negatives = self.negatives.then_some(c.negatives);
        let [people, images, negatives] = batch::shape(people, c.images, negatives, c.batch)?;
        Ok(Config { people, images, negatives, ..c.clone() })
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        let (people, negatives) = (given("people"), given("negatives"));
        Ok(Self { config: Config::from_arg_matches(matches)?, people, negatives })
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

impl Train {
    /// What the images are, if nobody says.
    fn data_name(&self) -> String {
        let folder = self.data.as_ref().and_then(|dir| Some(dir.canonicalize().ok()?.file_name()?.to_owned()));
        folder.map_or_else(|| self.synthetic(), |name| name.to_string_lossy().into_owned())
    }

    /// The people that are drawn, in words.
    pub(super) fn synthetic(&self) -> String {
        format!("synthetic: {} people x {} images", self.synth_people, self.synth_images)
    }

    /// The settings that the flags say.
    pub(super) fn config(&self) -> Result<Config> {
        let config = self.settings.config()?;
        let dataset = config.dataset.clone().unwrap_or_else(|| self.data_name());
        Ok(config.with(|c| c.dataset = Some(dataset)))
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
        program.unwrap_or_else(|e| panic!("{e}")).train.settings.config().unwrap()
    }

    #[test]
    fn without_flags_the_settings_are_the_defaults() {
        assert_eq!(config(""), Config::default());
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
        assert_eq!((given.people, given.images, given.negatives), (8, 4, 3));
        assert!(!given.augment.flip && given.augment.shift == 1);
        let offline = given.offline.unwrap();
        assert_eq!((offline.every, offline.subset, offline.share, offline.hardest), (7, 5000, 0.5, false));
        assert_eq!((given.seed, given.epochs), (9, 2));
        assert_eq!(config("--batch 66"), Config::default().with(|c| (c.negatives, c.batch) = (2, Some(66))));
        assert_eq!(config("--chunk auto"), Config::default());
        for flags in ["--offline-subset 9", "--offline-hardest", "--epochs many", "--chunk 0"] {
            assert!(Program::try_parse_from(format!("train {flags}").split_whitespace()).is_err(), "{flags}");
        }
    }
}
