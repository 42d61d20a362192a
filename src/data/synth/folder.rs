//! A synthetic data set as a folder per person.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{ImageError, ImageFormat, RgbImage};
use rayon::prelude::*;

use super::{Identity, draw};
use crate::{Error, Result};

/// Writes `people` x `images` PNG files of `size` x `size` pixels as `out/person_0001/0001.png` and so on, in parallel.
///
/// The set is written to a hidden sibling folder, `.facenet-synth-*`, and only takes its own name once it is complete,
/// so a folder called `out` is never a partly written one. `progress` is called with the number of images written so
/// far, from many threads at once; once it says `false`, drawing stops and nothing is left behind.
///
/// # Errors
///
/// Fails if `out` is a file or a folder with anything in it, if a file or folder cannot be written, and with
/// [`Error::Interrupted`] if `progress` says so.
pub fn write_folder(
    out: &Path,
    people: u32,
    images: u32,
    seed: u64,
    size: u32,
    progress: &(dyn Fn(usize) -> bool + Sync),
) -> Result<()> {
    refuse_occupied(out)?;
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    // The set lies one level further down, because a temporary folder may be read by its owner only.
    let workshop = tempfile::Builder::new()
        .prefix(".facenet-synth-")
        .tempdir_in(parent)
        .map_err(Error::io("create a temporary folder in", parent))?;
    let unfinished = workshop.path().join("set");
    fs::create_dir(&unfinished).map_err(Error::io("create", &unfinished))?;

    let written = AtomicUsize::new(0);
    (0..people).into_par_iter().try_for_each(|person| {
        let folder = unfinished.join(format!("person_{:04}", person + 1));
        fs::create_dir(&folder).map_err(Error::io("create", &folder))?;
        let identity = Identity::new(seed, person);
        for image in 0..images {
            let path = folder.join(format!("{:04}.png", image + 1));
            save_png(&draw(&identity, image, size), &path)?;
            if !progress(written.fetch_add(1, Ordering::Relaxed) + 1) {
                return Err(Error::Interrupted("stopped; nothing was written".into()));
            }
        }
        Ok(())
    })?;

    if out.exists() {
        // Only an empty folder is left at this point, and not every system renames onto one.
        fs::remove_dir(out).map_err(Error::io("replace the empty folder", out))?;
    }
    fs::rename(&unfinished, out).map_err(Error::io("write", out))
}

fn refuse_occupied(out: &Path) -> Result<()> {
    let what = match fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Ok(true) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Ok(false) => "already holds files",
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => "is a file",
        Err(error) => return Err(Error::io("read", out)(error)),
    };
    let path = out.display();
    Err(Error::Data(format!(
        "{path} {what}: name a new or an empty folder for the synthetic faces, or remove it first"
    )))
}

/// Writes an image as PNG, whatever the path ends in.
pub(crate) fn save_png(image: &RgbImage, path: &Path) -> Result<()> {
    image.save_with_format(path, ImageFormat::Png).map_err(|error| match error {
        ImageError::IoError(source) => Error::io("write", path)(source),
        other => Error::Image { path: path.to_path_buf(), message: format!("cannot be written as PNG: {other}") },
    })
}
