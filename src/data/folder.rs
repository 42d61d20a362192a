//! Finding people and their images in a folder.
//!
//! The folders that hold images are people, or sessions of people, or parts of a data set: [`Layout`] says which, and
//! [`FaceFolder::understood`] what was made of it.

mod layout;
#[cfg(feature = "program")]
mod list;
mod tree;

use std::path::{Path, PathBuf};

pub use self::layout::Layout;
use self::tree::Tree;
pub(crate) use self::tree::is_readable;
use super::skipped::SkippedImage;
use crate::text::{counted, listed, shown};
use crate::{Error, Result};

/// All images in a folder and below, sorted, and what was left out because it cannot be read.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn files_below(root: &Path) -> Result<(Vec<PathBuf>, Vec<SkippedImage>)> {
    let real = root.canonicalize().map_err(Error::io("read", root))?;
    let (tree, skipped, _) = Tree::read(root, real)?;
    Ok((tree.all_images(), skipped))
}

/// One person's images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonFolder {
    /// The person's name: that of their folder, or its path below the root, with `/` between its parts.
    pub name: String,
    /// The images, sorted by path.
    pub images: Vec<PathBuf>,
}

/// What a folder of faces holds, by name only: nothing is decoded yet.
#[derive(Clone, Debug)]
pub struct FaceFolder {
    /// The folder that was scanned.
    pub root: PathBuf,
    /// People with at least one image file, sorted by name.
    pub people: Vec<PersonFolder>,
    /// Images and folders that were left out: images that lie beside people's folders and so belong to no one, formats
    /// that cannot be read, folders without permission, links to folders that were read already.
    pub skipped: Vec<SkippedImage>,
    /// Files that are no images.
    pub ignored: Vec<PathBuf>,
    /// What the folders were taken for, with examples, unless each folder right below the root is a person.
    pub understood: Option<String>,
    /// Folders that hold files but gave nobody, by their paths below the root.
    pub nobody: Vec<String>,
    /// People whom the data themselves hold out for measuring, by name.
    pub reserved: Vec<String>,
}

impl FaceFolder {
    /// Lists the people and images below `dir`, read as [`Layout::Auto`] does.
    ///
    /// # Errors
    /// As [`scan_as`](Self::scan_as).
    pub fn scan(dir: impl AsRef<Path>) -> Result<Self> {
        Self::scan_as(dir, Layout::Auto)
    }

    /// Lists the people and images below `dir`. Hidden files and folders are passed over; links are followed, each folder
    /// once. With the feature `program`, `dir` may also be a list (`.csv`, `.tsv`, `.txt`, `.lst`) with a line for each
    /// image: its path, its person, and perhaps `train` or `val`.
    ///
    /// # Errors
    /// [`Error::Io`] where `dir` cannot be read; [`Error::Data`] where it is no folder or holds no person's image.
    pub fn scan_as(dir: impl AsRef<Path>, layout: Layout) -> Result<Self> {
        let root = dir.as_ref();
        let real = root.canonicalize().map_err(Error::io("read", root))?;
        #[cfg(feature = "program")]
        if real.is_file() && list::is_list(root) {
            return list::read(root);
        }
        if !real.is_dir() {
            return Err(Error::Data(format!("{} is a file; {}", root.display(), instead(root))));
        }
        let (tree, mut skipped, ignored) = Tree::read(root, real)?;
        let mut nobody = Vec::new();
        tree.without_images("", &mut nobody);
        let strays = tree.images.len();
        let read = layout::people(&tree, layout);
        skipped.extend(read.strays.into_iter().map(|path| SkippedImage {
            path,
            reason: "lies beside the people's folders, so it belongs to no one; move it into one".to_string(),
        }));
        skipped.sort_by(|a, b| a.path.cmp(&b.path));
        let (people, understood, reserved) = (read.people, read.understood, read.reserved);
        let found = Self { root: root.to_path_buf(), people, skipped, ignored, understood, nobody, reserved };
        if found.people.is_empty() { Err(found.no_people(strays)) } else { Ok(found) }
    }

    /// Adds the people of another folder, to be held out for measuring. Those who are in both stay with this one alone;
    /// returns their names.
    ///
    /// # Errors
    /// [`Error::Data`] where everybody is in both.
    pub fn hold_out(&mut self, other: Self) -> Result<Vec<String>> {
        let known: std::collections::BTreeSet<String> = self.people.iter().map(|p| p.name.clone()).collect();
        let (twice, new): (Vec<_>, Vec<_>) = other.people.into_iter().partition(|p| known.contains(&p.name));
        let twice: Vec<String> = twice.into_iter().map(|person| person.name).collect();
        if new.is_empty() {
            return Err(Error::Data(format!(
                "everybody in {} is in {}, too ({}); people to measure on must not be trained on",
                other.root.display(),
                self.root.display(),
                listed(&twice)
            )));
        }
        self.reserved = new.iter().map(|person| person.name.clone()).collect();
        self.people.extend(new);
        self.people.sort_by(|a, b| a.name.cmp(&b.name));
        self.skipped.extend(other.skipped);
        self.ignored.extend(other.ignored);
        self.nobody.extend(other.nobody);
        Ok(twice)
    }

    /// Number of image files of all people.
    pub fn image_count(&self) -> usize {
        self.people.iter().map(|person| person.images.len()).sum()
    }

    /// What a user should know of the folder, a sentence each.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.ignored.is_empty() {
            let below = |path: &PathBuf| path.strip_prefix(&self.root).unwrap_or(path).display().to_string();
            let mut files: Vec<String> = self.ignored.iter().map(below).collect();
            files.sort();
            remarks.push(match &files[..] {
                [file] => format!("1 file is no image and was left out: {}", shown(file)),
                files => format!("{} files are no images and were left out: {}", files.len(), listed(files)),
            });
        }
        if !self.nobody.is_empty() {
            let folders =
                if self.nobody.len() == 1 { "1 folder".into() } else { format!("{} folders", self.nobody.len()) };
            remarks.push(format!("{folders} gave nobody, having no image that can be read: {}", listed(&self.nobody)));
        }
        remarks
    }

    /// The error of a folder without people: what was found, what is expected.
    fn no_people(&self, strays: usize) -> Error {
        let root = self.root.display();
        let found = if strays > 0 {
            format!("holds {strays} images directly, so it is not known who is on them")
        } else if let Some(row) = self.skipped.first() {
            format!("holds no image that can be read ({} {})", row.path.display(), row.reason)
        } else if !self.ignored.is_empty() {
            format!("holds no images, only {}", counted(self.ignored.len(), "other file"))
        } else {
            "is empty".to_owned()
        };
        Error::Data(format!(
            "{root} {found}; make one folder per person, as in {root}/ANN/1.jpg, with JPEG, PNG, WebP, BMP or PGM images"
        ))
    }
}

/// What to give in place of a file.
fn instead(path: &Path) -> &'static str {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match extension.as_str() {
        "zip" | "tar" | "gz" | "tgz" | "bz2" | "xz" | "7z" | "rar" | "zst" => "unpack it and give the folder",
        _ => "give the folder that holds it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes empty files; scanning looks at names only.
    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        dir
    }

    /// People as "name: file file", files relative to the root.
    fn people(root: &Path, folder: &FaceFolder) -> Vec<String> {
        let file = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        let line =
            |p: &PersonFolder| format!("{}: {}", p.name, p.images.iter().map(file).collect::<Vec<_>>().join(" "));
        folder.people.iter().map(line).collect()
    }

    #[test]
    fn people_and_images_are_sorted_and_nested_folders_belong_to_the_person() {
        let dir = tree(&["bob/2.PNG", "bob/1.jpg", "ann/a.pgm", "ann/old/more/b.webp", "bob/0/z.bmp"]);
        let folder = FaceFolder::scan(dir.path()).unwrap();
        let expected = ["ann: ann/a.pgm ann/old/more/b.webp", "bob: bob/0/z.bmp bob/1.jpg bob/2.PNG"];
        assert_eq!(people(dir.path(), &folder), expected);
        assert_eq!(folder.image_count(), 5);
    }

    #[test]
    fn a_folder_without_images_of_its_own_is_only_a_container() {
        let dir = tree(&["train/ann/1.jpg", "train/bob/1.jpg", "train/list.txt", "test/ann/1.jpg"]);
        let folder = FaceFolder::scan(dir.path()).unwrap();
        let names: Vec<_> = folder.people.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["ann", "bob"]);
    }

    #[test]
    fn parts_without_a_common_person_hold_out_those_of_the_validation_part() {
        let dir = tree(&["train/ann/1.jpg", "train/bob/1.jpg", "val/carl/1.jpg", "val/dora/1.jpg"]);
        let folder = FaceFolder::scan(dir.path()).unwrap();
        assert_eq!(folder.reserved, ["carl", "dora"]);
        assert!(folder.understood.unwrap().contains("held out: carl, dora"));
        let leaves = FaceFolder::scan_as(dir.path(), Layout::Leaf).unwrap();
        assert_eq!((leaves.reserved.len(), leaves.people.len()), (0, 4));
        // One person in both, or no part to train on: no part is for measuring.
        for files in
            [&["train/ann/1.jpg", "val/ann/1.jpg", "val/bob/1.jpg"], &["a/ann/1.jpg", "a/bob/1.jpg", "val/eve/1.jpg"]]
        {
            assert_eq!(FaceFolder::scan(tree(files).path()).unwrap().reserved, [""; 0]);
        }
    }

    #[test]
    fn a_second_folder_is_held_out_without_those_who_are_in_both() {
        let (train, val) = (tree(&["ann/1.jpg", "bob/1.jpg"]), tree(&["bob/2.jpg", "eve/1.jpg", "eve/2.jpg"]));
        let mut folder = FaceFolder::scan(train.path()).unwrap();
        assert_eq!(folder.hold_out(FaceFolder::scan(val.path()).unwrap()).unwrap(), ["bob"]);
        let names: Vec<_> = folder.people.iter().map(|p| p.name.as_str()).collect();
        assert_eq!((names, folder.reserved.as_slice()), (vec!["ann", "bob", "eve"], &["eve".to_string()][..]));
        let same = FaceFolder::scan(train.path()).unwrap();
        assert!(folder.hold_out(same).unwrap_err().to_string().contains("everybody in"));
    }

    #[test]
    fn hidden_files_and_folders_are_passed_over_and_other_files_are_counted() {
        let dir = tree(&["ann/1.jpg", "ann/._1.jpg", ".git/x.png", "__MACOSX/ann/1.jpg", "ann/Thumbs.db", "ann/n.txt"]);
        let folder = FaceFolder::scan(dir.path()).unwrap();
        assert_eq!(people(dir.path(), &folder), ["ann: ann/1.jpg"]);
        assert_eq!((folder.ignored.len(), folder.skipped.len()), (1, 0));
    }

    #[test]
    fn images_beside_the_people_and_foreign_formats_get_a_row() {
        let dir = tree(&["ann/1.jpg", "group.jpg", "ann/2.heic"]);
        let folder = FaceFolder::scan(dir.path()).unwrap();
        assert_eq!(people(dir.path(), &folder), ["ann: ann/1.jpg"]);
        let rows: Vec<_> = folder.skipped.iter().map(|row| row.path.strip_prefix(dir.path()).unwrap()).collect();
        assert_eq!(rows, [Path::new("ann/2.heic"), Path::new("group.jpg")]);
        assert!(folder.skipped[0].reason.contains("convert it") && folder.skipped[1].reason.contains("move it"));
    }

    #[cfg(unix)]
    #[test]
    fn loops_of_links_end_and_no_folder_is_read_twice() {
        let dir = tree(&["data/ann/1.jpg", "beside/eve/1.jpg", "elsewhere/carl/1.jpg"]);
        let data = dir.path().join("data");
        let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
        link(data.clone(), data.join("ann/loop")).unwrap();
        link(dir.path().to_path_buf(), data.join("up")).unwrap();
        link(data.join("ann"), data.join("twin")).unwrap();
        link(dir.path().join("elsewhere/carl"), data.join("carl")).unwrap();
        let folder = FaceFolder::scan(&data).unwrap();
        assert_eq!(people(&data, &folder), ["ann: ann/1.jpg", "carl: carl/1.jpg"]);
        assert_eq!(folder.skipped.len(), 3);
    }

    fn refusal(files: &[&str]) -> String {
        FaceFolder::scan(tree(files).path()).unwrap_err().to_string()
    }

    #[test]
    fn folders_without_people_are_refused_with_what_was_found_and_what_is_expected() {
        for (files, found) in [
            (&[] as &[&str], "is empty;"),
            (&["ann/a.txt", "b.csv"], "holds no images, only 2 other files;"),
            (&["1.jpg", "2.jpg"], "holds 2 images directly"),
            (&["ann/a.heic"], "holds no image that can be read ("),
        ] {
            let text = refusal(files);
            assert!(text.contains(found) && text.contains("one folder per person"), "{text}");
        }
    }

    #[test]
    fn a_pgm_without_an_extension_is_an_image_and_a_text_that_begins_like_one_is_none() {
        let dir = tree(&["ann/1.jpg"]);
        std::fs::write(dir.path().join("ann/x"), b"P5\n8 8\n255\n".iter().copied().chain([7; 64]).collect::<Vec<u8>>())
            .unwrap();
        std::fs::write(dir.path().join("ann/notes"), "P5 is a format of images\n").unwrap();
        let folder = FaceFolder::scan(dir.path()).unwrap();
        assert_eq!(people(dir.path(), &folder), ["ann: ann/1.jpg ann/x"]);
        assert_eq!(folder.ignored.len(), 1);
    }

    #[test]
    fn files_without_a_known_extension_are_looked_into_and_folders_that_gave_nobody_are_named() {
        let dir = tree(&["ann/1.jpg", "bob/notes.txt", "eve/list", "eve/2.heic"]);
        image::RgbImage::new(2, 2).save(dir.path().join("ann/x.png")).unwrap();
        std::fs::create_dir(dir.path().join("carl")).unwrap();
        std::fs::rename(dir.path().join("ann/x.png"), dir.path().join("carl/img_1")).unwrap();
        let folder = FaceFolder::scan(dir.path()).unwrap();
        assert_eq!(people(dir.path(), &folder), ["ann: ann/1.jpg", "carl: carl/img_1"]);
        assert_eq!(folder.nobody, ["bob", "eve"]);
        let remarks = folder.remarks();
        assert!(remarks[0].starts_with("2 files are no images") && remarks[1].contains("2 folders gave nobody"));
        assert!(remarks[1].ends_with("bob, eve"), "{remarks:?}");
    }

    #[test]
    fn a_missing_folder_and_a_file_are_named() {
        let text = FaceFolder::scan("/no/such/folder").unwrap_err().to_string();
        assert!(text.starts_with("cannot read /no/such/folder:"), "{text}");
        let dir = tree(&["a.jpg"]);
        let text = FaceFolder::scan(dir.path().join("a.jpg")).unwrap_err().to_string();
        assert!(text.contains("a.jpg is a file; give the folder"), "{text}");
        let dir = tree(&["faces.zip"]);
        let text = FaceFolder::scan(dir.path().join("faces.zip")).unwrap_err().to_string();
        assert!(text.contains("faces.zip is a file; unpack it"), "{text}");
    }
}
