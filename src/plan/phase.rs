//! The phases of a plan.

use std::fmt;

/// A part of a plan that is run as a whole. `ARCHITECTURE.md` shows in which order a training step runs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Inputs to outputs.
    Forward,
    /// A chunk's embeddings to their rows of the batch's embeddings.
    Collect,
    /// Triplets, loss, and the gradients of the batch's embeddings.
    Loss,
    /// The chunk's rows of the gradients of the batch's embeddings.
    Gather,
    /// Gradients of the parameters, set.
    Backward,
    /// The same, added to those of the chunks before.
    BackwardMore,
    /// Running statistics.
    Statistics,
    /// New parameters.
    Update,
    /// What inference computes from the parameters: [`Role::Derived`](super::Role::Derived).
    Derive,
    /// A search among embeddings, for one block of queries.
    Search,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::Collect => "collect",
            Self::Loss => "loss",
            Self::Gather => "gather",
            Self::Backward => "backward",
            Self::BackwardMore => "backward more",
            Self::Statistics => "statistics",
            Self::Update => "update",
            Self::Derive => "derive",
            Self::Search => "search",
        })
    }
}
