//! Which positives and which negatives make triplets.

use serde::{Deserialize, Serialize};

/// Which negatives an anchor and its positive get. Candidates are images of other people; `d(a,p)` is the squared distance
/// of anchor and positive, `d(a,n)` that of anchor and candidate. A pair without a candidate is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Mining {
    /// The closest with `d(a,p) < d(a,n) < d(a,p) + margin`: the paper's rule, and of its candidates the hardest.
    #[default]
    SemiHard,
    /// A random one of these.
    SemiHardRandom,
    /// The closest with `d(a,n) < d(a,p) + margin`, so also one that is closer than the positive.
    Hard,
    /// The same for the farthest positive of each anchor: Hermans, Beyer and Leibe, "In defense of the triplet loss".
    BatchHard,
    /// All with `d(a,n) < d(a,p) + margin`.
    BatchAll,
    /// A random one of these, as `OpenFace` and facenet take it.
    RandomViolating,
}

/// Which positives of an anchor make pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Positives {
    /// Every two images of one person, both ways.
    #[default]
    All,
    /// The farthest, of equally far ones the first in the batch.
    Hardest,
}

impl Positives {
    /// The name that flags, settings and tables use.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Hardest => "hardest",
        }
    }
}

/// How a negative is chosen from the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Closest,
    Random,
    All,
}

impl Mining {
    /// Every way, the default first.
    pub const EVERY: [Self; 6] =
        [Self::SemiHard, Self::SemiHardRandom, Self::Hard, Self::BatchHard, Self::BatchAll, Self::RandomViolating];

    /// The name that flags, settings and tables use.
    pub fn name(self) -> &'static str {
        match self {
            Self::SemiHard => "semi-hard",
            Self::SemiHardRandom => "semi-hard-random",
            Self::Hard => "hard",
            Self::BatchHard => "batch-hard",
            Self::BatchAll => "batch-all",
            Self::RandomViolating => "random-violating",
        }
    }

    /// The loss takes a seed.
    pub fn is_random(self) -> bool {
        self.choice() == Choice::Random
    }

    /// Images as close as the positive, or closer, are candidates.
    pub fn takes_hard(self) -> bool {
        !matches!(self, Self::SemiHard | Self::SemiHardRandom)
    }

    /// The positives that this way prescribes, if it does.
    pub fn positives(self) -> Option<Positives> {
        (self == Self::BatchHard).then_some(Positives::Hardest)
    }

    pub(super) fn choice(self) -> Choice {
        match self {
            Self::SemiHard | Self::Hard | Self::BatchHard => Choice::Closest,
            Self::SemiHardRandom | Self::RandomViolating => Choice::Random,
            Self::BatchAll => Choice::All,
        }
    }
}
