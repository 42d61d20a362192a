//! A folder for each cluster, with links to its images or copies of them.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::source::Source;
use crate::cli::{progress, table};
use crate::cluster::Clusters;
use crate::text::{counted, shown};
use crate::{Error, Result};

/// Checks that a folder can be made there: nothing is ever overwritten.
///
/// # Errors
/// There is something already, or the folder above it is not there or cannot be written.
pub(super) fn check_new(out: &Path) -> Result<()> {
    if out.symlink_metadata().is_ok() && !is_empty_folder(out) {
        return Err(Error::Data(format!(
            "{} exists already and is kept as it is; give `out` a new folder",
            out.display()
        )));
    }
    crate::weights::check_writable(above(out))
}

fn is_empty_folder(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// The folder that holds `path`.
fn above(path: &Path) -> &Path {
    path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the folders, and says in words what was done. They appear together, when all of them are complete.
///
/// # Errors
/// No image is there, one cannot be copied, the disk is full, or it was stopped; then nothing is left.
pub(super) fn write(out: &Path, source: &Source, clusters: &Clusters, copy: bool, stop: &AtomicBool) -> Result<String> {
    let work = temporary(above(out)).map_err(Error::io("write into", above(out)))?;
    let bar = progress::bar(source.files.len(), "writing    {bar:40} {human_pos}/{human_len} images");
    let (mut done, mut missing) = (0_usize, Vec::new());
    let members = clusters.members();
    let digits = members.len().to_string().len().max(4);
    for (number, images) in (1..).zip(&members) {
        let name = format!("{number:0digits$}_{}", counted(images.len(), "image").replace(' ', "_").replace(',', ""));
        let folder = work.path().join(name);
        fs::create_dir(&folder).map_err(Error::io("create", &folder))?;
        let mut taken = HashSet::new();
        for &image in images {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted(format!("stopped; {} was not made", out.display())));
            }
            let file = &source.files[image];
            match file.canonicalize() {
                Err(_) => missing.push(file.display().to_string()),
                Ok(real) => {
                    place(&real, &folder.join(unused(file, &mut taken)), copy)?;
                    done += 1;
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    if let Some(first) = missing.first() {
        let what = format!(
            "{} of {} are not there, such as {}",
            missing.len(),
            counted(source.files.len(), "file"),
            shown(first)
        );
        if done == 0 {
            return Err(Error::Data(format!(
                "{what}; the paths of a table lead on from the folder in which it was made, so run this there"
            )));
        }
        hint!("warning: {what}; they are left out of {}", out.display());
    }
    if is_empty_folder(out) {
        fs::remove_dir(out).map_err(Error::io("write", out))?;
    }
    // A rename puts no folder over what somebody else has made meanwhile.
    fs::rename(work.path(), out).map_err(|e| match e.kind() {
        ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists | ErrorKind::NotADirectory => Error::Data(format!(
            "{} was made by another program meanwhile, and is kept as it is; give `out` another folder",
            out.display()
        )),
        _ => Error::io("write", out)(e),
    })?;
    drop(work.keep());
    let kind = if copy { "copies" } else { kind_of_links() };
    Ok(format!("{} in {}", table::count(done as u64) + " " + kind, counted(members.len(), "folder")))
}

/// A folder beside the one that is wanted, with the permissions of any new folder; it is removed unless it is kept.
fn temporary(above: &Path) -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".facenet-gpu-").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.tempdir_in(above)
}

/// The name of a file, with a number where another one of the folder has it, whatever the case of its letters.
fn unused(file: &Path, taken: &mut HashSet<String>) -> PathBuf {
    let name = PathBuf::from(file.file_name().unwrap_or(file.as_os_str()));
    let mut candidate = name.clone();
    let mut number = 1;
    while !taken.insert(candidate.to_string_lossy().to_lowercase()) {
        number += 1;
        let mut next = name.file_stem().unwrap_or_default().to_os_string();
        next.push(format!("_{number}"));
        candidate = PathBuf::from(next);
        if let Some(extension) = name.extension() {
            candidate.as_mut_os_string().push(".");
            candidate.as_mut_os_string().push(extension);
        }
    }
    candidate
}

fn place(real: &Path, to: &Path, copy: bool) -> Result<()> {
    if copy {
        return fs::copy(real, to).map(drop).map_err(Error::io("copy", real));
    }
    link(real, to).map_err(Error::io("link", real))
}

#[cfg(unix)]
fn link(real: &Path, to: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(real, to)
}

/// Symbolic links need rights that few users of Windows have; a second name of the file needs the same disk.
#[cfg(not(unix))]
fn link(real: &Path, to: &Path) -> std::io::Result<()> {
    fs::hard_link(real, to)
}

fn kind_of_links() -> &'static str {
    if cfg!(unix) { "links" } else { "hard links" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_equal_names_are_kept_apart() {
        let mut taken = HashSet::new();
        let names: Vec<PathBuf> = ["a/1.jpg", "b/1.jpg", "b/1_2.jpg", "c/1.JPG", "d/x", "e/x", "f/1.jpg"]
            .map(|file| unused(Path::new(file), &mut taken))
            .into();
        assert_eq!(names, ["1.jpg", "1_2.jpg", "1_2_2.jpg", "1_3.JPG", "x", "x_2", "1_4.jpg"].map(PathBuf::from));
    }
}
