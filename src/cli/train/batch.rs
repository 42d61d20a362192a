//! The flags that say what a batch is: P people with K images each, and M random images of other people.

use clap::Args;

use crate::train::Config;
use crate::{Error, Result};

/// P, K and M, or two of them and the size of the whole.
#[derive(Debug, Args)]
pub(super) struct BatchFlags {
    /// P: people per batch; lowered, with a warning, where there are fewer [default: 16; with --batch as many as fit]
    #[arg(short = 'P', long, value_name = "P")]
    people: Option<usize>,

    /// K: images per person in a batch; who has fewer gives all, and other people fill the batch
    #[arg(short = 'K', long, value_name = "K", default_value_t = Config::default().images)]
    images: usize,

    /// M: random images of other people in each batch, beside the P x K; lowered, with a warning, where there are fewer
    /// [default: 0; with --batch what P x K leaves]
    #[arg(long, value_name = "M")]
    negatives: Option<usize>,

    /// Images of a batch. What P x K leaves goes to images of other people, also where P or K are lowered
    #[arg(long, value_name = "B")]
    pub(super) batch: Option<usize>,
}

impl BatchFlags {
    /// P, K and M.
    pub(super) fn shape(&self) -> Result<[usize; 3]> {
        let (k, default) = (self.images, Config::default());
        let Some(batch) = self.batch else {
            return Ok([self.people.unwrap_or(default.people), k, self.negatives.unwrap_or(default.negatives)]);
        };
        let usage = |message: String| Err(Error::Usage(message));
        let negatives = self.negatives.unwrap_or(0);
        // A batch without a pair of people is of no use.
        let fitting = || (batch.saturating_sub(negatives) / k.max(1)).max(2);
        let people = self.people.unwrap_or_else(fitting);
        let named = people.saturating_mul(k).saturating_add(negatives);
        let what = format!("{people} people with {k} images each and {negatives} negatives");
        if named > batch {
            return usage(format!(
                "a batch of {batch} images has no room for {what}; give a larger --batch, or a smaller -P, -K or --negatives"
            ));
        }
        if self.people.is_some() && self.negatives.is_some() && named < batch {
            return usage(format!("{what} are {named} images, not --batch {batch}; leave one of these flags out"));
        }
        Ok([people, k, batch - people * k])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(
        people: Option<usize>,
        images: usize,
        negatives: Option<usize>,
        batch: Option<usize>,
    ) -> Result<[usize; 3]> {
        BatchFlags { people, images, negatives, batch }.shape()
    }

    #[test]
    fn the_size_of_a_batch_decides_what_the_other_flags_leave_open() {
        assert_eq!(shape(None, 4, None, None).unwrap(), [16, 4, 0]);
        assert_eq!(shape(Some(45), 40, Some(100), None).unwrap(), [45, 40, 100]);
        assert_eq!(shape(None, 40, None, Some(1800)).unwrap(), [45, 40, 0]);
        assert_eq!(shape(None, 4, None, Some(66)).unwrap(), [16, 4, 2]);
        assert_eq!(shape(Some(40), 40, None, Some(1800)).unwrap(), [40, 40, 200]);
        assert_eq!(shape(None, 40, Some(200), Some(1800)).unwrap(), [40, 40, 200]);
        assert_eq!(shape(Some(40), 40, Some(200), Some(1800)).unwrap(), [40, 40, 200]);
        assert_eq!(shape(None, 4, Some(30), Some(60)).unwrap(), [7, 4, 32], "no place stays empty");
    }

    #[test]
    fn sizes_that_do_not_add_up_are_refused_with_the_remedy() {
        for (flags, part) in [
            (shape(None, 40, None, Some(60)), "no room for 2 people with 40 images each and 0 negatives; give"),
            (shape(None, 4, Some(100), Some(60)), "no room for 2 people with 4 images each and 100 negatives"),
            (shape(Some(20), 4, None, Some(60)), "no room for 20 people"),
            (shape(Some(usize::MAX), 4, None, Some(60)), "no room for"),
            (shape(Some(10), 4, Some(30), Some(60)), "no room for 10 people"),
            (shape(Some(10), 4, Some(10), Some(60)), "are 50 images, not --batch 60; leave one"),
        ] {
            let error = flags.map(|shape| format!("{shape:?}")).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(part), "\"{part}\" is missing in: {error}");
        }
    }
}
