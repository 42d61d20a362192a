//! The file of a gallery: people and faces in tables.

use std::path::{Path, PathBuf};

use redb::{ReadableTable, ReadableTableMetadata};
use serde::{Deserialize, Serialize};

use super::faces::{Faces, Vectors};
use super::open::{self, Fault, Store, guarded};
use super::tables::{ABOUT, ABOUT_KEY, CONTENTS, FACES_OF, FORMAT, NAMES, NEXT, PEOPLE, SOURCES, VECTORS};
use super::{EmbeddingModel, VectorKind, person_name};
use crate::text::shown;
use crate::weights::temporary;
use crate::{Error, Result};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct About {
    format: u32,
    pub(super) vectors: VectorKind,
    pub(super) model: EmbeddingModel,
}

/// A person of a gallery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their name.
    pub name: String,
    /// Their faces.
    pub faces: u64,
}

/// A face of a gallery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    /// Its number, which no other face gets.
    pub id: u64,
    /// The name of its person.
    pub person: String,
    /// The file that it comes from.
    pub source: String,
}

/// A file of people and their faces' embeddings. Every change is on the disk when the method that makes it returns, or it is
/// not made at all.
#[derive(Debug)]
pub struct Gallery {
    pub(super) path: PathBuf,
    pub(super) store: Store,
    pub(super) about: About,
}

impl Gallery {
    /// Makes an empty gallery for embeddings of a model.
    ///
    /// # Errors
    /// [`Error::Data`] where the file exists, [`Error::Setting`] for bytes of embeddings that have no unit length,
    /// [`Error::Io`] where it cannot be written.
    pub fn create(path: &Path, model: &EmbeddingModel, vectors: VectorKind) -> Result<Self> {
        let exists = || {
            Error::Data(format!(
                "{} exists already; add to it with `facenet-gpu gallery add`, or give another path",
                path.display()
            ))
        };
        if path.exists() {
            return Err(exists());
        }
        if vectors == VectorKind::Bytes && !model.unit_length {
            return Err(Error::Setting(format!(
                "`vectors` bytes keep the direction of an embedding alone, and those of {model} also differ in length; give floats"
            )));
        }
        let about = About { format: FORMAT, vectors, model: model.clone() };
        // It appears whole or not at all.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = temporary(folder).map_err(Error::io("create", path))?;
        let write = || -> Result<(), Fault> {
            let database = open::create(file.reopen().map_err(Error::io("create", path))?)?;
            let change = database.begin_write()?;
            let text = serde_json::to_string(&about).expect("it is plain data");
            change.open_table(ABOUT)?.insert(ABOUT_KEY, text.as_str())?;
            change.open_table(NEXT)?;
            change.open_table(PEOPLE)?;
            change.open_table(NAMES)?;
            change.open_table(VECTORS)?;
            change.open_table(SOURCES)?;
            change.open_table(CONTENTS)?;
            change.open_table(FACES_OF)?;
            Ok(change.commit()?)
        };
        write().map_err(|fault| fault.about(path))?;
        file.persist_noclobber(path).map_err(|e| match e.error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(),
            _ => Error::io("create", path)(e.error),
        })?;
        crate::weights::sync_folder(folder);
        Self::open(path)
    }

    /// Opens a gallery to change it. Until it is dropped, nobody else can open it.
    ///
    /// # Errors
    /// [`Error::Data`] where there is no such file, it is no gallery, is cut short or damaged, or another program has it
    /// open; [`Error::Io`] where it may not be written.
    pub fn open(path: &Path) -> Result<Self> {
        Self::with_store(path, Store::write(path)?)
    }

    /// Opens a gallery to read it. Others may read it, too; nobody can change it until it is dropped.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_read_only(path: &Path) -> Result<Self> {
        Self::with_store(path, Store::read(path)?)
    }

    fn with_store(path: &Path, store: Store) -> Result<Self> {
        let read = || -> Result<Option<String>, Fault> {
            let table = store.begin_read()?.open_table(ABOUT)?;
            Ok(table.get(ABOUT_KEY)?.map(|text| text.value().to_string()))
        };
        let text = guarded(path, read)?.unwrap_or_default();
        let format = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|about| about["format"].as_u64());
        let about = serde_json::from_str(&text).ok().filter(|about: &About| about.format == FORMAT);
        let about = about.ok_or_else(|| {
            let path = path.display();
            Error::Data(match format {
                Some(format) if format > u64::from(FORMAT) => {
                    format!("{path} has format {format} of galleries, this version reads {FORMAT}; update facenet-gpu")
                }
                _ => format!("{path} is a database of another program and no gallery"),
            })
        })?;
        Ok(Self { path: path.to_path_buf(), store, about })
    }

    /// The model of its embeddings.
    pub fn model(&self) -> &EmbeddingModel {
        &self.about.model
    }

    /// How it keeps embeddings.
    pub fn vectors(&self) -> VectorKind {
        self.about.vectors
    }

    /// Checks that embeddings of `model` can be compared with those of the gallery.
    ///
    /// # Errors
    /// [`Error::Data`] with the names of both models.
    pub fn check_model(&self, model: &EmbeddingModel) -> Result<()> {
        let own = &self.about.model;
        if own.id == model.id && own.dimensions == model.dimensions {
            return Ok(());
        }
        Err(Error::Data(format!(
            "{} holds embeddings of {own}, which cannot be compared with those of {model}; give the weights of the gallery, \
             or make another gallery",
            self.path.display()
        )))
    }

    /// Who the faces with these contents are of, as far as they are in the gallery.
    ///
    /// # Errors
    /// [`Error::Data`] where the file is damaged.
    pub fn known(&self, contents: &[[u8; 32]]) -> Result<Vec<Option<String>>> {
        self.read(|view| {
            let (known, vectors, people) =
                (view.open_table(CONTENTS)?, view.open_table(VECTORS)?, view.open_table(PEOPLE)?);
            let owner = |content: &[u8; 32]| -> Result<Option<String>, Fault> {
                let Some(id) = known.get(content)? else { return Ok(None) };
                let person = vectors.get(id.value())?.map(|row| row.value().0);
                let person = people.get(person.unwrap_or_default())?;
                Ok(person.map(|person| person.value().0.to_string()))
            };
            contents.iter().map(owner).collect()
        })
    }

    /// All people, by name.
    ///
    /// # Errors
    /// [`Error::Data`] where the file is damaged.
    pub fn people(&self) -> Result<Vec<Person>> {
        self.read(|view| {
            let people = view.open_table(PEOPLE)?;
            let person =
                |entry: Result<(_, redb::AccessGuard<'_, (&str, u64)>), redb::StorageError>| -> Result<Person, Fault> {
                    let (name, faces) = owned(Some(entry?.1));
                    Ok(Person { name, faces })
                };
            let mut people = people.iter()?.map(person).collect::<Result<Vec<_>, Fault>>()?;
            people.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(people)
        })
    }

    /// The faces of a person, in the order in which they were added.
    ///
    /// # Errors
    /// [`Error::Data`] where there is no such person, or the file is damaged.
    pub fn faces(&self, name: &str) -> Result<Vec<Face>> {
        self.read(|view| {
            let name = person_name(name)?;
            let Some(person) = view.open_table(NAMES)?.get(&*name)?.map(|person| person.value()) else {
                return Err(nobody(&self.path, &name).into());
            };
            let (sources, faces_of) = (view.open_table(SOURCES)?, view.open_table(FACES_OF)?);
            let face =
                |entry: Result<(redb::AccessGuard<'_, (u64, u64)>, _), redb::StorageError>| -> Result<Face, Fault> {
                    let id = entry?.0.value().1;
                    let source = sources.get(id)?.map_or(String::new(), |source| source.value().0.to_string());
                    Ok(Face { id, person: name.to_string(), source })
                };
            faces_of.range((person, 0)..=(person, u64::MAX))?.map(face).collect()
        })
    }

    /// Number of faces.
    ///
    /// # Errors
    /// [`Error::Data`] where the file is damaged.
    pub fn len(&self) -> Result<u64> {
        self.read(|view| Ok(view.open_table(VECTORS)?.len()?))
    }

    /// Whether it holds no face.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Brings all embeddings into memory, one behind the other. The gallery is not needed any more then.
    ///
    /// # Errors
    /// [`Error::Data`] where the gallery is empty or the file is damaged.
    pub fn load(&self) -> Result<Faces> {
        let About { vectors: kind, model, .. } = &self.about;
        let damaged = || Error::Data(format!("{} is damaged; restore it from a copy", self.path.display()));
        self.read(|view| {
            let (people, rows) = (view.open_table(PEOPLE)?, view.open_table(VECTORS)?);
            let count = usize::try_from(rows.len()?).map_err(|_| damaged())?;
            if count == 0 {
                let path = self.path.display();
                return Err(
                    Error::Data(format!("{path} holds no face; add some with `facenet-gpu gallery add`")).into()
                );
            }
            let mut names = Vec::new();
            let mut places = std::collections::HashMap::new();
            for entry in people.iter()? {
                let (person, about) = entry?;
                places.insert(person.value(), u32::try_from(names.len()).map_err(|_| damaged())?);
                names.push(about.value().0.to_string());
            }
            let mut vectors = Vectors::new(*kind, model.dimensions, count)?;
            let (mut ids, mut owners) = (Vec::with_capacity(count), Vec::with_capacity(count));
            for entry in rows.iter()? {
                let (id, row) = entry?;
                let (person, row) = row.value();
                vectors.push(row).map_err(|_| damaged())?;
                owners.push(*places.get(&person).ok_or_else(damaged)?);
                ids.push(id.value());
            }
            Ok(Faces { model: model.clone(), vectors, names, owners, ids })
        })
    }

    fn read<T>(&self, read: impl FnOnce(&redb::ReadTransaction) -> Result<T, Fault>) -> Result<T> {
        guarded(&self.path, || read(&self.store.begin_read()?))
    }
}

/// The error of a name that nobody has.
pub(super) fn nobody(path: &Path, name: &str) -> Error {
    Error::Data(format!(
        "{} has nobody named {}; `facenet-gpu gallery list` shows who is there",
        path.display(),
        shown(name)
    ))
}

/// Name and faces of a person.
pub(super) fn owned(person: Option<redb::AccessGuard<'_, (&str, u64)>>) -> (String, u64) {
    person.map_or_else(Default::default, |person| {
        let (name, faces) = person.value();
        (name.to_string(), faces)
    })
}
