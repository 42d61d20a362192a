//! Finding the images that a list of pairs names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use unicode_normalization::UnicodeNormalization;

use crate::data::folder::is_readable;
use crate::text::{listed, shown};

/// An image as a list of pairs names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ImageName {
    /// Image number `number`, from 1, in the folder of a person: LFW's `Name/Name_0001.jpg`.
    Numbered {
        /// The person; also the folder.
        person: String,
        /// Number of the image.
        number: u32,
    },
    /// A file below the folder of all people.
    File(String),
}

impl ImageName {
    /// What stands for the person on it: the person's name, or the file where that is all that is known.
    pub fn person(&self) -> &str {
        match self {
            Self::Numbered { person, .. } => person,
            Self::File(file) => file,
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered { person, number } => write!(f, "{} {number}", shown(person)),
            Self::File(path) => f.write_str(&shown(path)),
        }
    }
}

/// Whether a name from a list stays below the folder that it is looked for in.
pub(super) fn stays_below(name: &str) -> bool {
    Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Files of a person's folder: names and numbers of images.
type Listing = Arc<BTreeMap<u32, PathBuf>>;

/// A folder with the images of a list, a folder per person.
#[derive(Debug)]
pub struct Images {
    root: PathBuf,
    /// Folders that were listed.
    people: Mutex<BTreeMap<String, Listing>>,
    /// Folders whose names are spelled otherwise in Unicode's composed form, by that form: macOS takes names apart.
    spelled: OnceLock<BTreeMap<String, PathBuf>>,
}

impl Images {
    /// Looks below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), people: Mutex::default(), spelled: OnceLock::new() }
    }

    /// Where an image is. A numbered one may have any extension that can be read, in any case, a number with fewer zeros
    /// before it, and `_0` behind it, as alignment tools write it.
    ///
    /// # Errors
    /// It is not there; the sentence says what is.
    pub fn find(&self, name: &ImageName) -> Result<PathBuf, String> {
        let (person, number) = match name {
            ImageName::Numbered { person, number } => (person, *number),
            ImageName::File(path) => return Ok(self.root.join(path)),
        };
        // Most lists and folders are LFW's own.
        let usual = self.root.join(person).join(format!("{person}_{number:04}.jpg"));
        if usual.is_file() {
            return Ok(usual);
        }
        let images = self.listing(person);
        images.get(&number).cloned().ok_or_else(|| {
            let folder = self.folder(person);
            let found: Vec<String> =
                images.values().filter_map(|p| Some(p.file_name()?.to_string_lossy().into_owned())).collect();
            let is = match (folder.is_dir(), found.is_empty()) {
                (false, _) => "there is no such folder".to_string(),
                (true, true) => format!("none of its files is called like {}_0001.jpg", shown(person)),
                (true, false) => format!("there are {}", listed(&found)),
            };
            format!("{} has no image number {number}: {is}", folder.display())
        })
    }

    /// The folder of a person, however its name is spelled in Unicode.
    fn folder(&self, person: &str) -> PathBuf {
        let plain = self.root.join(person);
        if plain.is_dir() {
            return plain;
        }
        let spelled = self.spelled.get_or_init(|| {
            let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
            entries.filter_map(|entry| Some((composed(entry.file_name().to_str()?), entry.path()))).collect()
        });
        spelled.get(&composed(person)).cloned().unwrap_or(plain)
    }

    fn listing(&self, person: &str) -> Listing {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        let list = || {
            let files = std::fs::read_dir(self.folder(person)).into_iter().flatten().flatten();
            let mut paths: Vec<PathBuf> = files.map(|entry| entry.path()).filter(|path| is_readable(path)).collect();
            paths.sort();
            let mut numbers = BTreeMap::new();
            for path in paths {
                if let Some(number) = number_of(&path, person) {
                    numbers.entry(number).or_insert(path);
                }
            }
            Arc::new(numbers)
        };
        people.entry(person.to_string()).or_insert_with(list).clone()
    }
}

/// A name in Unicode's composed form (NFC).
fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// The number in `Name_0001`, `Name_1` or `Name_0001_0`.
fn number_of(path: &Path, person: &str) -> Option<u32> {
    let stem = composed(path.file_stem()?.to_str()?);
    let rest = stem.strip_prefix(&composed(person))?.strip_prefix('_')?;
    let digits = rest.strip_suffix("_0").unwrap_or(rest);
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_images_are_found_under_the_names_that_people_give_them() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("Ada Love")).unwrap();
        for (number, file) in
            ["Ada Love_0001.jpg", "Ada Love_0002.PNG", "Ada Love_3.jpeg", "Ada Love_0004_0.JPG"].into_iter().enumerate()
        {
            std::fs::write(dir.path().join("Ada Love").join(file), "").unwrap();
            let images = Images::new(dir.path());
            let name = ImageName::Numbered { person: "Ada Love".into(), number: u32::try_from(number).unwrap() + 1 };
            assert_eq!(images.find(&name).unwrap(), dir.path().join("Ada Love").join(file));
        }
        std::fs::write(dir.path().join("Ada Love/Ada Love_0005.txt"), "").unwrap();
        let images = Images::new(dir.path());
        let missing =
            |person: &str| images.find(&ImageName::Numbered { person: person.into(), number: 5 }).unwrap_err();
        assert!(
            missing("Ada Love").contains("there are Ada Love_0001.jpg, Ada Love_0002.PNG"),
            "{}",
            missing("Ada Love")
        );
        assert!(missing("Bob").contains("no such folder"));
        // As macOS writes it, and as a list has it.
        std::fs::create_dir(dir.path().join("Zoe\u{308}")).unwrap();
        std::fs::write(dir.path().join("Zoe\u{308}/Zoe\u{308}_0005.jpg"), "").unwrap();
        let zoe = Images::new(dir.path()).find(&ImageName::Numbered { person: "Zo\u{eb}".into(), number: 5 });
        assert!(zoe.unwrap().ends_with("Zoe\u{308}_0005.jpg"));
        std::fs::create_dir(dir.path().join("Eve")).unwrap();
        assert!(missing("Eve").contains("called like Eve_0001.jpg"));
    }

    #[test]
    fn names_that_leave_the_folder_are_seen() {
        assert!(stays_below("a/b.jpg") && stays_below("./a.jpg"));
        assert!(!stays_below("../a.jpg") && !stays_below("/etc/a.jpg") && !stays_below("a/../../b"));
    }
}
