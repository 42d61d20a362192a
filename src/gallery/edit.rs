//! Changes of a gallery, each a transaction.

use redb::{ReadableTable, WriteTransaction};

use super::open::{Fault, Store, guarded};
use super::store::{About, Gallery, nobody, owned};
use super::tables::{CONTENTS, FACES_OF, NAMES, NEXT, PEOPLE, SOURCES, VECTORS};
use super::{EmbeddingModel, VectorKind, person_name};
use crate::digest::Digest;
use crate::search::ByteVectors;
use crate::session::fault_of;
use crate::text::shown;
use crate::{Error, Result};

/// A face to add.
#[derive(Debug, Clone, Copy)]
pub struct NewFace<'a> {
    /// Who is on it.
    pub person: &'a str,
    /// The file that it comes from, for people to read.
    pub source: &'a str,
    /// SHA-256 of the file, by which a face is known that is there already; `None` takes that of the embedding.
    pub content: Option<[u8; 32]>,
    /// The embedding; of unit length if the model says so.
    pub embedding: &'a [f32],
}

/// What became of faces that were to be added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Added {
    /// Faces that were added.
    pub added: usize,
    /// Faces that were there already, of the same person.
    pub known: usize,
    /// Faces that were there already, of another person: those stay.
    pub conflicts: Vec<Conflict>,
}

/// A face that is in the gallery under another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The file.
    pub source: String,
    /// Whose it was to be.
    pub person: String,
    /// Whose it is.
    pub known_as: String,
}

impl Gallery {
    /// Adds faces in one transaction: all are on the disk when it returns, or none. A new name is a new person. What was added
    /// before, by content, is not added again.
    ///
    /// # Errors
    /// [`Error::Data`] for another model or a name that no person can have, [`Error::Shape`] for other dimensions,
    /// [`Error::NotFinite`] for an embedding of another length than the model says.
    pub fn add(&mut self, model: &EmbeddingModel, faces: &[NewFace<'_>]) -> Result<Added> {
        self.check_model(model)?;
        let rows = faces.iter().map(|face| self.bytes_of(face)).collect::<Result<Vec<_>>>()?;
        self.change(|change| {
            let mut report = Added::default();
            let (mut people, mut names) = (change.open_table(PEOPLE)?, change.open_table(NAMES)?);
            let (mut vectors, mut sources) = (change.open_table(VECTORS)?, change.open_table(SOURCES)?);
            let (mut contents, mut faces_of) = (change.open_table(CONTENTS)?, change.open_table(FACES_OF)?);
            let mut next = change.open_table(NEXT)?;
            let mut fresh = |what: &str| -> Result<u64, Fault> {
                let number = next.get(what)?.map_or(0, |number| number.value());
                next.insert(what, number + 1)?;
                Ok(number)
            };
            for (face, row) in faces.iter().zip(&rows) {
                let name = person_name(face.person)?;
                let name = name.as_str();
                let known = names.get(name)?.map(|person| person.value());
                let content = face.content.unwrap_or_else(|| content_of(face.embedding));
                if let Some(id) = contents.get(&content)?.map(|id| id.value()) {
                    let owner = vectors.get(id)?.map(|row| row.value().0);
                    if owner == known {
                        report.known += 1;
                    } else {
                        let owner = people.get(owner.unwrap_or_default())?;
                        report.conflicts.push(Conflict {
                            source: face.source.to_string(),
                            person: name.to_string(),
                            known_as: owner.map_or(String::new(), |person| person.value().0.to_string()),
                        });
                    }
                    continue;
                }
                let person = match known {
                    Some(person) => person,
                    None => fresh("person")?,
                };
                let id = fresh("face")?;
                let count = people.get(person)?.map_or(0, |person| person.value().1);
                people.insert(person, (name, count + 1))?;
                names.insert(name, person)?;
                vectors.insert(id, (person, &row[..]))?;
                sources.insert(id, (face.source, &content))?;
                contents.insert(&content, id)?;
                faces_of.insert((person, id), ())?;
                report.added += 1;
            }
            Ok(report)
        })
    }

    /// Removes people with all of their faces, in one transaction; returns how many faces these were.
    ///
    /// # Errors
    /// [`Error::Data`] where one of them is not in the gallery; then nobody is removed.
    pub fn remove(&mut self, names: &[&str]) -> Result<u64> {
        let path = self.path.clone();
        self.change(|change| {
            let mut removed = 0;
            for name in names {
                let Some(person) = change.open_table(NAMES)?.remove(&*person_name(name)?)?.map(|p| p.value()) else {
                    return Err(nobody(&path, name).into());
                };
                let faces = faces_of(change, person)?;
                faces.iter().try_for_each(|&face| remove_face(change, person, face))?;
                change.open_table(PEOPLE)?.remove(person)?;
                removed += faces.len() as u64;
            }
            Ok(removed)
        })
    }

    /// Removes single faces by their numbers, in one transaction; a person without faces is removed with the last one.
    ///
    /// # Errors
    /// [`Error::Data`] where one of them is not in the gallery; then none is removed.
    pub fn remove_faces(&mut self, faces: &[u64]) -> Result<()> {
        let path = self.path.clone();
        self.change(|change| {
            for &face in faces {
                let person = change.open_table(VECTORS)?.get(face)?.map(|row| row.value().0);
                let Some(person) = person else {
                    let message = "has no face number";
                    return Err(Error::Data(format!(
                        "{} {message} {face}; `facenet-gpu gallery list` shows the numbers with `faces`",
                        path.display()
                    ))
                    .into());
                };
                remove_face(change, person, face)?;
                let mut people = change.open_table(PEOPLE)?;
                let (name, count) = owned(people.get(person)?);
                if count <= 1 {
                    people.remove(person)?;
                    change.open_table(NAMES)?.remove(name.as_str())?;
                } else {
                    people.insert(person, (name.as_str(), count - 1))?;
                }
            }
            Ok(())
        })
    }

    /// Gives a person another name. With `merge` their faces go to the person who has that name already, if there is one.
    ///
    /// # Errors
    /// [`Error::Data`] where there is no such person, or another one has the name and they are not to be merged.
    pub fn rename(&mut self, old: &str, new: &str, merge: bool) -> Result<()> {
        let path = self.path.clone();
        self.change(|change| {
            let (old, new) = (person_name(old)?, person_name(new)?);
            let (old, new) = (old.as_str(), new.as_str());
            let (mut names, mut people) = (change.open_table(NAMES)?, change.open_table(PEOPLE)?);
            let Some(person) = names.get(old)?.map(|person| person.value()) else {
                return Err(nobody(&path, old).into());
            };
            let other = names.get(new)?.map(|person| person.value());
            if old == new {
                return Ok(());
            }
            if other.is_some() && !merge {
                let message = format!(
                    "{} has somebody named {} already; with `merge` the faces of both become one person's",
                    path.display(),
                    shown(new)
                );
                return Err(Error::Data(message).into());
            }
            names.remove(old)?;
            let (_, count) = owned(people.get(person)?);
            let Some(other) = other else {
                names.insert(new, person)?;
                people.insert(person, (new, count))?;
                return Ok(());
            };
            let (_, more) = owned(people.get(other)?);
            people.remove(person)?;
            people.insert(other, (new, count + more))?;
            let (mut vectors, faces) = (change.open_table(VECTORS)?, faces_of(change, person)?);
            let mut faces_of = change.open_table(FACES_OF)?;
            for face in faces {
                let row = vectors.get(face)?.map(|row| row.value().1.to_vec()).unwrap_or_default();
                vectors.insert(face, (other, &row[..]))?;
                faces_of.remove((person, face))?;
                faces_of.insert((other, face), ())?;
            }
            Ok(())
        })
    }

    /// An embedding as the file keeps it.
    fn bytes_of(&self, face: &NewFace<'_>) -> Result<Vec<u8>> {
        let About { vectors, model, .. } = &self.about;
        let embedding = face.embedding;
        if embedding.len() != model.dimensions as usize {
            let message = format!("expected {} dimensions, got {}", model.dimensions, embedding.len());
            return Err(Error::shape("gallery", format!("{}: {message}", shown(face.source))));
        }
        if let Some(fault) = fault_of(embedding, model.unit_length) {
            return Err(Error::NotFinite(format!("the embedding of {} {fault}", shown(face.source))));
        }
        Ok(match vectors {
            VectorKind::Bytes => {
                let bytes = ByteVectors::quantise(embedding, embedding.len())?;
                bytes.row(0).iter().map(|x| x.cast_unsigned()).collect()
            }
            VectorKind::Floats => embedding.iter().flat_map(|x| x.to_le_bytes()).collect(),
        })
    }

    /// Makes a change: all of it, or none where it fails.
    fn change<T>(&mut self, make: impl FnOnce(&WriteTransaction) -> Result<T, Fault>) -> Result<T> {
        let Store::Write(database) = &self.store else {
            return Err(Error::Data(format!("{} was opened to be read only", self.path.display())));
        };
        let run = || -> Result<T, Fault> {
            let mut change = database.begin_write()?;
            // A program that is killed leaves nothing that the next one would have to repair.
            change.set_quick_repair(true);
            let made = make(&change)?;
            change.commit()?;
            Ok(made)
        };
        guarded(&self.path, run)
    }
}

fn faces_of(change: &WriteTransaction, person: u64) -> Result<Vec<u64>, Fault> {
    let table = change.open_table(FACES_OF)?;
    let faces = table.range((person, 0)..=(person, u64::MAX))?;
    faces.map(|entry| Ok(entry?.0.value().1)).collect()
}

fn remove_face(change: &WriteTransaction, person: u64, face: u64) -> Result<(), Fault> {
    change.open_table(VECTORS)?.remove(face)?;
    change.open_table(FACES_OF)?.remove((person, face))?;
    let content = change.open_table(SOURCES)?.remove(face)?.map(|source| *source.value().1);
    if let Some(content) = content {
        change.open_table(CONTENTS)?.remove(&content)?;
    }
    Ok(())
}

/// What stands for the content of a face that comes from no file.
fn content_of(embedding: &[f32]) -> [u8; 32] {
    let mut digest = Digest::default();
    digest.bytes(bytemuck::cast_slice(embedding));
    digest.sum()
}
