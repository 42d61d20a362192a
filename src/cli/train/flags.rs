//! The flags of `facenet-gpu train`. Their defaults are those of [`Config`].

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::batch::BatchFlags;
use crate::Result;
use crate::cli::{DeviceFlag, image_size};
use crate::data::augment::Augment;
use crate::op::{Mining, Positives};
use crate::train::{Config, Offline, OnCollapse, OptimiserKind, Schedule};

/// What the columns of the output mean, below the flags. Paragraphs are one line each: clap wraps them.
const OUTPUT: &str = "\
Output:
  loss      mean of the triplet loss over all anchor-positive pairs of a batch
            (with batch-all: over all triplets)
  active    pairs that have a negative; those without a candidate are skipped
  d(a,p)    mean squared distance of an anchor and its positive, 0 to 4
  d(a,n)    mean squared distance of an anchor and its chosen negative
  held-out  verification accuracy on people who were not trained on
  floors    the same accuracy without training: of raw pixels and of the starting weights
  selected  offline selection: triplets found, and those that fit into the steps until the next one

Chunks:
\u{20} A batch that is larger than --chunk goes through the network in chunks, twice: for the embeddings, of which triplets \
and loss are those of the whole batch, and for the gradients, without the images that have none (skipped in steps.csv). \
The weights are those of the whole batch, up to rounding.
\u{20} Batch normalisation is the exception: it takes its statistics from each chunk, not from the batch, and moves its \
running statistics with each, unless there is --frozen-statistics. With it, and with dropout, only chunks without any \
gradient are skipped. With auto the chunk depends on free memory; args.toml holds it, and --chunk repeats it.

Offline selection:
\u{20} Rows of steps.csv with offline = true tell of the triplets that were given to the step, each of which is a pair. \
selections.csv has a row for each selection. metrics.csv tells of the other steps, if there are any. A batch of \
P x K + M images holds about a third as many triplets; an --offline-every that is too small for those that were found \
leaves the others unused.

Ctrl-C saves the weights and ends; the exit status is then 130.";

/// Train a face embedding on a folder per person, or on synthetic faces
#[derive(Debug, Args)]
#[command(after_help = OUTPUT)]
pub(in crate::cli) struct Train {
    /// Faces: a folder per person. Without it, synthetic people are drawn
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,

    /// Synthetic people to draw (without --data)
    #[arg(long, value_name = "N", default_value_t = 400, conflicts_with = "data",
          value_parser = clap::value_parser!(u32).range(4..=100_000))]
    pub(super) synth_people: u32,

    /// Images of each synthetic person (without --data)
    #[arg(long, value_name = "N", default_value_t = 12, conflicts_with = "data",
          value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub(super) synth_images: u32,

    /// Network
    #[arg(long, value_name = "NAME", default_value_t = Config::default().network)]
    net: String,

    /// Height and width of the images, such as 96x96 [default: the network's own]
    #[arg(long, value_name = "HxW", value_parser = image_size)]
    input: Option<[u32; 2]>,

    /// Floats of an embedding [default: the network's own, 128 for most]
    #[arg(long, value_name = "DIM", value_parser = clap::value_parser!(u32).range(1..=4096))]
    embedding: Option<u32>,

    #[command(flatten)]
    batch: BatchFlags,

    /// Images that go through the network at a time: a number, or auto, the whole batch if there is memory for it
    #[arg(long, value_name = "C", default_value_t = Chunk::default())]
    chunk: Chunk,

    /// Epochs: each shows as many images as there are to train on, in 20 steps at least
    #[arg(long, value_name = "N", default_value_t = Config::default().epochs)]
    epochs: u32,

    /// The triplet loss's margin
    #[arg(long, value_name = "ALPHA", default_value_t = Config::default().margin, allow_negative_numbers = true)]
    margin: f32,

    /// Negatives of an anchor-positive pair. A pair without a candidate is skipped and counted
    #[arg(long, value_enum, default_value_t = Config::default().mining.into())]
    mining: MiningFlag,

    /// Positives of an anchor [default: all; with --mining batch-hard: hardest]
    #[arg(long, value_enum)]
    positives: Option<PositivesFlag>,

    /// What to do if the embeddings fall onto one point or the loss sits at the margin
    #[arg(long, value_enum, default_value_t = Config::default().on_collapse.into())]
    on_collapse: OnCollapseFlag,

    /// Optimiser
    #[arg(long, value_enum, default_value_t = Config::default().optimiser.into())]
    optimiser: OptimiserFlag,

    /// Learning rate at the start
    #[arg(long, value_name = "RATE", default_value_t = Config::default().learning_rate, allow_negative_numbers = true)]
    learning_rate: f32,

    /// How the learning rate changes over the run
    #[arg(long, value_enum, default_value_t = Config::default().schedule.into())]
    schedule: ScheduleFlag,

    /// Momentum of sgd
    #[arg(long, value_name = "M", default_value_t = Config::default().momentum, allow_negative_numbers = true)]
    momentum: f32,

    /// Weight decay
    #[arg(long, value_name = "D", default_value_t = Config::default().weight_decay, allow_negative_numbers = true)]
    weight_decay: f32,

    /// Dropout before the embedding, for networks that have it
    #[arg(long, value_name = "PART", default_value_t = Config::default().dropout, allow_negative_numbers = true)]
    dropout: f32,

    /// Batch normalisation uses running statistics, those of fresh weights (mean 0, variance 1), and leaves them alone
    #[arg(long)]
    frozen_statistics: bool,

    /// Part of the people that is held out for measuring, 0 to 1
    #[arg(long, value_name = "PART", default_value_t = Config::default().held_out, allow_negative_numbers = true)]
    held_out: f64,

    /// Do not mirror training images
    #[arg(long)]
    no_flip: bool,

    /// Shift training images by up to this many pixels
    #[arg(long, value_name = "PX", default_value_t = Config::default().augment.shift,
          value_parser = clap::value_parser!(u32).range(..=64))]
    shift: u32,

    /// The same seed on the same device gives the same weights, byte for byte
    #[arg(long, value_name = "SEED", default_value_t = Config::default().seed)]
    pub(super) seed: u64,

    /// Choose triplets offline every N steps: over many images at once, with the latest weights (not with
    /// --compatible-with)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    offline_every: Option<u32>,

    /// Images that offline selection chooses from, drawn anew each time; all, if there are fewer
    #[arg(long, value_name = "N", default_value_t = 5000, requires = "offline_every",
          value_parser = clap::value_parser!(u32).range(3..))]
    offline_subset: u32,

    /// Part of the steps that train on triplets chosen offline; the others choose from their batch
    #[arg(long, value_name = "PART", default_value_t = 1.0, requires = "offline_every", allow_negative_numbers = true)]
    offline_share: f64,

    /// Choose the closest negative offline, also where it is closer than the positive
    #[arg(long, requires = "offline_every")]
    offline_hardest: bool,

    /// Keep the new embeddings comparable with those of these weights: triplets are drawn from both (not with
    /// --offline-every)
    #[arg(long, value_name = "OLD.safetensors")]
    compatible_with: Option<PathBuf>,

    /// What the images are, kept in the weights file [default: the folder's name]
    #[arg(long, value_name = "TEXT")]
    dataset: Option<String>,

    /// Licence of the weights, kept in the weights file
    #[arg(long, value_name = "TEXT")]
    license: Option<String>,

    /// Folder of all runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(super) runs: PathBuf,

    /// Name of this run: it gets the folder RUNS/train/NAME, or NAME2, NAME3, ...
    #[arg(long, value_name = "NAME", default_value = "run")]
    pub(super) name: String,

    /// Print every buffer and every kernel of a training step, and end
    #[arg(long)]
    pub(super) plan: bool,

    #[command(flatten)]
    pub(super) device: DeviceFlag,
}

/// The value of `--chunk`.
#[derive(Debug, Clone, Copy, Default)]
struct Chunk(Option<u32>);

impl FromStr for Chunk {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match (text, text.parse()) {
            ("auto", _) => Ok(Self(None)),
            (_, Ok(chunk)) if chunk > 0 => Ok(Self(Some(chunk))),
            _ => Err("give a number of images, at least 1, or auto".to_string()),
        }
    }
}

impl fmt::Display for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(chunk) => write!(f, "{chunk}"),
            None => f.write_str("auto"),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OptimiserFlag {
    Adagrad,
    Sgd,
}

impl From<OptimiserKind> for OptimiserFlag {
    fn from(kind: OptimiserKind) -> Self {
        match kind {
            OptimiserKind::AdaGrad => Self::Adagrad,
            OptimiserKind::Sgd => Self::Sgd,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScheduleFlag {
    Constant,
    Cosine,
}

impl From<Schedule> for ScheduleFlag {
    fn from(schedule: Schedule) -> Self {
        match schedule {
            Schedule::Constant => Self::Constant,
            Schedule::Cosine => Self::Cosine,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MiningFlag {
    /// The closest that is farther than the positive, by less than the margin
    SemiHard,
    /// A random one of those that semi-hard chooses from
    SemiHardRandom,
    /// The closest, also if it is closer than the positive, unless it is farther by the margin
    Hard,
    /// The same for the farthest positive of each anchor only
    BatchHard,
    /// Every one that is not farther than the positive by the margin
    BatchAll,
    /// A random one of those that batch-all takes
    RandomViolating,
}

impl From<Mining> for MiningFlag {
    fn from(mining: Mining) -> Self {
        match mining {
            Mining::SemiHard => Self::SemiHard,
            Mining::SemiHardRandom => Self::SemiHardRandom,
            Mining::Hard => Self::Hard,
            Mining::BatchHard => Self::BatchHard,
            Mining::BatchAll => Self::BatchAll,
            Mining::RandomViolating => Self::RandomViolating,
        }
    }
}

impl From<MiningFlag> for Mining {
    fn from(flag: MiningFlag) -> Self {
        match flag {
            MiningFlag::SemiHard => Self::SemiHard,
            MiningFlag::SemiHardRandom => Self::SemiHardRandom,
            MiningFlag::Hard => Self::Hard,
            MiningFlag::BatchHard => Self::BatchHard,
            MiningFlag::BatchAll => Self::BatchAll,
            MiningFlag::RandomViolating => Self::RandomViolating,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PositivesFlag {
    /// All images of its person
    All,
    /// The farthest of them
    Hardest,
}

impl From<PositivesFlag> for Positives {
    fn from(flag: PositivesFlag) -> Self {
        match flag {
            PositivesFlag::All => Self::All,
            PositivesFlag::Hardest => Self::Hardest,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnCollapseFlag {
    /// Say so once
    Warn,
    /// End with an error; the weights from before are saved
    Stop,
    /// Return to the weights from before with half the learning rate
    BackOff,
}

impl From<OnCollapse> for OnCollapseFlag {
    fn from(action: OnCollapse) -> Self {
        match action {
            OnCollapse::Warn => Self::Warn,
            OnCollapse::Stop => Self::Stop,
            OnCollapse::BackOff => Self::BackOff,
        }
    }
}

impl From<OnCollapseFlag> for OnCollapse {
    fn from(flag: OnCollapseFlag) -> Self {
        match flag {
            OnCollapseFlag::Warn => Self::Warn,
            OnCollapseFlag::Stop => Self::Stop,
            OnCollapseFlag::BackOff => Self::BackOff,
        }
    }
}

impl Train {
    /// What the images are if nobody says.
    fn data_name(&self) -> String {
        let folder = self.data.as_ref().and_then(|dir| Some(dir.canonicalize().ok()?.file_name()?.to_owned()));
        match folder {
            Some(name) => name.to_string_lossy().into_owned(),
            None => format!("synthetic: {} people x {} images", self.synth_people, self.synth_images),
        }
    }

    /// The settings that the flags say.
    pub(super) fn config(&self) -> Result<Config> {
        let [people, images, negatives] = self.batch.shape()?;
        Ok(Config {
            network: self.net.clone(),
            input: self.input,
            embedding: self.embedding,
            people,
            images,
            negatives,
            batch: self.batch.batch,
            chunk: self.chunk.0,
            epochs: self.epochs,
            margin: self.margin,
            mining: self.mining.into(),
            positives: self.positives.map(Into::into),
            on_collapse: self.on_collapse.into(),
            optimiser: match self.optimiser {
                OptimiserFlag::Adagrad => OptimiserKind::AdaGrad,
                OptimiserFlag::Sgd => OptimiserKind::Sgd,
            },
            learning_rate: self.learning_rate,
            schedule: match self.schedule {
                ScheduleFlag::Constant => Schedule::Constant,
                ScheduleFlag::Cosine => Schedule::Cosine,
            },
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            dropout: self.dropout,
            frozen_statistics: self.frozen_statistics,
            held_out: self.held_out,
            augment: Augment { flip: !self.no_flip, shift: self.shift },
            seed: self.seed,
            offline: self.offline_every.map(|every| Offline {
                every: every as usize,
                subset: self.offline_subset as usize,
                share: self.offline_share,
                hardest: self.offline_hardest,
            }),
            compatible_with: self.compatible_with.clone(),
            dataset: Some(self.dataset.clone().unwrap_or_else(|| self.data_name())),
            license: self.license.clone(),
        })
    }
}
