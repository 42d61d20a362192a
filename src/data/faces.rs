//! A set of faces at the network's size: all in memory, or, where that is too much, on disk and decoded on demand.

mod digest;
mod remarks;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::decode::decode_face;
use super::folder::FaceFolder;
use super::preprocess::{Face, Preprocess};
use super::skipped::SkippedImage;
use crate::digest::sha256_of;
use crate::{Error, Result};

/// Bytes of pixels that [`FaceSet::load`] keeps in memory unless told otherwise: 2 GiB.
pub const DEFAULT_PIXEL_BUDGET: u64 = 2 << 30;

/// Files that [`FaceSet::load_with`] asks for together.
const READ: usize = 256;

/// Makes faces of files, or says why there are none.
pub type ReadFaces<'a> = dyn FnMut(&[&Path]) -> Result<Vec<Result<Face>>> + 'a;

/// One person and the indices of their faces in the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name: the folder's path below the root.
    pub name: String,
    /// Indices of the person's faces, consecutive and at least one.
    pub faces: Vec<usize>,
}

/// Where the pixels are.
#[derive(Debug)]
enum Store {
    /// One face after the other, [`Preprocess::face_len`] bytes each.
    Memory(Vec<u8>),
    /// In the files; every one was decoded once when the set was loaded.
    Disk,
}

/// People and their faces. A face is known by its index, 0 to [`Self::len`].
#[derive(Debug)]
pub struct FaceSet {
    preprocess: Preprocess,
    people: Vec<Person>,
    /// Person of each face.
    owners: Vec<usize>,
    /// File of each face; empty for generated faces.
    paths: Vec<PathBuf>,
    /// SHA-256 of each file's content; empty for generated faces.
    contents: Vec<[u8; 32]>,
    store: Store,
    skipped: Vec<SkippedImage>,
    /// People all of whose images were left out.
    lost: Vec<String>,
    /// People whom the data themselves hold out, as places in the list of people.
    reserved: Vec<usize>,
    /// Files that could no longer be read later.
    vanished: Mutex<Vec<Vanished>>,
}

/// A file that could be read when the set was loaded, and later could not.
#[derive(Debug)]
struct Vanished {
    row: SkippedImage,
    told: bool,
}

impl FaceSet {
    /// Decodes every image of `folder` in parallel and keeps the faces in memory if they need at most `budget` bytes;
    /// otherwise they are decoded once to find the damaged ones and again whenever [`Self::face`] asks.
    /// `progress(done, total)` is called after each image, from any thread.
    ///
    /// Images that cannot be used are left out with a row in [`Self::skipped`], and so are people without any other.
    ///
    /// # Errors
    /// [`Error::Data`] where no image at all can be used.
    pub fn load(
        folder: &FaceFolder,
        preprocess: &Preprocess,
        budget: u64,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self> {
        let jobs = jobs(folder);
        let len = preprocess.face_len();
        let in_memory = jobs.len() as u64 * len as u64 <= budget;
        let done = AtomicUsize::new(0);
        let total = jobs.len();
        let decode = |path: &Path| {
            let face = decode_face(path, preprocess).and_then(|face| Ok((face, sha256_of(path)?)));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            face
        };
        let mut pixels = vec![0; if in_memory { total * len } else { 0 }];
        let outcomes: Vec<Result<[u8; 32]>> = if in_memory {
            let slots = pixels.par_chunks_exact_mut(len).zip(&jobs);
            let keep = |(slot, &(_, path)): (&mut [u8], &(usize, &Path))| {
                let (face, content) = decode(path)?;
                slot.copy_from_slice(&face);
                Ok(content)
            };
            slots.map(keep).collect()
        } else {
            jobs.par_iter().map(|&(_, path)| decode(path).map(|(_, content)| content)).collect()
        };

        Self::assembled(folder, preprocess, &jobs, outcomes, in_memory.then_some(pixels))
    }

    /// As [`load`](Self::load), with faces that `read` makes of blocks of files, such as those that a detector finds: each of
    /// [`Preprocess::face_len`] bytes, or why there is none. The faces stay in memory.
    ///
    /// # Errors
    /// [`Error::Data`] where no image at all can be used, or the faces need more than `budget` bytes; those of `read`.
    pub fn load_with(
        folder: &FaceFolder,
        preprocess: &Preprocess,
        budget: u64,
        read: &mut ReadFaces<'_>,
    ) -> Result<Self> {
        let jobs = jobs(folder);
        let len = preprocess.face_len();
        if jobs.len() as u64 * len as u64 > budget {
            return Err(Error::Data(format!(
                "{} faces of {}x{} pixels do not fit in the memory that is kept for them; write them into a folder with \
                 `facenet-gpu align`, and give that",
                jobs.len(),
                preprocess.width,
                preprocess.height
            )));
        }
        let (mut pixels, mut outcomes) = (vec![0; jobs.len() * len], Vec::with_capacity(jobs.len()));
        for block in jobs.chunks(READ) {
            let paths: Vec<&Path> = block.iter().map(|job| job.1).collect();
            let contents: Vec<Result<[u8; 32]>> = paths.par_iter().map(|path| sha256_of(path)).collect();
            for (face, content) in read(&paths)?.into_iter().zip(contents) {
                let at = outcomes.len();
                outcomes.push(face.and_then(|face| {
                    pixels[at * len..(at + 1) * len].copy_from_slice(&face);
                    content
                }));
            }
        }
        Self::assembled(folder, preprocess, &jobs, outcomes, Some(pixels))
    }

    /// The set of the files that could be used. `pixels` holds a face for each job, of those without a face anything; without
    /// pixels the faces are decoded again.
    fn assembled(
        folder: &FaceFolder,
        preprocess: &Preprocess,
        jobs: &[(usize, &Path)],
        outcomes: Vec<Result<[u8; 32]>>,
        mut kept: Option<Vec<u8>>,
    ) -> Result<Self> {
        let (len, total) = (preprocess.face_len(), jobs.len());
        let mut people: Vec<Person> =
            folder.people.iter().map(|p| Person { name: p.name.clone(), faces: Vec::new() }).collect();
        let (mut paths, mut contents) = (Vec::with_capacity(total), Vec::with_capacity(total));
        let mut skipped = folder.skipped.clone();
        for (job, outcome) in outcomes.into_iter().enumerate() {
            let (person, path) = jobs[job];
            match outcome {
                Ok(content) => {
                    let index = paths.len();
                    people[person].faces.push(index);
                    paths.push(path.to_path_buf());
                    contents.push(content);
                    if let Some(pixels) = kept.as_mut().filter(|_| index < job) {
                        pixels.copy_within(job * len..(job + 1) * len, index * len);
                    }
                }
                Err(error) => skipped.push(SkippedImage { path: path.to_path_buf(), reason: error.without_path() }),
            }
        }
        let lost = people.iter().filter(|p| p.faces.is_empty()).map(|p| p.name.clone()).collect();
        people.retain(|person| !person.faces.is_empty());
        let is_reserved = |person: &Person| folder.reserved.contains(&person.name);
        let reserved = (0..people.len()).filter(|&person| is_reserved(&people[person])).collect();
        if people.is_empty() {
            return Err(Error::Data(format!(
                "none of the {total} images in {} can be used; the first: {} {}",
                folder.root.display(),
                jobs.first().map_or(Path::new(""), |job| job.1).display(),
                skipped
                    .iter()
                    .find(|row| Some(row.path.as_path()) == jobs.first().map(|j| j.1))
                    .map_or("", |r| &r.reason)
            )));
        }
        skipped.sort_by(|a, b| a.path.cmp(&b.path));
        let store = kept.map_or(Store::Disk, |mut pixels| {
            pixels.truncate(paths.len() * len);
            Store::Memory(pixels)
        });
        Ok(Self {
            preprocess: preprocess.clone(),
            owners: owners(&people),
            people,
            paths,
            contents,
            store,
            skipped,
            lost,
            reserved,
            vanished: Mutex::default(),
        })
    }

    /// A set of generated faces, `height * width * 3` bytes each; people without faces are left out.
    ///
    /// # Errors
    /// [`Error::Shape`] where a face has another size, [`Error::Data`] where there is no face at all.
    pub fn from_images(preprocess: &Preprocess, images: Vec<(String, Vec<Face>)>) -> Result<Self> {
        let len = preprocess.face_len();
        let (mut people, mut pixels, mut next) = (Vec::new(), Vec::new(), 0);
        for (name, faces) in images.into_iter().filter(|(_, faces)| !faces.is_empty()) {
            if let Some(face) = faces.iter().find(|face| face.len() != len) {
                return Err(Error::shape("faces", format!("{name} has a face of {} bytes, not {len}", face.len())));
            }
            faces.iter().for_each(|face| pixels.extend_from_slice(face));
            people.push(Person { name, faces: (next..next + faces.len()).collect() });
            next += faces.len();
        }
        if people.is_empty() {
            return Err(Error::Data("there are no faces; give at least one person one face".to_owned()));
        }
        let (owners, store) = (owners(&people), Store::Memory(pixels));
        Ok(Self {
            preprocess: preprocess.clone(),
            people,
            owners,
            paths: Vec::new(),
            contents: Vec::new(),
            store,
            skipped: Vec::new(),
            lost: Vec::new(),
            reserved: Vec::new(),
            vanished: Mutex::default(),
        })
    }

    /// Number of faces.
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether there is no face; never true for a set that was made without an error.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// The preprocessing that the faces went through.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The people, sorted by name if they came from a folder. Their index is the label of their faces.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// People whom the data themselves hold out for measuring, as places in [`people`](Self::people): those of a validation
    /// folder, or of a list that says so.
    pub fn reserved(&self) -> &[usize] {
        &self.reserved
    }

    /// The same set with these people held out by the data.
    #[must_use]
    pub fn reserving(mut self, people: Vec<usize>) -> Self {
        self.reserved = people;
        self
    }

    /// Faces of each of `people`: the input of [`crate::eval::verification::balanced_pairs`].
    pub fn faces_of(&self, people: &[usize]) -> Vec<Vec<usize>> {
        people.iter().map(|&person| self.people[person].faces.clone()).collect()
    }

    /// Index of the person on face `index`.
    pub fn person_of(&self, index: usize) -> usize {
        self.owners[index]
    }

    /// File of face `index`; none for a generated face.
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.paths.get(index).map(PathBuf::as_path)
    }

    /// SHA-256 of the content of face `index`'s file when it was loaded; none for a generated face.
    pub fn content(&self, index: usize) -> Option<[u8; 32]> {
        self.contents.get(index).copied()
    }

    /// Whether the pixels are in memory, so that [`Self::face`] cannot fail.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.store, Store::Memory(_))
    }

    /// The bytes of face `index`, `height * width * 3`, RGB rows from the top.
    ///
    /// # Errors
    /// Those of [`decode_face`], where the set is on disk and the file was changed after loading.
    pub fn face(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        match &self.store {
            Store::Memory(pixels) => {
                let len = self.preprocess.face_len();
                Ok(Cow::Borrowed(&pixels[index * len..(index + 1) * len]))
            }
            Store::Disk => decode_face(&self.paths[index], &self.preprocess).map(Cow::Owned),
        }
    }

    /// The bytes of face `index`, or, where its file can no longer be read, those of another face of the same person; the file
    /// is told once by [`Self::vanished`].
    ///
    /// # Errors
    /// As [`Self::face`], where none of the person's files can be read.
    pub fn face_or_other(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        let error = match self.face(index) {
            Ok(face) => return Ok(face),
            Err(error) => error,
        };
        let others = self.people[self.owners[index]].faces.iter().filter(|&&other| other != index);
        // From the one behind it on, so that the same one does not stand in for all.
        let (before, behind): (Vec<usize>, Vec<usize>) = others.copied().partition(|&other| other < index);
        let Some(face) = behind.into_iter().chain(before).find_map(|other| self.face(other).ok()) else {
            return Err(error);
        };
        self.lose(index, error, "another image of the person took its place");
        Ok(face)
    }

    /// Notes that the file of face `index` can no longer be read, and what was done about it; [`Self::vanished`] tells it once.
    pub(crate) fn lose(&self, index: usize, error: Error, instead: &str) {
        let path = self.paths[index].clone();
        let mut vanished = self.vanished.lock().unwrap_or_else(PoisonError::into_inner);
        if vanished.iter().all(|v| v.row.path != path) {
            let reason = format!("{}; {instead}", error.without_path());
            vanished.push(Vanished { row: SkippedImage { path, reason }, told: false });
        }
    }

    /// Files that could no longer be read since this was asked last.
    pub fn vanished(&self) -> Vec<SkippedImage> {
        let mut vanished = self.vanished.lock().unwrap_or_else(PoisonError::into_inner);
        let new = vanished.iter_mut().filter(|v| !v.told);
        new.map(|v| {
            v.told = true;
            v.row.clone()
        })
        .collect()
    }

    /// What was left out, sorted by path.
    pub fn skipped(&self) -> &[SkippedImage] {
        &self.skipped
    }

    /// Writes [`Self::skipped`] as a CSV file with the columns `path` and `reason`.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written.
    #[cfg(feature = "program")]
    pub fn write_report(&self, path: &Path) -> Result<()> {
        super::skipped::write_report(&self.skipped, path)
    }

    /// One line for the console: how many images, people, skipped images and people with one image.
    pub fn summary(&self) -> String {
        let singles = self.people.iter().filter(|person| person.faces.len() == 1).count();
        let mut line = format!("{} of {}", count(self.len(), "image"), count(self.people.len(), "person"));
        if singles > 0 {
            line += &format!(", {singles} with a single image");
        }
        if !self.skipped.is_empty() {
            line += &format!("; {} skipped", count(self.skipped.len(), "image"));
        }
        line
    }
}

/// "1 image", "2 people".
fn count(number: usize, what: &str) -> String {
    match (number, what) {
        (1, _) => format!("1 {what}"),
        (_, "person") => format!("{number} people"),
        _ => format!("{number} {what}s"),
    }
}

/// Every image of a folder with its person.
fn jobs(folder: &FaceFolder) -> Vec<(usize, &Path)> {
    let mut jobs = Vec::new();
    for (person, images) in folder.people.iter().enumerate() {
        jobs.extend(images.images.iter().map(|path| (person, path.as_path())));
    }
    jobs
}

fn owners(people: &[Person]) -> Vec<usize> {
    people.iter().enumerate().flat_map(|(person, p)| p.faces.iter().map(move |_| person)).collect()
}

#[cfg(test)]
mod tests;
