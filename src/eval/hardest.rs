//! The pairs of all pairs that an embedding judges worst.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::verification::Pair;
use crate::search::{Pairs, Points, Queries, Question, Searcher};
use crate::{Embeddings, Engine, Result};

/// Among each image's farthest image of the same person (`same`), or its nearest image of another person, the `most` that are
/// worst, each pair once, with its squared distance, the worst first. `people` holds a number of the person on each image.
///
/// # Errors
/// The lengths differ, or the device is lost or lacks memory.
pub fn hardest(
    engine: &Engine,
    embeddings: &Embeddings,
    people: &[u32],
    same: bool,
    most: usize,
) -> Result<Vec<(Pair, f32)>> {
    let points = Points::new(embeddings.as_slice(), embeddings.dim())?.labelled(people)?;
    let pairs = if same { Pairs::SameLabel } else { Pairs::OtherLabel };
    let question = Question { k: 1, farthest: same, pairs };
    let mut searcher = Searcher::new(engine, points, question, points.len())?;
    let found = searcher.search(&Queries::gallery(points), |_, _| ControlFlow::Continue(()))?;
    let found = found.expect("nobody ended the search");
    let mut seen = HashSet::new();
    let mut worst: Vec<(Pair, f32)> = Vec::new();
    for image in 0..found.len() {
        for (other, distance) in found.of(image) {
            let (a, b) = (image.min(other as usize), image.max(other as usize));
            if seen.insert((a, b)) {
                worst.push((Pair { a, b, same }, distance));
            }
        }
    }
    worst.sort_by(|x, y| if same { y.1.total_cmp(&x.1) } else { x.1.total_cmp(&y.1) });
    worst.truncate(most);
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_pairs_are_the_farthest_of_one_person_and_the_nearest_of_two() {
        let angles = [0.0_f32, 0.1, 1.0, 1.2, 2.0];
        let rows = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
        let embeddings = Embeddings::new(2, rows).unwrap();
        let people = [0, 0, 0, 1, 1];
        let of = |same| -> Vec<(usize, usize)> {
            let found = hardest(&Engine::Cpu, &embeddings, &people, same, 2).unwrap();
            assert!(found.iter().all(|(pair, _)| pair.same == same));
            found.iter().map(|(pair, _)| (pair.a, pair.b)).collect()
        };
        assert_eq!(of(true), [(0, 2), (1, 2)]);
        assert_eq!(of(false), [(2, 3), (2, 4)]);
    }
}
