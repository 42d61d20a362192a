//! Opening the database of a gallery, and what its errors mean.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Builder, Database, DatabaseError, ReadOnlyDatabase, ReadTransaction, ReadableDatabase};

use crate::{Error, Result};

/// Memory for pages of the file.
const CACHE: usize = 64 << 20;

/// A database, for writing or for reading only.
pub(super) enum Store {
    Write(Database),
    Read(ReadOnlyDatabase),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Write(_)) { "Write" } else { "Read" })
    }
}

impl Store {
    /// Opens a database to write it. Nobody else has it open then.
    pub(super) fn write(path: &Path) -> Result<Self> {
        check_length(path)?;
        guarded(path, || Ok(Self::Write(builder().open(path)?)))
    }

    /// Opens a database to read it. Others may read it, too.
    pub(super) fn read(path: &Path) -> Result<Self> {
        check_length(path)?;
        let open = || builder().open_read_only(path);
        guarded(path, || {
            let opened = match open() {
                // A program was ended in the middle of a change: only who may write can undo it.
                Err(DatabaseError::RepairAborted) => {
                    drop(Self::write(path)?);
                    open()
                }
                opened => opened,
            };
            Ok(Self::Read(opened?))
        })
    }

    /// A view of the database as it is now.
    pub(super) fn begin_read(&self) -> std::result::Result<ReadTransaction, Fault> {
        Ok(match self {
            Self::Write(database) => database.begin_read()?,
            Self::Read(database) => database.begin_read()?,
        })
    }
}

/// Runs what reads or changes the gallery `path`. The database panics at some damaged files; that is no reason to end.
pub(super) fn guarded<T>(path: &Path, run: impl FnOnce() -> std::result::Result<T, Fault>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done.map_err(|fault| fault.about(path)),
        Err(_) => Err(Error::Data(format!("{} is damaged; restore it from a copy", path.display()))),
    }
}

/// Makes an empty database in a file, which is empty as well.
pub(super) fn create(file: File) -> std::result::Result<Database, Fault> {
    Ok(builder().create_file(file)?)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}

/// Refuses a file that is shorter than its header says, which `redb` takes for granted that it is not. The header is that
/// of redb's documented file format: 9 bytes that are always the same, 3 others, then numbers of 32 bits: bytes of a page,
/// pages of a region's header, most pages of a region, regions that are full, pages of the last region.
fn check_length(path: &Path) -> Result<()> {
    const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
    let mut file = File::open(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::Data(format!(
            "there is no gallery {}; check the path, or make one with `facenet-gpu gallery create`",
            path.display()
        )),
        _ => Error::io("read", path)(e),
    })?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let mut header = Vec::new();
    file.by_ref().take(32).read_to_end(&mut header).map_err(Error::io("read", path))?;
    if !header.starts_with(&MAGIC[..MAGIC.len().min(header.len())]) || header.is_empty() {
        let what = if header.is_empty() { "is empty" } else { "is no gallery" };
        return Err(Error::Data(format!(
            "{} {what}; give a file that `facenet-gpu gallery create` made",
            path.display()
        )));
    }
    let number = |at: usize| {
        header.get(at..at + 4).map(|bytes| u64::from(u32::from_le_bytes(bytes.try_into().unwrap_or_default())))
    };
    let numbers = [12, 16, 20, 24, 28].map(number);
    let expected = match numbers {
        [Some(page), Some(head), Some(most), Some(full), Some(last)] => {
            let last = if last > 0 { head + last } else { 0 };
            page.checked_mul(1 + full * (head + most) + last)
        }
        _ => None,
    };
    if expected.is_none_or(|expected| length < expected) {
        let of = expected.map_or(String::new(), |expected| format!(" of {expected}"));
        return Err(Error::Data(format!(
            "{} is cut short: it has {length}{of} bytes; restore it from a copy",
            path.display()
        )));
    }
    Ok(())
}

/// What went wrong inside of a transaction.
pub(super) enum Fault {
    Store(redb::Error),
    Ours(Error),
}

impl Fault {
    /// The error about the gallery `path`.
    pub(super) fn about(self, path: &Path) -> Error {
        match self {
            Self::Store(e) => explain(path, e),
            Self::Ours(e) => e,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

macro_rules! faults {
    ($($error:ident)*) => {
        $(impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                Self::Store(error.into())
            }
        })*
    };
}
faults!(CommitError DatabaseError StorageError TableError TransactionError SetDurabilityError);

/// An error of the database in our words.
fn explain(path: &Path, error: redb::Error) -> Error {
    let path_text = path.display();
    Error::Data(match error {
        redb::Error::DatabaseAlreadyOpen => {
            format!("{path_text} is in use by another program, which may be writing it; try again when that has ended")
        }
        redb::Error::Io(e) if e.kind() == ErrorKind::InvalidData => format!("{path_text} is no gallery"),
        redb::Error::Io(e) => return Error::io("read or write", path)(e),
        redb::Error::UpgradeRequired(version) => {
            format!("{path_text} has the older format {version} of databases, which this version does not read")
        }
        redb::Error::TableDoesNotExist(_) | redb::Error::TableTypeMismatch { .. } => {
            format!("{path_text} is a database of another program and no gallery")
        }
        // What the database says of its pages helps nobody.
        _ => format!("{path_text} is damaged; restore it from a copy"),
    })
}
