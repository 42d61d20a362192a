//! Which folders are people.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::PersonFolder;
use super::tree::Tree;

/// Which folders are people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Layout {
    /// As their names and numbers suggest: train/ada and val/ada are one person, ada/2019 and ada/2020 too
    #[default]
    Auto,
    /// Those right below the given folder, with everything in them
    Top,
    /// Those that hold images, each a person of its own
    Leaf,
}

/// Names of the parts of data sets.
const PARTS: [&str; 14] = [
    "train",
    "training",
    "val",
    "valid",
    "validation",
    "dev",
    "test",
    "testing",
    "eval",
    "gallery",
    "probe",
    "query",
    "images",
    "faces",
];

/// Those of them that are for training, and for measuring.
const FOR_TRAINING: [&str; 2] = ["train", "training"];
const FOR_MEASURING: [&str; 7] = ["val", "valid", "validation", "dev", "test", "testing", "eval"];

/// Names of what a person's folder is divided into.
const SESSIONS: [&str; 20] = [
    "frontal", "front", "profile", "left", "right", "up", "down", "side", "neutral", "smile", "glasses", "indoor",
    "outdoor", "day", "night", "old", "new", "raw", "cropped", "aligned",
];

/// People, and what the folders were taken for.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) people: Vec<PersonFolder>,
    /// Images that belong to no one.
    pub(super) strays: Vec<PathBuf>,
    pub(super) understood: Option<String>,
    /// People of a part that is for measuring, where nobody is in the other parts, too.
    pub(super) reserved: Vec<String>,
}

/// The people of a folder.
pub(super) fn people(root: &Tree, layout: Layout) -> Read {
    let mut read = Read { strays: root.images.clone(), ..Read::default() };
    let below: Vec<Found<'_>> = root.folders.iter().filter(|f| f.has_images()).map(|f| Found::new("", f)).collect();
    match layout {
        Layout::Top => below.iter().for_each(|found| read.person(&found.path, found.folder)),
        Layout::Leaf => below.iter().for_each(|found| read.leaves(found)),
        Layout::Auto => read.auto(below),
    }
    read.people.sort_by(|a, b| a.name.cmp(&b.name));
    read
}

/// A folder with its path below the root.
#[derive(Debug, Clone)]
struct Found<'a> {
    path: String,
    folder: &'a Tree,
}

impl<'a> Found<'a> {
    fn new(above: &str, folder: &'a Tree) -> Self {
        let path = if above.is_empty() { folder.name.clone() } else { format!("{above}/{}", folder.name) };
        Self { path, folder }
    }

    /// The folders in it that have images.
    fn below(&self) -> Vec<Self> {
        self.folder.folders.iter().filter(|f| f.has_images()).map(|f| Self::new(&self.path, f)).collect()
    }

    /// It has images of its own, and is no container with a stray among its people.
    fn is_person(&self) -> bool {
        let images = self.folder.images.len();
        let folders = self.below().len();
        images > 0 && !(folders > 1 && (images < folders || is_part(&self.folder.name)))
    }
}

fn is_part(name: &str) -> bool {
    PARTS.contains(&name.to_lowercase().as_str())
}

/// A name such as `2019`, `s1`, `session_2`, `frontal`.
fn is_session(name: &str) -> bool {
    is_numbered(name) || SESSIONS.contains(&name.to_lowercase().as_str())
}

/// A name such as `2019`, `001`, `s1`, `session_2`: a number tells a session as well as a person.
fn is_numbered(name: &str) -> bool {
    let lower = name.to_lowercase();
    let word = lower.trim_end_matches(|c: char| c.is_ascii_digit() || "-_. ".contains(c));
    word.is_empty()
        || ["s", "session", "shot", "set", "cam", "camera", "v", "video", "seq"].contains(&word) && word != lower
}

/// Folders below a folder from which on, on average, they are more likely people than sessions of one person.
const MANY: usize = 8;
/// Most folders that are containers of numbered people.
const CONTAINERS: usize = 5;

impl Read {
    fn person(&mut self, name: &str, folder: &Tree) {
        self.people.push(PersonFolder { name: name.to_string(), images: folder.all_images() });
    }

    /// Each folder that holds images is a person; folders below it belong to that person.
    fn leaves(&mut self, found: &Found<'_>) {
        match found.folder.images.is_empty() {
            true => found.below().iter().for_each(|found| self.leaves(found)),
            false => self.person(&found.path, found.folder),
        }
    }

    fn auto(&mut self, below: Vec<Found<'_>>) {
        let (own, others): (Vec<_>, Vec<_>) = below.into_iter().partition(Found::is_person);
        own.iter().for_each(|found| self.person(&found.path, found.folder));
        if others.is_empty() {
            return;
        }
        let inner: Vec<Found<'_>> = others.iter().flat_map(Found::below).collect();
        let named: Vec<&str> = others.iter().map(|found| found.folder.name.as_str()).collect();
        let parts = named.iter().all(|name| is_part(name));
        // Beside people with images of their own, the other folders are most likely people, too.
        let siblings = own.len() >= others.len() && inner.len() < MANY * others.len();
        if !parts && (siblings || are_sessions(&others, &inner)) {
            let examples = others.iter().take(2).map(|found| {
                let sessions: Vec<String> = found.below().iter().take(2).map(|f| f.path.clone()).collect();
                format!("{} ({})", found.path, sessions.join(", "))
            });
            let examples: Vec<String> = examples.collect();
            self.understood = Some(format!("the folders below a person are sessions: {}", examples.join(", ")));
            others.iter().for_each(|found| self.person(&found.path, found.folder));
            return;
        }
        // Containers: a person may be in several.
        self.strays.extend(others.iter().flat_map(|found| found.folder.images.clone()));
        let mut within = Self::default();
        within.auto(inner);
        self.strays.append(&mut within.strays);
        let mut merged: BTreeMap<String, (Vec<String>, Vec<PathBuf>)> = BTreeMap::new();
        for person in within.people {
            let last = person.name.rsplit('/').next().unwrap_or_default();
            // male/001 and female/001 are two people, train/001 and val/001 are one.
            let name = if parts || !is_numbered(last) { last.to_string() } else { person.name.clone() };
            let entry = merged.entry(name).or_default();
            entry.0.push(person.name);
            entry.1.extend(person.images);
        }
        let mut several = merged.iter().filter(|(_, (paths, _))| paths.len() > 1);
        let examples: Vec<String> =
            several.by_ref().take(2).map(|(name, (paths, _))| format!("{name} ({})", paths.join(", "))).collect();
        let names: BTreeSet<&str> = named.into_iter().collect();
        let of_part = |parts: &[&str], path: &str| path.split('/').any(|p| parts.contains(&p.to_lowercase().as_str()));
        let trains = names.iter().any(|part| of_part(&FOR_TRAINING, part));
        if examples.is_empty() && trains && own.is_empty() {
            let measuring = merged.iter().filter(|(_, (paths, _))| {
                paths.iter().any(|path| of_part(&FOR_MEASURING, path.rsplit_once('/').map_or("", |(above, _)| above)))
            });
            self.reserved = measuring.map(|(name, _)| name.clone()).collect();
        }
        let names: Vec<&str> = names.into_iter().collect();
        let parts = crate::text::listed(&names);
        let what = match examples.is_empty() {
            true if !self.reserved.is_empty() => {
                let held_out = crate::text::listed(&self.reserved);
                format!(
                    "the people are the folders in {parts}; those of the part for measuring are held out: {held_out}"
                )
            }
            true => {
                let people: Vec<&str> = merged.keys().take(2).map(String::as_str).collect();
                format!("the people are the folders in {parts}, such as {}", people.join(" and "))
            }
            false => {
                format!("the people are the folders in {parts}; equal names are one person: {}", examples.join(", "))
            }
        };
        self.understood = Some(within.understood.map_or(what.clone(), |inner| format!("{what}; {inner}")));
        for (name, (_, mut images)) in merged {
            images.sort();
            self.people.push(PersonFolder { name, images });
        }
    }
}

/// Whether the folders `inner` below `outer` are sessions of people, and not people in containers.
fn are_sessions(outer: &[Found<'_>], inner: &[Found<'_>]) -> bool {
    let names: BTreeSet<&str> = inner.iter().map(|found| found.folder.name.as_str()).collect();
    if names.iter().all(|name| is_session(name)) {
        let many = outer.len() <= CONTAINERS && inner.len() >= MANY * outer.len();
        return !(many && names.iter().all(|name| is_numbered(name)));
    }
    // The same few names below many folders, as in 500 times "morning" and "evening".
    outer.len() > 1 && 2 * inner.len() >= 3 * names.len() && names.len() <= outer.len()
}

#[cfg(test)]
mod tests {
    use super::super::FaceFolder;
    use super::*;

    /// People as "name: number of images", and what was understood.
    fn read(files: &[&str], layout: Layout) -> (Vec<String>, Option<String>, usize) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let folder = FaceFolder::scan_as(dir.path(), layout).unwrap();
        let people = folder.people.iter().map(|person| format!("{}: {}", person.name, person.images.len()));
        (people.collect(), folder.understood, folder.skipped.len())
    }

    #[test]
    fn equal_names_in_the_parts_of_a_data_set_are_one_person() {
        let files = ["train/ada/1.jpg", "train/bob/1.jpg", "val/ada/2.jpg", "val/ada/3.jpg", "val/eve/1.jpg"];
        let (people, understood, _) = read(&files, Layout::Auto);
        assert_eq!(people, ["ada: 3", "bob: 1", "eve: 1"]);
        let understood = understood.unwrap();
        assert!(understood.contains("equal names are one person: ada (train/ada, val/ada)"), "{understood}");
        assert_eq!(read(&files, Layout::Leaf).0, ["train/ada: 1", "train/bob: 1", "val/ada: 2", "val/eve: 1"]);
        assert_eq!(read(&files, Layout::Top).0, ["train: 2", "val: 3"]);
    }

    #[test]
    fn sessions_belong_to_the_person_above_them() {
        for sessions in [["2019", "2020"], ["frontal", "profile"], ["s1", "s2"], ["morning", "evening"]] {
            let files: Vec<String> = ["ada", "bob", "eve"]
                .iter()
                .flat_map(|person| sessions.map(|session| format!("{person}/{session}/1.jpg")))
                .collect();
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            let (people, understood, _) = read(&files, Layout::Auto);
            assert_eq!(people, ["ada: 2", "bob: 2", "eve: 2"], "{sessions:?}");
            assert!(understood.unwrap().contains("are sessions: ada (ada/"));
        }
        let both = ["train/ada/s1/1.jpg", "train/ada/s2/1.jpg", "train/bob/s1/1.jpg", "val/ada/s3/1.jpg"];
        assert_eq!(read(&both, Layout::Auto).0, ["ada: 3", "bob: 1"]);
    }

    #[test]
    fn few_folders_with_many_numbered_ones_are_containers_and_their_numbers_are_people_of_their_own() {
        let files: Vec<String> = ["female", "male"]
            .iter()
            .flat_map(|part| (1..=8).flat_map(move |person| [1, 2].map(|i| format!("{part}/{person:03}/{i}.jpg"))))
            .collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let (people, understood, _) = read(&files, Layout::Auto);
        assert_eq!((people.len(), people[0].as_str(), people[8].as_str()), (16, "female/001: 2", "male/001: 2"));
        assert!(understood.unwrap().contains("such as female/001"));
        let halves: Vec<String> =
            (1..=16).map(|s| format!("{}/s{s}/1.jpg", if s < 9 { "a-m" } else { "n-z" })).collect();
        let halves: Vec<&str> = halves.iter().map(String::as_str).collect();
        assert_eq!(read(&halves, Layout::Auto).0.len(), 16);
    }

    #[test]
    fn folders_beside_people_are_people_too() {
        let files = ["ada/1.jpg", "bob/1.jpg", "eve/beach/1.jpg", "eve/party/1.jpg"];
        let (people, understood, _) = read(&files, Layout::Auto);
        assert_eq!(people, ["ada: 1", "bob: 1", "eve: 2"]);
        assert!(understood.unwrap().contains("are sessions: eve (eve/beach, eve/party)"));
    }

    #[test]
    fn containers_of_any_name_hold_people() {
        let files = ["a-m/ada/1.jpg", "a-m/bob/1.jpg", "n-z/ned/1.jpg", "n-z/zoe/1.jpg"];
        let (people, understood, _) = read(&files, Layout::Auto);
        assert_eq!(people, ["ada: 1", "bob: 1", "ned: 1", "zoe: 1"]);
        assert!(understood.unwrap().contains("the people are the folders in a-m, n-z, such as ada and bob"));
        assert_eq!(read(&["lfw/ada/1.jpg", "lfw/bob/1.jpg"], Layout::Auto).0, ["ada: 1", "bob: 1"]);
    }

    #[test]
    fn a_stray_image_does_not_make_a_container_a_person() {
        let files = ["train/preview.jpg", "train/ada/1.jpg", "train/bob/1.jpg", "val/ada/2.jpg", "val/eve/1.jpg"];
        let (people, _, skipped) = read(&files, Layout::Auto);
        assert_eq!((people, skipped), (["ada: 2", "bob: 1", "eve: 1"].map(String::from).to_vec(), 1));
        let person = ["ada/1.jpg", "ada/2.jpg", "ada/3.jpg", "ada/old/4.jpg", "ada/new/5.jpg", "bob/1.jpg"];
        assert_eq!(read(&person, Layout::Auto).0, ["ada: 5", "bob: 1"]);
    }
}
