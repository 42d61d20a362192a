//! Accuracy on a list of pairs of other images, such as LFW's, at the threshold that the held-out people of training gave.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use super::Observer;
use super::embed::embed;
use crate::data::decode::decode_face;
use crate::data::preprocess::{Face, Preprocess};
use crate::eval::images::{ImageName, Images};
use crate::eval::interval::{effective_pairs, wilson};
use crate::eval::pairs_file::PairsFile;
use crate::eval::verification::{Pair, squared_distance};
use crate::session::Session;
use crate::{Error, Result};

/// Pairs of images that are decoded already.
#[derive(Debug)]
pub(super) struct OnPairs {
    faces: Vec<Face>,
    pairs: Vec<Pair>,
}

impl OnPairs {
    /// Reads a list of pairs and their images, which lie in a folder per person in `dir`. Pairs whose images cannot be used
    /// are left out; the sentence says how many.
    ///
    /// # Errors
    /// The list cannot be read, or none of the pairs can be used.
    pub(super) fn read(list: &Path, dir: &Path, preprocess: &Preprocess) -> Result<(Self, Option<String>)> {
        let named: Vec<_> = PairsFile::read(list)?.sets.into_iter().flatten().collect();
        let mut rows: BTreeMap<&ImageName, Option<usize>> = BTreeMap::new();
        rows.extend(named.iter().flat_map(|pair| [(&pair.a, None), (&pair.b, None)]));
        let names: Vec<&ImageName> = rows.keys().copied().collect();
        let images = Images::new(dir);
        let decode = |name: &&ImageName| decode_face(&images.find(name).map_err(Error::Data)?, preprocess);
        let decoded: Vec<Result<Face>> = names.par_iter().map(decode).collect();
        let (mut faces, mut failures) = (Vec::new(), Vec::new());
        for (name, face) in names.into_iter().zip(decoded) {
            match face {
                Ok(face) => {
                    rows.insert(name, Some(faces.len()));
                    faces.push(face);
                }
                Err(e) => failures.push(e),
            }
        }
        let usable = named.iter().filter_map(|pair| {
            let (a, b) = rows[&pair.a].zip(rows[&pair.b])?;
            Some(Pair { a, b, same: pair.same })
        });
        let pairs: Vec<Pair> = usable.collect();
        let first = failures.first().map(ToString::to_string).unwrap_or_default();
        if pairs.is_empty() {
            let (list, dir) = (list.display(), dir.display());
            return Err(Error::Data(format!(
                "no pair of {list} can be used with the images in {dir}; the first: {first}"
            )));
        }
        let left_out = named.len() - pairs.len();
        let said = format!("{left_out} of {} pairs of {} are left out: {first}", named.len(), list.display());
        Ok((Self { faces, pairs }, (left_out > 0).then_some(said)))
    }

    /// Pairs that are used.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Part of the pairs that `threshold` classifies rightly, with the ends of its 95 % confidence interval, which takes the
    /// images for independent; `None` if `stop` was set meanwhile.
    ///
    /// # Errors
    /// The device is lost, or an embedding is NaN or Inf.
    pub(super) fn measure(
        &self,
        session: &mut Session,
        threshold: f32,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Option<(f64, [f64; 2])>> {
        let images: Vec<usize> = (0..self.faces.len()).collect();
        let found = embed(session, &images, |image| Ok(&self.faces[image]), "measuring pairs", stop, observer)?;
        let Some(rows) = found else { return Ok(None) };
        let right = |pair: &Pair| (squared_distance(rows.row(pair.a), rows.row(pair.b)) < threshold) == pair.same;
        let judged: Vec<_> = self.pairs.iter().map(|pair| ([pair.a, pair.b], right(pair))).collect();
        let accuracy = judged.iter().filter(|(_, right)| *right).count() as f64 / judged.len() as f64;
        Ok(Some((accuracy, wilson(accuracy, effective_pairs(&judged)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::preprocess::Normalise;
    use crate::data::testing::write_face;
    use crate::net::find;
    use crate::session::initial_weights;
    use crate::weights::Metadata;

    struct Silent;

    impl Observer for Silent {}

    #[test]
    fn pairs_are_classified_at_the_threshold_and_those_without_images_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for (name, tint) in [("ann/ann_0001", 1), ("ann/ann_0002", 1), ("bob/bob_0001", 250)] {
            write_face(&dir.path().join(format!("{name}.jpg")), tint);
        }
        let list = dir.path().join("pairs.txt");
        std::fs::write(&list, "2\nann\t1\t2\nann\t1\t3\nann\t1\tbob\t1\nann\t2\tbob\t1\n").unwrap();
        let preprocess = Preprocess { height: 64, width: 64, normalise: Normalise::Fixed, crop: None, alignment: None };
        let (on_pairs, said) = OnPairs::read(&list, dir.path(), &preprocess).unwrap();
        assert_eq!(on_pairs.len(), 3);
        assert!(said.unwrap().starts_with("1 of 4 pairs of"));
        let model = find("zf64").unwrap().model().unwrap();
        let weights = initial_weights(&model, Metadata::of(&model).unwrap(), 1);
        let mut session = Session::new(&crate::Engine::Cpu, model, &weights, "start").unwrap();
        let mut at = |threshold| {
            let stop = AtomicBool::new(false);
            on_pairs.measure(&mut session, threshold, &stop, &mut Silent).unwrap().unwrap().0
        };
        // Everybody is one person, nobody is, and in between equal images are and the others are not.
        assert_eq!((at(5.0), at(0.0), at(1e-6)), (1.0 / 3.0, 2.0 / 3.0, 1.0));
        let text = OnPairs::read(&list, Path::new("/nowhere"), &preprocess).unwrap_err().to_string();
        assert!(text.contains("no pair of") && text.contains("/nowhere"), "{text}");
    }
}
