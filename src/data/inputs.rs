//! Which files a command is to read.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::data::folder::files_below;
use crate::{Error, Result};

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Input {
    /// The file, as it was given or found.
    pub path: PathBuf,
    /// Why it cannot be used, where that is known before it is read.
    pub fault: Option<String>,
}

impl Input {
    /// A file of which nothing is known.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), fault: None }
    }
}

/// The files that `paths` name, each once, in their order: files as they are, folders with all images in them and below,
/// sorted. Files in a folder that are no images are left out; images in a format that cannot be read are not.
///
/// # Errors
/// A folder cannot be read. A file that is not there is found out when it is read.
pub fn collect(paths: &[PathBuf]) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.is_dir() {
            let (images, skipped) = files_below(path)?;
            let mut found: Vec<Input> = images.into_iter().map(Input::new).collect();
            found.extend(skipped.into_iter().map(|row| Input { path: row.path, fault: Some(row.reason) }));
            found.sort_by(|a, b| a.path.cmp(&b.path));
            inputs.extend(found);
        } else {
            inputs.push(Input::new(path));
        }
    }
    let mut seen = HashSet::new();
    inputs.retain(|input| seen.insert(input.path.clone()));
    Ok(inputs)
}

/// The paths of a list, one a line; empty lines are passed over. Those of a file are relative to its folder, those of the
/// standard input, which `-` stands for, to the current one.
///
/// # Errors
/// It cannot be read, is not text in UTF-8, or is empty.
pub fn read_list(list: &Path) -> Result<Vec<PathBuf>> {
    let mut bytes = Vec::new();
    let (folder, name) = match list == Path::new("-") {
        true => {
            std::io::stdin().read_to_end(&mut bytes).map_err(Error::io("read", "the standard input"))?;
            (Path::new(""), "the standard input".to_string())
        }
        false => {
            bytes = std::fs::read(list).map_err(Error::io("read", list))?;
            (list.parent().unwrap_or(Path::new("")), list.display().to_string())
        }
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::Data(format!("{name} is no text in UTF-8; give a list with a path a line")))?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_end).filter(|line| !line.is_empty());
    let paths: Vec<PathBuf> = lines.map(|line| folder.join(line)).collect();
    if paths.is_empty() {
        return Err(Error::Data(format!("{name} is empty; give a list with a path a line")));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::write_face;

    #[test]
    fn folders_are_searched_in_order_and_every_file_comes_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["f/b/2.jpg", "f/a/1.jpg", "f/3.jpg"] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            write_face(&at(name), 1);
        }
        std::fs::write(at("f/notes.txt"), "").unwrap();
        std::fs::write(at("f/a/0.heic"), "").unwrap();
        let found = collect(&[at("gone.png"), at("f/3.jpg"), at("f")]).unwrap();
        let names: Vec<_> = found.iter().map(|i| i.path.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["gone.png", "f/3.jpg", "f/a/0.heic", "f/a/1.jpg", "f/b/2.jpg"]);
        assert!(found[2].fault.as_ref().unwrap().contains("convert it") && found[3].fault.is_none());
    }

    #[test]
    fn a_list_holds_a_path_a_line_relative_to_itself() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list.txt");
        std::fs::write(&list, "\u{feff}a b.jpg\r\n\n/c.jpg\n").unwrap();
        assert_eq!(read_list(&list).unwrap(), [dir.path().join("a b.jpg"), PathBuf::from("/c.jpg")]);
        for (text, said) in [(&b"\n"[..], "is empty"), (&[0xff, 0xfe, 0x41][..], "is no text in UTF-8")] {
            std::fs::write(&list, text).unwrap();
            assert!(read_list(&list).unwrap_err().to_string().contains(said));
        }
    }
}
