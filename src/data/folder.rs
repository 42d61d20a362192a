//! Finding people and their images in a folder.
//!
//! A person is a folder that directly holds images; all folders below it belong to that person. A folder without
//! images of its own is only a container, so `data/train/ann/1.jpg` and `data/ann/1.jpg` both work.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::skipped::SkippedImage;
use crate::{Error, Result};

/// Extensions of the formats that can be read, in lower case. The content decides about the format later.
const READABLE: [&str; 13] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "pgm", "ppm", "pbm", "pnm", "pam"];

/// Extensions of images that people do have but this crate cannot read: worth a row instead of silence.
const UNREADABLE: [&str; 8] = ["gif", "tif", "tiff", "heic", "heif", "avif", "jxl", "jp2"];

/// Names that operating systems and storage boxes leave behind.
const LITTER: [&str; 4] = ["Thumbs.db", "desktop.ini", "__MACOSX", "@eaDir"];

/// One person's images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonFolder {
    /// Path of the person's folder relative to the root, with `/` between its parts.
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
    /// Images and folders that were left out: images that lie directly in the root and so belong to no one, formats
    /// that cannot be read, folders without permission, links to folders that were read already.
    pub skipped: Vec<SkippedImage>,
    /// Number of files that are no images.
    pub ignored: usize,
}

impl FaceFolder {
    /// Lists the people and images below `dir`. Hidden files and folders are passed over; links are followed, each
    /// folder once.
    ///
    /// # Errors
    /// [`Error::Io`] where `dir` cannot be read; [`Error::Data`] where it is no folder or holds no person's image.
    pub fn scan(dir: impl AsRef<Path>) -> Result<Self> {
        let root = dir.as_ref();
        let real = root.canonicalize().map_err(Error::io("read", root))?;
        if !real.is_dir() {
            return Err(Error::Data(format!("{} is a file; give the folder that holds it", root.display())));
        }
        let empty = Self { root: root.to_path_buf(), people: Vec::new(), skipped: Vec::new(), ignored: 0 };
        let mut scan = Scan { real, seen: HashSet::new(), strays: 0, found: empty };
        let listing = std::fs::read_dir(root).map_err(Error::io("read", root))?;
        scan.visit(root, listing, None);
        let Scan { mut found, strays, .. } = scan;
        if found.people.is_empty() {
            return Err(found.nobody(strays));
        }
        for person in &mut found.people {
            person.images.sort();
        }
        found.people.sort_by(|a, b| a.name.cmp(&b.name));
        found.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Number of image files of all people.
    pub fn image_count(&self) -> usize {
        self.people.iter().map(|person| person.images.len()).sum()
    }

    /// The error of a folder without people: what was found, what is expected.
    fn nobody(&self, strays: usize) -> Error {
        let root = self.root.display();
        let found = if strays > 0 {
            format!("holds {strays} images directly, so it is not known who is on them")
        } else if let Some(row) = self.skipped.first() {
            format!("holds no image that can be read ({} {})", row.path.display(), row.reason)
        } else if self.ignored > 0 {
            format!("holds no images, only {} other files", self.ignored)
        } else {
            "is empty".to_owned()
        };
        Error::Data(format!(
            "{root} {found}; make one folder per person, as in {root}/ANN/1.jpg, with JPEG, PNG, WebP, BMP or PGM images"
        ))
    }
}

/// A scan under way.
struct Scan {
    /// The root with all links resolved.
    real: PathBuf,
    /// Folders that were read, with all links resolved: a loop of links ends here.
    seen: HashSet<PathBuf>,
    /// Readable images directly in the root.
    strays: usize,
    found: FaceFolder,
}

impl Scan {
    fn skip(&mut self, path: &Path, reason: impl Into<String>) {
        self.found.skipped.push(SkippedImage { path: path.to_path_buf(), reason: reason.into() });
    }

    /// Reads one folder and those below it. `owner` is the person whose folder lies above, if there is one.
    fn visit(&mut self, dir: &Path, listing: std::fs::ReadDir, owner: Option<usize>) {
        if let Ok(real) = dir.canonicalize() {
            // A link to a folder above the root would bring in everything beside the root.
            let above = real != self.real && self.real.starts_with(&real);
            if above || !self.seen.insert(real) {
                self.skip(dir, "is a link to a folder that is read already");
                return;
            }
        }
        let (mut folders, mut images) = (Vec::new(), Vec::new());
        for entry in listing {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) => {
                    self.skip(dir, format!("cannot be listed completely: {error}"));
                    continue;
                }
            };
            if is_hidden(&path) {
                continue;
            }
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => folders.push(path),
                Ok(meta) if meta.is_file() && has_extension(&path, &READABLE) => images.push(path),
                Ok(meta) if meta.is_file() && has_extension(&path, &UNREADABLE) => {
                    self.skip(&path, "is in a format that cannot be read; convert it to JPEG or PNG");
                }
                Ok(_) => self.found.ignored += 1,
                Err(error) => self.skip(&path, format!("cannot be read: {error}")),
            }
        }
        let owner = self.assign(dir, images, owner);
        folders.sort();
        for folder in folders {
            match std::fs::read_dir(&folder) {
                Ok(listing) => self.visit(&folder, listing, owner),
                Err(error) => self.skip(&folder, format!("cannot be read: {error}")),
            }
        }
    }

    /// Gives `images` of `dir` to their person and returns who owns the folders below.
    fn assign(&mut self, dir: &Path, images: Vec<PathBuf>, owner: Option<usize>) -> Option<usize> {
        if images.is_empty() {
            return owner;
        }
        if dir == self.found.root {
            self.strays = images.len();
            for image in &images {
                self.skip(image, "lies beside the people's folders, so it belongs to no one; move it into one");
            }
            return None;
        }
        let owner = owner.unwrap_or_else(|| {
            let relative = dir.strip_prefix(&self.found.root).unwrap_or(dir);
            let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            self.found.people.push(PersonFolder { name: parts.join("/"), images: Vec::new() });
            self.found.people.len() - 1
        });
        self.found.people[owner].images.extend(images);
        Some(owner)
    }
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || LITTER.contains(&name.as_ref())
}

fn has_extension(path: &Path, list: &[&str]) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    list.contains(&extension.as_str())
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
        assert_eq!(names, ["test/ann", "train/ann", "train/bob"]);
    }

    #[test]
    fn hidden_files_and_folders_are_passed_over_and_other_files_are_counted() {
        let dir = tree(&["ann/1.jpg", "ann/._1.jpg", ".git/x.png", "__MACOSX/ann/1.jpg", "ann/Thumbs.db", "ann/n.txt"]);
        let folder = FaceFolder::scan(dir.path()).unwrap();
        assert_eq!(people(dir.path(), &folder), ["ann: ann/1.jpg"]);
        assert_eq!((folder.ignored, folder.skipped.len()), (1, 0));
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
    fn a_missing_folder_and_a_file_are_named() {
        let text = FaceFolder::scan("/no/such/folder").unwrap_err().to_string();
        assert!(text.starts_with("cannot read /no/such/folder:"), "{text}");
        let dir = tree(&["a.jpg"]);
        let text = FaceFolder::scan(dir.path().join("a.jpg")).unwrap_err().to_string();
        assert!(text.contains("a.jpg is a file; give the folder"), "{text}");
    }
}
