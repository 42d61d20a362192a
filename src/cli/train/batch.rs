//! What a batch is: P people with K images each, and M random images of other people; or two of them and the size of
//! the whole.

use crate::train::Config;
use crate::{Error, Result};

/// P, K and M from what was given of P, of M and of the size of the whole.
pub(super) fn shape(
    people: Option<usize>,
    k: usize,
    given_negatives: Option<usize>,
    batch: Option<usize>,
) -> Result<(usize, usize, Option<usize>)> {
    let Some(batch) = batch else {
        return Ok((people.unwrap_or(Config::default().people), k, given_negatives));
    };
    let usage = |message: String| Err(Error::Setting(message));
    let negatives = given_negatives.unwrap_or(0);
    // A batch without a pair of people is of no use.
    let fitting = || (batch.saturating_sub(negatives) / k.max(1)).max(2);
    let given_people = people;
    let people = given_people.unwrap_or_else(fitting);
    let named = people.saturating_mul(k).saturating_add(negatives);
    let what = format!("{people} people with {k} images each and {negatives} negatives");
    if named > batch {
        return usage(format!(
            "a batch of {batch} images cannot hold {what}; give a larger --batch, or a smaller -P, -K or --negatives"
        ));
    }
    if given_people.is_some() && given_negatives.is_some() && named < batch {
        return usage(format!("{what} are {named} images, not --batch {batch}; leave one of these flags out"));
    }
    Ok((people, k, Some(batch - people * k)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_batch_decides_what_the_other_flags_leave_open() {
        assert_eq!(shape(None, 4, None, None).unwrap(), (16, 4, None));
        assert_eq!(shape(Some(45), 40, Some(100), None).unwrap(), (45, 40, Some(100)));
        assert_eq!(shape(None, 40, None, Some(1800)).unwrap(), (45, 40, Some(0)));
        assert_eq!(shape(None, 4, None, Some(66)).unwrap(), (16, 4, Some(2)));
        assert_eq!(shape(Some(40), 40, None, Some(1800)).unwrap(), (40, 40, Some(200)));
        assert_eq!(shape(None, 40, Some(200), Some(1800)).unwrap(), (40, 40, Some(200)));
        assert_eq!(shape(Some(40), 40, Some(200), Some(1800)).unwrap(), (40, 40, Some(200)));
        assert_eq!(shape(None, 4, Some(30), Some(60)).unwrap(), (7, 4, Some(32)), "no place stays empty");
    }

    #[test]
    fn sizes_that_do_not_add_up_are_refused_with_the_remedy() {
        for (flags, part) in [
            (shape(None, 40, None, Some(60)), "cannot hold 2 people with 40 images each and 0 negatives; give"),
            (shape(None, 4, Some(100), Some(60)), "cannot hold 2 people with 4 images each and 100 negatives"),
            (shape(Some(20), 4, None, Some(60)), "cannot hold 20 people"),
            (shape(Some(usize::MAX), 4, None, Some(60)), "cannot hold"),
            (shape(Some(10), 4, Some(30), Some(60)), "cannot hold 10 people"),
            (shape(Some(10), 4, Some(10), Some(60)), "are 50 images, not --batch 60; leave one"),
        ] {
            let error = flags.map(|shape| format!("{shape:?}")).unwrap_err();
            assert!(
                matches!(error, Error::Setting(_)) && error.to_string().contains(part),
                "\"{part}\" is missing in: {error}"
            );
        }
    }
}
