//! Folders and their images as they lie on the disk.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::data::decode::dimensions;
use crate::data::skipped::SkippedImage;
use crate::{Error, Result};

/// Extensions of the formats that can be read, in lower case. The content decides about the format later.
const READABLE: [&str; 13] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "pgm", "ppm", "pbm", "pnm", "pam"];

/// Extensions of images that people do have but this crate cannot read: worth a row instead of silence.
const UNREADABLE: [&str; 8] = ["gif", "tif", "tiff", "heic", "heif", "avif", "jxl", "jp2"];

/// Names that operating systems and storage boxes leave behind.
const LITTER: [&str; 4] = ["Thumbs.db", "desktop.ini", "__MACOSX", "@eaDir"];

/// Bytes that tell a format.
const MAGIC: usize = 16;

/// A folder.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) name: String,
    /// The images directly in it, sorted.
    pub(super) images: Vec<PathBuf>,
    /// The folders in it, sorted by name.
    pub(super) folders: Vec<Self>,
    /// There are files in it that are no images, or images that cannot be read.
    others: bool,
}

impl Tree {
    /// Reads a folder and everything below it. Returns what was left out, and the files that are no images.
    pub(super) fn read(root: &Path, real: PathBuf) -> Result<(Self, Vec<SkippedImage>, Vec<PathBuf>)> {
        let listing = std::fs::read_dir(root).map_err(Error::io("read", root))?;
        let mut scan = Scan { real, seen: HashSet::new(), skipped: Vec::new(), ignored: Vec::new() };
        let tree = scan.visit(root, listing);
        Ok((tree.unwrap_or_default(), scan.skipped, scan.ignored))
    }

    /// Whether there is an image in it or below.
    pub(super) fn has_images(&self) -> bool {
        !self.images.is_empty() || self.folders.iter().any(Self::has_images)
    }

    /// All images in it and below.
    pub(super) fn all_images(&self) -> Vec<PathBuf> {
        let below = self.folders.iter().flat_map(Self::all_images);
        let mut images: Vec<PathBuf> = self.images.iter().cloned().chain(below).collect();
        images.sort();
        images
    }

    /// Adds the folders below that hold files but have no image in them or below.
    pub(super) fn without_images(&self, path: &str, out: &mut Vec<String>) {
        for folder in &self.folders {
            let path = if path.is_empty() { folder.name.clone() } else { format!("{path}/{}", folder.name) };
            if folder.others && !folder.has_images() {
                out.push(path);
            } else {
                folder.without_images(&path, out);
            }
        }
    }
}

/// A scan under way.
struct Scan {
    /// The root with all links resolved.
    real: PathBuf,
    /// Folders that were read, with all links resolved: a loop of links ends here.
    seen: HashSet<PathBuf>,
    skipped: Vec<SkippedImage>,
    ignored: Vec<PathBuf>,
}

impl Scan {
    fn skip(&mut self, path: &Path, reason: impl Into<String>) {
        self.skipped.push(SkippedImage { path: path.to_path_buf(), reason: reason.into() });
    }

    /// Reads one folder and those below it; `None` if that was done already.
    fn visit(&mut self, dir: &Path, listing: std::fs::ReadDir) -> Option<Tree> {
        if let Ok(real) = dir.canonicalize() {
            // A link to a folder above the root would bring in everything beside the root.
            let above = real != self.real && self.real.starts_with(&real);
            if above || !self.seen.insert(real) {
                self.skip(dir, "is a link to a folder that is read already");
                return None;
            }
        }
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut tree = Tree { name, ..Tree::default() };
        let mut folders = Vec::new();
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
                Ok(meta) if meta.is_file() && (is_readable(&path) || looks_readable(&path)) => {
                    tree.images.push(path);
                }
                Ok(meta) if meta.is_file() && has_extension(&path, &UNREADABLE) => {
                    tree.others = true;
                    self.skip(&path, "is in a format that cannot be read; convert it to JPEG or PNG");
                }
                Ok(_) => {
                    tree.others = true;
                    self.ignored.push(path);
                }
                Err(error) => self.skip(&path, format!("cannot be read: {error}")),
            }
        }
        tree.images.sort();
        folders.sort();
        for folder in folders {
            match std::fs::read_dir(&folder) {
                Ok(listing) => tree.folders.extend(self.visit(&folder, listing)),
                Err(error) => self.skip(&folder, format!("cannot be read: {error}")),
            }
        }
        Some(tree)
    }
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || LITTER.contains(&name.as_ref())
}

/// Whether a file has the extension of a format that can be read.
pub(crate) fn is_readable(path: &Path) -> bool {
    has_extension(path, &READABLE)
}

fn has_extension(path: &Path, list: &[&str]) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    list.contains(&extension.as_str())
}

/// Whether a file without a known extension begins as an image that can be read. PNM begins like a text might, so that its
/// whole header must be there.
fn looks_readable(path: &Path) -> bool {
    use image::ImageFormat::{Bmp, Jpeg, Png, Pnm, WebP};
    let mut magic = Vec::with_capacity(MAGIC);
    let read = std::fs::File::open(path).and_then(|file| file.take(MAGIC as u64).read_to_end(&mut magic));
    match image::guess_format(&magic) {
        Ok(Pnm) => dimensions(path).is_some(),
        Ok(format) => read.is_ok() && [Jpeg, Png, WebP, Bmp].contains(&format),
        Err(_) => false,
    }
}
