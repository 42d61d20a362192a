//! LFW's lists of pairs: `pairsDevTrain.txt` and `pairsDevTest.txt` (View 1, one set), `pairs.txt` (View 2, ten sets).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// One image of one person: `Name/Name_0001.jpg`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName {
    /// The person; also the folder.
    pub person: String,
    /// Number of the image, from 1.
    pub number: u32,
}

impl ImageName {
    /// Where the image is below the folder of all people.
    pub fn path(&self, folder: &Path) -> PathBuf {
        folder.join(&self.person).join(format!("{}_{:04}.jpg", self.person, self.number))
    }
}

/// Two images, and whether one person is on both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPair {
    /// The first image.
    pub a: ImageName,
    /// The second image.
    pub b: ImageName,
    /// The same person.
    pub same: bool,
}

/// A list of pairs in its sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairsFile {
    /// One set in View 1, ten in View 2; no person is in two of them.
    pub sets: Vec<Vec<NamedPair>>,
}

impl PairsFile {
    /// Reads a list. Its first line gives the number of pairs of each kind, or the number of sets before it; then come
    /// for each set the lines `name n1 n2` (the same person) and `name1 n1 name2 n2` (different people), separated by
    /// tabs.
    ///
    /// # Errors
    /// The file cannot be read, or is no such list; the message names the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| match e.kind() {
            ErrorKind::InvalidData => Error::Data(format!(
                "{} is not a text file; give a list of pairs such as LFW's pairs.txt",
                path.display()
            )),
            _ => Error::io("read", path)(e),
        })?;
        let fail = |line: usize, what: String| {
            Error::Data(format!(
                "{} line {line}: {what}; give a list of pairs in LFW's format, such as pairsDevTest.txt",
                path.display()
            ))
        };
        let mut lines = text.lines().zip(1usize..).filter(|(line, _)| !line.trim().is_empty());
        let header = lines.next().map_or("", |(line, _)| line);
        let numbers: Option<Vec<usize>> = header.split_whitespace().map(|word| word.parse().ok()).collect();
        let (sets, each) = match numbers.as_deref() {
            Some(&[each]) => (1, each),
            Some(&[sets, each]) => (sets, each),
            _ => return Err(fail(1, format!("expected the number of pairs, found \"{}\"", shortened(header)))),
        };
        if sets == 0 || each == 0 || sets.saturating_mul(each) > text.len() {
            return Err(fail(1, format!("{sets} sets of {each} pairs of each kind cannot be in this file")));
        }
        let mut pairs = Vec::with_capacity(2 * sets * each);
        for (line, number) in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let image = |person: &str, n: &str| Some(ImageName { person: person.to_string(), number: n.parse().ok()? });
            let pair = match words[..] {
                [name, n1, n2] => image(name, n1).zip(image(name, n2)).map(|pair| (pair, true)),
                [name1, n1, name2, n2] => image(name1, n1).zip(image(name2, n2)).map(|pair| (pair, false)),
                _ => None,
            };
            let ((a, b), same) =
                pair.ok_or_else(|| fail(number, format!("expected a pair, found \"{}\"", shortened(line))))?;
            // A set is so many pairs of one person, then so many of two.
            if same != (pairs.len() / each).is_multiple_of(2) {
                let kind = if same { "one person" } else { "two people" };
                return Err(fail(number, format!("a pair of {kind} is out of place among sets of {each} and {each}")));
            }
            pairs.push(NamedPair { a, b, same });
        }
        if pairs.len() != 2 * sets * each {
            let end = text.lines().count();
            return Err(fail(end, format!("the list ends after {} of {} pairs", pairs.len(), 2 * sets * each)));
        }
        Ok(Self { sets: pairs.chunks(2 * each).map(<[NamedPair]>::to_vec).collect() })
    }
}

/// The beginning of a line, for messages.
fn shortened(line: &str) -> String {
    line.chars().filter(|c| !c.is_control() || *c == '\t').take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PairsFile> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        PairsFile::read(file.path())
    }

    #[test]
    fn both_views_are_read() {
        let view1 = read("1\nAda\t1\t2\nAda\t1\tGrace\t3\n").unwrap();
        assert_eq!(view1.sets.len(), 1);
        let [same, different] = &view1.sets[0][..] else { panic!("two pairs") };
        assert!(same.same && !different.same);
        assert_eq!(same.a.path(Path::new("lfw")), Path::new("lfw/Ada/Ada_0001.jpg"));
        assert_eq!(different.b, ImageName { person: "Grace".into(), number: 3 });
        let view2 = read("2\t1\nA\t1\t2\nA\t1\tB\t1\nC\t1\t2\nC\t1\tD\t1\n").unwrap();
        assert_eq!(view2.sets.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn what_is_no_list_of_pairs_is_refused_with_the_line() {
        for (text, part) in [
            ("", "line 1: expected the number of pairs, found \"\""),
            ("hello\n", "line 1: expected the number of pairs, found \"hello\""),
            ("1\nAda\t1\n", "line 2: expected a pair, found \"Ada\t1\""),
            ("1\nAda\tx\t2\n", "line 2: expected a pair"),
            ("1\nAda\t1\t2\n", "the list ends after 1 of 2 pairs"),
            ("1\nAda\t1\tBo\t2\nAda\t1\t2\n", "line 2: a pair of two people is out of place"),
            ("99999999999\nAda\t1\t2\n", "line 1: 1 sets of 99999999999 pairs"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
