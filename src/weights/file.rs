//! Files that appear whole or not at all.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::{Error, Result};

/// Begin and end of the names of temporary files, by which [`remove_stale`] knows those of a program that was killed.
const TEMPORARY: [&str; 2] = [".facenet-gpu-", ".tmp"];

/// Writes a file so that it appears whole or not at all. A symbolic link stays one; what is no regular file, such as a
/// pipe, is written as it is.
///
/// # Errors
/// The folder cannot be written or the disk is full; an older file of that name is then still whole.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole_by(path, |out| out.write_all(bytes))
}

/// As [`write_whole`], for content that is written piece by piece.
///
/// # Errors
/// As [`write_whole`].
pub(crate) fn write_whole_by(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let special = fs::metadata(&target).is_ok_and(|found| !found.is_file() && !found.is_dir());
    let written = if special { in_place(&target, write) } else { renamed(&target, write) };
    written.map_err(Error::io("write", path))
}

fn in_place(target: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(fs::OpenOptions::new().write(true).open(target)?);
    write(&mut out)?;
    out.flush()
}

/// Writes a temporary file beside `target`, brings it to the disk and renames it.
fn renamed(target: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = temporary(folder)?;
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file_mut());
    write(&mut out)?;
    out.flush()?;
    drop(out);
    file.as_file().sync_all()?;
    file.persist(target)?;
    sync_folder(folder);
    Ok(())
}

/// Brings a folder's list of files to the disk, so that a file that was renamed into it is there after a power cut. Where
/// the system cannot do that (folders on Windows, some network drives), the file is written all the same.
pub(crate) fn sync_folder(folder: &Path) {
    #[cfg(unix)]
    let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    #[cfg(not(unix))]
    let _ = folder;
}

/// A temporary file with the permissions that any new file gets; those of tempfile are for its owner's eyes only.
pub(crate) fn temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY[0]).suffix(TEMPORARY[1]);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Removes the temporary files that a killed program has left in a folder. Nobody else may be writing there.
#[cfg(feature = "program")]
pub(crate) fn remove_stale(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(TEMPORARY[0]) && name.ends_with(TEMPORARY[1]) {
            // What cannot be removed does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Checks that files can be written into a folder, so that this is found out before the work and not after it.
///
/// # Errors
/// The folder does not exist or cannot be written.
#[cfg(feature = "program")]
pub(crate) fn check_writable(folder: &Path) -> Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    temporary(folder).map(drop).map_err(Error::io("write into", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rename would put a file in the place of `/dev/full` or of a link.
    #[cfg(target_os = "linux")]
    #[test]
    fn devices_are_written_and_links_stay_links() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link, full] = ["file", "link", "full"].map(|name| dir.path().join(name));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_whole(&link, b"new").unwrap();
        assert!(link.is_symlink() && fs::read(&file).unwrap() == b"new");
        std::os::unix::fs::symlink("/dev/full", &full).unwrap();
        let text = write_whole(&full, b"new").unwrap_err().to_string();
        assert!(full.is_symlink() && text.contains("full"), "{text}");
        assert!(!Path::new("/dev/full").is_file());
    }

    #[test]
    fn what_fails_half_way_leaves_the_older_file_and_nothing_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_whole(&path, b"old").unwrap();
        let failed = write_whole_by(&path, |out| {
            out.write_all(b"half of it")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(failed.unwrap_err().to_string().contains("the disk is full"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(feature = "program")]
    #[test]
    fn temporary_files_of_a_killed_program_are_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let left = temporary(dir.path()).unwrap().into_temp_path();
        left.keep().unwrap();
        for name in [".hidden", "notes.tmp", "weights"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
        remove_stale(dir.path());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
