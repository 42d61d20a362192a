//! Files that a verb writes: none of them is one that it reads, or another that it writes.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Refuses outputs that are the same file as an input or as another output.
///
/// # Errors
/// Two of them are one file; the message names it.
pub(super) fn check_apart(outputs: &[Option<&Path>], inputs: &[&Path]) -> Result<()> {
    let outputs: Vec<PathBuf> = outputs.iter().copied().flatten().map(real).collect();
    let inputs: Vec<PathBuf> = inputs.iter().map(|path| real(path)).collect();
    for (at, output) in outputs.iter().enumerate() {
        if inputs.contains(output) {
            return Err(Error::setting(format!(
                "{} is to be read and to be written; give the output another name",
                output.display()
            )));
        }
        if outputs[..at].contains(output) {
            return Err(Error::setting(format!(
                "two outputs are to be written to {}; give each a name",
                output.display()
            )));
        }
    }
    Ok(())
}

/// Refuses to write over a file that does not begin as those that a verb writes there: it is somebody's own.
///
/// # Errors
/// There is such a file; the message calls the output `name`.
pub(super) fn check_replaceable(file: &Path, begins: &str, name: &str) -> Result<()> {
    let mut start = vec![0; begins.len()];
    let read = std::fs::File::open(file).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start));
    let kept = match read {
        Ok(()) => start != begins.as_bytes(),
        // Shorter, or no file at all.
        Err(_) => std::fs::metadata(file).is_ok_and(|found| found.is_dir() || found.len() > 0),
    };
    if !kept {
        return crate::weights::check_writable(file.parent().unwrap_or(Path::new("")));
    }
    let file = file.display();
    Err(Error::Data(format!("{file} exists already and was not written by this command; give `{name}` another name")))
}

/// Refuses to write over a file: it may be a photograph. Finds out before the work that its folder can be written.
///
/// # Errors
/// There is something of that name, or the folder cannot be written; the message calls the output `name`.
pub(super) fn check_new(file: &Path, name: &str) -> Result<()> {
    if file.symlink_metadata().is_ok() {
        return Err(Error::Data(format!("{} exists already; give `{name}` another name", file.display())));
    }
    crate::weights::check_writable(file.parent().unwrap_or(Path::new("")))
}

/// Refuses an output among the images of a folder that is read.
///
/// # Errors
/// It lies there; the message calls it `name`.
pub(super) fn check_outside(file: &Path, name: &str, input: &Path) -> Result<()> {
    match real(file).starts_with(real(input)) {
        true => Err(Error::setting(format!(
            "{} lies in {}, whose images are read; give `{name}` a place outside of it",
            file.display(),
            input.display()
        ))),
        false => Ok(()),
    }
}

/// Refuses a folder for pictures that holds something already: pictures there might be written over.
///
/// # Errors
/// It is no empty folder, or cannot be made; the message calls the output `name`.
pub(super) fn make_folder(folder: &Path, name: &str) -> Result<()> {
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::Data(format!(
            "the folder {} exists already and holds files; give `{name}` an empty or a new one",
            folder.display()
        )));
    }
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    crate::weights::check_writable(folder)
}

/// The path with all links resolved, also of a file that is not there yet.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        folder.join(path.file_name().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_wrote_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            check_replaceable(&dir.path().join(name), "<!DOCTYPE html>", "html")
        };
        assert!(at("a", "<!DOCTYPE html><html>").is_ok() && at("b", "").is_ok());
        assert!(at("c", "a photograph").unwrap_err().to_string().contains("give `html` another name"));
        assert!(at("d", "<!DOC").is_err());
        assert!(check_replaceable(&dir.path().join("new"), "x", "html").is_ok());
        assert!(check_replaceable(&dir.path().join("none/new"), "x", "html").is_err());
        assert!(check_replaceable(dir.path(), "x", "html").is_err());
    }

    #[test]
    fn an_output_is_no_input_and_no_other_output_by_whatever_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::write(at("in.csv"), "").unwrap();
        let check = |outputs: &[&str]| {
            let outputs: Vec<PathBuf> = outputs.iter().map(|name| at(name)).collect();
            let outputs: Vec<Option<&Path>> = outputs.iter().map(|path| Some(path.as_path())).collect();
            check_apart(&outputs, &[&at("in.csv")])
        };
        assert!(check(&["a.html", "b.csv"]).is_ok());
        assert!(check(&["sub/../in.csv"]).unwrap_err().to_string().contains("to be read and to be written"));
        assert!(check(&["new.txt", "sub/../new.txt"]).unwrap_err().to_string().contains("two outputs"));
    }
}
