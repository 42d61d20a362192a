//! People and their images from a list: a line for each image with its path and its person.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{FaceFolder, PersonFolder};
use crate::data::skipped::SkippedImage;
use crate::text::shown;
use crate::{Error, Result};

/// What the first column is called where a list begins with a line of names.
const HEADERS: [&str; 6] = ["path", "file", "filename", "image", "image_path", "name"];

/// The list that a file is, by its extension.
pub(super) fn is_list(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    ["csv", "tsv", "txt", "lst"].contains(&extension.as_str())
}

/// What a line says.
struct Row {
    line: u64,
    path: String,
    person: String,
    held_out: Option<bool>,
}

/// Reads a list. Columns are separated by commas, tabs, or, where the first line has neither, by the last blank of a line:
/// path, person, and perhaps `train` or `val`. Paths are relative to the list's folder. Images that are not there are
/// skipped, with a reason.
///
/// # Errors
/// The file cannot be read, a line has another form, a person is both to train on and to measure on, or no image is there.
pub(super) fn read(path: &Path) -> Result<FaceFolder> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let fail = |line: u64, message: &str| Error::Data(format!("{}, line {line}: {message}", path.display()));
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::Data(format!("{} is no text in UTF-8; save it as such", path.display())))?;
    let rows = rows(text.trim_start_matches('\u{feff}'), &fail)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut people: BTreeMap<String, (Vec<PathBuf>, Option<bool>)> = BTreeMap::new();
    let mut skipped = Vec::new();
    let first = rows.first().map_or(1, |row| row.line);
    for Row { line, path: image, person, held_out } in rows {
        let image = folder.join(&image);
        let entry = people.entry(person.clone()).or_insert_with(|| (Vec::new(), held_out));
        if entry.1 != held_out {
            let message = format!("{} is to train on in one line and to measure on in another", shown(&person));
            return Err(fail(line, &message));
        }
        if image.is_file() {
            entry.0.push(image);
        } else {
            skipped.push(SkippedImage { path: image, reason: format!("is not there, though line {line} names it") });
        }
    }
    if skipped.len() == people.values().map(|p| p.0.len()).sum::<usize>() + skipped.len() {
        let missing = skipped.first().map_or(String::new(), |row| row.path.display().to_string());
        let message = match missing.is_empty() {
            true => "the list is empty; give a line for each image: its path, a comma, the person".to_string(),
            false => format!("none of the list's images is there, such as {missing}; paths are relative to the list"),
        };
        return Err(fail(first, &message));
    }
    let nobody = people.iter().filter(|(_, p)| p.0.is_empty()).map(|(name, _)| name.clone()).collect();
    let reserved = people.iter().filter(|(_, p)| p.1 == Some(true)).map(|(name, _)| name.clone()).collect();
    let people = people.into_iter().filter(|(_, p)| !p.0.is_empty()).map(|(name, (mut images, _))| {
        images.sort();
        images.dedup();
        PersonFolder { name, images }
    });
    Ok(FaceFolder {
        root: folder.to_path_buf(),
        people: people.collect(),
        skipped,
        ignored: Vec::new(),
        understood: None,
        nobody,
        reserved,
    })
}

/// The lines of a list.
fn rows(text: &str, fail: &impl Fn(u64, &str) -> Error) -> Result<Vec<Row>> {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let separator = ['\t', ','].into_iter().find(|&separator| first.contains(separator));
    let mut lines: Vec<(u64, Vec<String>)> = Vec::new();
    if let Some(separator) = separator {
        let mut reader = csv::ReaderBuilder::new();
        let mut reader = reader
            .delimiter(u8::try_from(separator).unwrap_or(b','))
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        for record in reader.records() {
            let record = record.map_err(|e| fail(e.position().map_or(1, csv::Position::line), "is no CSV"))?;
            let line = record.position().map_or(1, csv::Position::line);
            lines.push((line, record.iter().map(ToString::to_string).collect()));
        }
    } else {
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            let (path, person) = text.trim().rsplit_once(char::is_whitespace).unwrap_or((text.trim(), ""));
            lines.push((line, vec![path.trim().to_string(), person.to_string()]));
        }
    }
    if lines.first().is_some_and(|(_, columns)| HEADERS.contains(&columns[0].to_lowercase().as_str())) {
        lines.remove(0);
    }
    let row = |(line, columns): (u64, Vec<String>)| {
        let (path, person, part) = match &columns[..] {
            [path, person] => (path, person, ""),
            [path, person, part] => (path, person, part.as_str()),
            _ => {
                let count = columns.len();
                return Err(fail(line, &format!("has {count} columns; expected path,person or path,person,train|val")));
            }
        };
        if path.is_empty() || person.is_empty() {
            return Err(fail(line, "a path or a person is missing; expected path,person"));
        }
        let held_out = match part.to_lowercase().as_str() {
            "" => None,
            "train" | "training" => Some(false),
            "val" | "valid" | "validation" | "dev" | "test" | "held-out" | "held_out" => Some(true),
            other => return Err(fail(line, &format!("\"{}\" is neither train nor val", shown(other)))),
        };
        Ok(Row { line, path: path.clone(), person: person.clone(), held_out })
    };
    lines.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list in a folder with these images.
    fn list(name: &str, text: &str) -> (tempfile::TempDir, Result<FaceFolder>) {
        let dir = tempfile::tempdir().unwrap();
        for image in ["a 1.jpg", "a2.jpg", "b1.jpg", "b2.jpg"] {
            std::fs::write(dir.path().join(image), "").unwrap();
        }
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let found = read(&path);
        (dir, found)
    }

    fn people(found: &FaceFolder) -> Vec<(&str, usize)> {
        found.people.iter().map(|p| (p.name.as_str(), p.images.len())).collect()
    }

    #[test]
    fn lists_are_read_with_commas_tabs_or_blanks_headers_marks_and_quotes() {
        for (name, text) in [
            ("l.csv", "path,person\r\n\"a 1.jpg\",Ann Lee\r\na2.jpg,Ann Lee\r\nb1.jpg,Bob\r\nb2.jpg,Bob\r\n"),
            ("l.csv", "\u{feff}a 1.jpg,Ann Lee\na2.jpg, Ann Lee\n\nb1.jpg,Bob\nb2.jpg,Bob"),
            ("l.tsv", "a 1.jpg\tAnn Lee\na2.jpg\tAnn Lee\nb1.jpg\tBob\nb2.jpg\tBob\n"),
        ] {
            let (_dir, found) = list(name, text);
            assert_eq!(people(&found.unwrap()), [("Ann Lee", 2), ("Bob", 2)], "{text}");
        }
        let (_dir, found) = list("l.txt", "a 1.jpg ann\na2.jpg ann\nb1.jpg bob\n");
        assert_eq!(people(&found.unwrap()), [("ann", 2), ("bob", 1)]);
    }

    #[test]
    fn missing_images_are_skipped_and_a_third_column_holds_people_out() {
        let (_dir, found) = list("l.csv", "a 1.jpg,ann,train\nb1.jpg,bob,val\nb2.jpg,bob,val\nno.jpg,eve,train\n");
        let found = found.unwrap();
        assert_eq!(
            (people(&found), found.reserved.as_slice()),
            (vec![("ann", 1), ("bob", 2)], &["bob".to_string()][..])
        );
        assert_eq!((found.skipped.len(), found.nobody.as_slice()), (1, &["eve".to_string()][..]));
        assert!(found.skipped[0].reason.contains("line 4"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, said) in [
            ("a 1.jpg,ann\na2.jpg\n", "line 2: has 1 columns"),
            ("a 1.jpg,ann\na2.jpg,ann,x,y\n", "line 2: has 4 columns"),
            ("a 1.jpg,ann\n,ann\n", "line 2: a path or a person is missing"),
            ("a 1.jpg,ann,train\na2.jpg,ann,val\n", "line 2: ann is to train on in one line"),
            ("a 1.jpg,ann,maybe\n", "\"maybe\" is neither train nor val"),
            ("no.jpg,ann\n", "none of the list's images is there"),
            ("path,person\n", "the list is empty"),
            ("", "the list is empty"),
        ] {
            let (_dir, found) = list("l.csv", text);
            let message = found.unwrap_err().to_string();
            assert!(message.contains(said), "{text:?}: {message}");
        }
    }
}
