//! Who is on an image: the nearest people of a gallery, or nobody it knows.

use super::faces::{AnySearcher, Faces};
use crate::search::Neighbours;
use crate::session::fault_of;
use crate::{Embeddings, Engine, Error, Result};

/// The farthest that embeddings of unit length can be apart, as a squared distance.
const FARTHEST: f32 = 4.0;
/// Faces that are searched for each wanted person at first: people have several.
const FACES_A_PERSON: usize = 4;
/// Times as many faces are searched where these were of too few people.
const MORE: usize = 8;

/// What is asked of a gallery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// The largest squared distance, 0 to 4 for embeddings of unit length, at which a face is taken for a person's.
    pub threshold: f32,
    /// People to name for each query, at least one.
    pub top: usize,
}

/// A person who may be on an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The person, for [`Faces::name`].
    pub person: usize,
    /// Squared distance of the query and the person's nearest face.
    pub distance: f32,
    /// The number of that face.
    pub face: u64,
}

/// Who is on an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The nearest people, the nearest first, equals by the face that was added first: as many as were asked for, or all.
    pub candidates: Vec<Candidate>,
    threshold: f32,
}

impl Identity {
    /// The nearest person, if they are near enough; `None` is somebody unknown.
    pub fn person(&self) -> Option<&Candidate> {
        self.candidates.first().filter(|nearest| nearest.distance <= self.threshold)
    }
}

/// Finds people among the faces of a gallery. The distance to a person is that to their nearest face. The search is exact:
/// it looks at every face.
#[derive(Debug)]
pub struct Identifier<'a> {
    engine: Engine,
    faces: &'a Faces,
    search: Search,
    /// Searches for the first number of faces.
    searcher: AnySearcher<'a>,
    k: usize,
}

impl<'a> Identifier<'a> {
    /// Brings faces to the device.
    ///
    /// # Errors
    /// [`Error::Setting`] where the threshold is no distance that embeddings can have or nobody is asked for, [`Error::Memory`] where the device
    /// lacks memory.
    pub fn new(engine: &Engine, faces: &'a Faces, search: &Search) -> Result<Self> {
        let (threshold, unit_length) = (search.threshold, faces.model.unit_length);
        let farthest = if unit_length { FARTHEST } else { f32::MAX };
        if !(0.0..=farthest).contains(&threshold) {
            let range = if unit_length { "0 to 4" } else { "0 or more" };
            return Err(Error::Setting(format!(
                "`threshold` {threshold} is no squared distance of embeddings; give {range}"
            )));
        }
        if search.top == 0 {
            return Err(Error::Setting("`top` 0 asks for nobody; give 1 or more".to_string()));
        }
        let k = (search.top.saturating_mul(FACES_A_PERSON)).min(faces.len());
        let searcher = faces.vectors.searcher(engine, count(k), BLOCK)?;
        Ok(Self { engine: engine.clone(), faces, search: *search, searcher, k })
    }

    /// Who is on the images of these embeddings, one for each in order.
    ///
    /// # Errors
    /// [`Error::Shape`] where they have other dimensions, [`Error::NotFinite`] where one has another length than the model says,
    /// [`Error::Device`] where the device is lost.
    pub fn identify(&mut self, queries: &Embeddings) -> Result<Vec<Identity>> {
        let dim = self.faces.vectors.dim();
        if queries.dim() != dim {
            let message = format!("expected embeddings of {dim} dimensions, got some of {}", queries.dim());
            return Err(Error::shape("identify", message));
        }
        let unit_length = self.faces.model.unit_length;
        let fault =
            |(at, row)| fault_of(row, unit_length).map(|fault| format!("the embedding of {} {fault}", queries.id(at)));
        if let Some(fault) = queries.rows().enumerate().find_map(fault) {
            return Err(Error::NotFinite(fault));
        }
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = self.search.top.min(self.faces.people());
        let found = self.searcher.search(queries.as_slice(), dim)?;
        let mut candidates: Vec<_> = (0..queries.len()).map(|query| self.people(&found, query)).collect();
        // The nearest faces of a query may all be of fewer people than are wanted: only more faces tell who comes next.
        let mut k = self.k;
        loop {
            let open: Vec<usize> = (0..queries.len()).filter(|&query| candidates[query].len() < wanted).collect();
            if open.is_empty() {
                break;
            }
            k = k.saturating_mul(MORE).min(self.faces.len());
            let mut searcher = self.faces.vectors.searcher(&self.engine, count(k), open.len())?;
            // The neighbours of few queries at a time: there may be millions for each.
            for open in open.chunks((MOST_NEIGHBOURS / k).max(1)) {
                let rows: Vec<f32> = open.iter().flat_map(|&query| queries.row(query)).copied().collect();
                let found = searcher.search(&rows, dim)?;
                for (at, &query) in open.iter().enumerate() {
                    candidates[query] = self.people(&found, at);
                }
            }
        }
        let threshold = self.search.threshold;
        Ok(candidates.into_iter().map(|candidates| Identity { candidates, threshold }).collect())
    }

    /// The people of the faces that were found for a query, each once, at most as many as were asked for.
    fn people(&self, found: &Neighbours, query: usize) -> Vec<Candidate> {
        let mut people: Vec<Candidate> = Vec::new();
        for (place, distance) in found.of(query) {
            let person = self.faces.owner(place);
            if people.iter().all(|candidate| candidate.person != person) {
                people.push(Candidate { person, distance, face: self.faces.ids[place as usize] });
                if people.len() == self.search.top {
                    break;
                }
            }
        }
        people
    }
}

/// Queries that a device is prepared for.
const BLOCK: usize = 64;
/// Neighbours that are held at a time where many are needed.
const MOST_NEIGHBOURS: usize = 1 << 24;

fn count(k: usize) -> u32 {
    u32::try_from(k).unwrap_or(u32::MAX)
}
