//! Holding people out: nobody is both trained on and measured on.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::faces::FaceSet;
use crate::{Error, Result};

/// Training and measuring each need this many people with two or more images.
const MIN_PAIRED: usize = 2;

/// How many people to hold out, always among those with at least two images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeldOut {
    /// This part of the people with at least two images, 0 to 1, rounded; at least two people unless it is 0.
    Fraction(f64),
    /// Exactly this many people.
    Count(usize),
}

impl Default for HeldOut {
    /// A quarter.
    fn default() -> Self {
        Self::Fraction(0.25)
    }
}

/// People to train on and people to measure on, as indices into [`FaceSet::people`], each list ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// People to train on, those with one image among them.
    pub train: Vec<usize>,
    /// People to measure on, each with two or more images; empty where nobody could be or should be held out.
    pub held_out: Vec<usize>,
    /// What the user should know: fewer people were held out than asked for.
    pub warning: Option<String>,
}

/// Splits the people of `set`, the same way for the same `seed`; where the data themselves hold people out
/// ([`FaceSet::reserved`]), it is these, whatever `held_out` says. At least two people with two or more images stay for
/// training, and two are held out at least, as one person alone gives no pair of different people.
///
/// # Errors
/// [`Error::Setting`] for a fraction outside 0 to 1; [`Error::Data`] where training is impossible (one person only, fewer
/// than two people with two images) or a [`HeldOut::Count`] leaves too few people.
pub fn split_people(set: &FaceSet, held_out: HeldOut, seed: u64) -> Result<Split> {
    if set.people().len() < 2 {
        return Err(Error::Data(format!(
            "there is only one person ({}); faces of at least two people are needed to tell them \
             apart: add a folder with images of another person",
            set.people().first().map_or("", |person| person.name.as_str())
        )));
    }
    if !set.reserved().is_empty() {
        return split_as_reserved(set);
    }
    let mut paired: Vec<usize> = (0..set.people().len()).filter(|&p| set.people()[p].faces.len() > 1).collect();
    let total = paired.len();
    if total < MIN_PAIRED {
        return Err(Error::Data(format!(
            "{total} of {} people have two or more images; training needs two such people: add images to their folders",
            set.people().len()
        )));
    }
    let most = total - MIN_PAIRED;
    let mut warning = None;
    let count = match held_out {
        HeldOut::Fraction(part) if !(0.0..=1.0).contains(&part) => {
            return Err(Error::Setting(format!("the held-out part is {part}; give a number from 0 to 1")));
        }
        HeldOut::Count(0) => 0,
        HeldOut::Fraction(0.0) => 0,
        HeldOut::Count(count) if count > most || count < MIN_PAIRED => {
            return Err(Error::Data(format!(
                "{count} people cannot be held out of {total} with two or more images: {MIN_PAIRED} are needed to \
                 measure on and {MIN_PAIRED} to train on; give 0 or {MIN_PAIRED} to {most}, or add people"
            )));
        }
        HeldOut::Count(count) => count,
        HeldOut::Fraction(_) if most < MIN_PAIRED => {
            warning = Some(format!(
                "{total} people with two or more images are too few to hold any out, so training uses all of them and \
                 accuracy on unknown people is not measured; four are needed"
            ));
            0
        }
        HeldOut::Fraction(part) => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the number of people")]
            let wanted = (part * total as f64).round() as usize;
            if wanted > most {
                warning = Some(format!("{most} people are held out, not {wanted}: two are needed to train on"));
            }
            wanted.clamp(MIN_PAIRED, most)
        }
    };
    paired.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut chosen = paired[..count].to_vec();
    chosen.sort_unstable();
    let train = (0..set.people().len()).filter(|person| chosen.binary_search(person).is_err()).collect();
    Ok(Split { train, held_out: chosen, warning })
}

/// Holds out the people whom the data hold out. Those with a single image are neither trained nor measured on.
fn split_as_reserved(set: &FaceSet) -> Result<Split> {
    let paired = |person: &usize| set.people()[*person].faces.len() > 1;
    let train: Vec<usize> = (0..set.people().len()).filter(|person| !set.reserved().contains(person)).collect();
    let held_out: Vec<usize> = set.reserved().iter().copied().filter(paired).collect();
    let to_train = train.iter().filter(|&person| paired(person)).count();
    for (found, what) in [(to_train, "train"), (held_out.len(), "measure")] {
        if found < MIN_PAIRED {
            return Err(Error::Data(format!(
                "of the people to {what} on {found} have two or more images; {MIN_PAIRED} are needed: add images to their \
                 folders"
            )));
        }
    }
    let singles = set.reserved().len() - held_out.len();
    let warning = match singles {
        0 => None,
        1 => Some("1 person to measure on has a single image and is left out".to_string()),
        _ => Some(format!("{singles} people to measure on have a single image and are left out")),
    };
    Ok(Split { train, held_out, warning })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::flat_faces;

    fn split(counts: &[usize], held_out: HeldOut) -> Result<Split> {
        split_people(&flat_faces(counts), held_out, 7)
    }

    #[test]
    fn a_quarter_is_held_out_and_nobody_is_on_both_sides() {
        let split = split(&[2; 40], HeldOut::default()).unwrap();
        assert_eq!((split.train.len(), split.held_out.len(), &split.warning), (30, 10, &None));
        let mut all = [split.train, split.held_out].concat();
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn people_whom_the_data_hold_out_are_held_out_and_their_singles_are_left_out() {
        let set = flat_faces(&[2, 2, 1, 2, 3, 1]).reserving(vec![3, 4, 5]);
        let split = split_people(&set, HeldOut::default(), 7).unwrap();
        assert_eq!((split.train, split.held_out), (vec![0, 1, 2], vec![3, 4]));
        assert!(split.warning.unwrap().starts_with("1 person to measure on"));
        for (reserved, what) in [(vec![3, 5], "to measure on 1 have"), (vec![0, 1, 3], "to train on 1 have")] {
            let set = flat_faces(&[2, 2, 1, 2, 3, 1]).reserving(reserved);
            let text = split_people(&set, HeldOut::default(), 7).unwrap_err().to_string();
            assert!(text.contains(what), "{text}");
        }
    }

    #[test]
    fn the_seed_alone_decides() {
        let set = flat_faces(&[2; 40]);
        let held = |seed| split_people(&set, HeldOut::default(), seed).unwrap().held_out;
        assert_eq!(held(1), held(1));
        assert_ne!(held(1), held(2));
    }

    #[test]
    fn people_with_one_image_are_never_held_out() {
        let counts: Vec<usize> = (0..40).map(|person| if person % 2 == 0 { 1 } else { 2 }).collect();
        let split = split(&counts, HeldOut::Fraction(1.0)).unwrap();
        assert_eq!(split.held_out.len(), 18);
        assert!(split.held_out.iter().all(|person| person % 2 == 1));
        assert!(split.warning.unwrap().contains("18 people are held out, not 20"));
    }

    #[test]
    fn at_least_two_are_held_out_where_four_are_there() {
        assert_eq!(split(&[2; 4], HeldOut::default()).unwrap().held_out.len(), 2);
    }

    #[test]
    fn too_few_to_hold_out_trains_on_all_with_a_warning() {
        let split = split(&[2, 2, 2, 1], HeldOut::default()).unwrap();
        assert_eq!((split.train, split.held_out), (vec![0, 1, 2, 3], vec![]));
        assert!(split.warning.unwrap().contains("3 people with two or more images are too few"));
    }

    #[test]
    fn nobody_is_held_out_without_a_warning_when_nobody_should_be() {
        for nobody in [HeldOut::Count(0), HeldOut::Fraction(0.0)] {
            let split = split(&[2; 8], nobody).unwrap();
            assert_eq!((split.held_out.len(), split.warning), (0, None));
        }
    }

    #[test]
    fn a_count_is_exact_or_refused() {
        assert_eq!(split(&[2; 8], HeldOut::Count(6)).unwrap().held_out.len(), 6);
        for count in [1, 7] {
            let text = split(&[2; 8], HeldOut::Count(count)).unwrap_err().to_string();
            assert!(text.contains(&format!("{count} people cannot be held out of 8")), "{text}");
        }
    }

    #[test]
    fn impossible_input_is_refused_in_a_sentence() {
        for (counts, held_out, expected) in [
            (&[5_usize] as &[usize], HeldOut::default(), "there is only one person (p0)"),
            (&[5, 1, 1], HeldOut::default(), "1 of 3 people have two or more images"),
            (&[2, 2], HeldOut::Fraction(f64::NAN), "give a number from 0 to 1"),
            (&[2, 2], HeldOut::Fraction(1.5), "give a number from 0 to 1"),
        ] {
            let text = split(counts, held_out).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
