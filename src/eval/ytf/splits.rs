//! `splits.txt`: which videos are compared, in ten sets.

use std::collections::BTreeMap;
use std::path::Path;

use crate::eval::images::stays_below;
use crate::eval::pairs_file::{shortened, text_of};
use crate::{Error, Result};

/// Two videos, `Subject/number` each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoPair {
    /// The first video.
    pub a: String,
    /// The second video.
    pub b: String,
    /// The same person.
    pub same: bool,
}

/// The pairs in their sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// Ten sets in the official list, ordered by their numbers.
    pub sets: Vec<Vec<VideoPair>>,
}

impl Splits {
    /// Reads lines `set, number, Subject/video, Subject/video, same`, where `same` is 1 or 0; a first line that names the
    /// columns is passed over.
    ///
    /// # Errors
    /// The file cannot be read, or is no such list; the message names the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = text_of(path, "YouTube Faces' splits.txt")?;
        let mut sets: BTreeMap<u32, Vec<VideoPair>> = BTreeMap::new();
        let lines = text.lines().zip(1usize..).filter(|(line, _)| !line.trim().is_empty());
        for (at, (line, number)) in lines.enumerate() {
            let fail = |what: String| {
                Error::Data(format!(
                    "{} line {number}: {what}; give YouTube Faces' splits.txt, with lines such as 1, 1, Sadie_Frost/1, \
                     Sadie_Frost/5, 1",
                    path.display()
                ))
            };
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let read = match fields[..] {
                [set, _, a, b, same @ ("0" | "1")] => set.parse().ok().map(|set: u32| (set, a, b, same == "1")),
                _ => None,
            };
            let Some((set, a, b, same)) = read else {
                if at == 0 && fields.len() == 5 && fields[0].parse::<u32>().is_err() {
                    continue;
                }
                return Err(fail(format!("expected a pair of videos, found \"{}\"", shortened(line))));
            };
            let (a, b) = (a.replace('\\', "/"), b.replace('\\', "/"));
            if a == b {
                return Err(fail(format!("{a} is paired with itself")));
            }
            if let Some(video) = [&a, &b].into_iter().find(|video| !stays_below(video) || !video.contains('/')) {
                return Err(fail(format!("\"{}\" is no video below the folder", shortened(video))));
            }
            sets.entry(set).or_default().push(VideoPair { a, b, same });
        }
        if sets.is_empty() {
            return Err(Error::Data(format!(
                "{} holds no pair of videos; give YouTube Faces' splits.txt",
                path.display()
            )));
        }
        Ok(Self { sets: sets.into_values().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Splits> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("splits.txt");
        std::fs::write(&path, text).unwrap();
        Splits::read(&path)
    }

    #[test]
    fn pairs_come_in_their_sets_with_or_without_a_line_of_names() {
        let lines = "1, 1, Ann/1, Ann/5, 1\r\n10, 2, Ann/1, Bob\\0, 0\r\n2,1,Bob/0,Bob/2,1\r\n";
        let plain = read(lines).unwrap();
        assert_eq!(plain.sets.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(plain.sets[2][0], VideoPair { a: "Ann/1".into(), b: "Bob/0".into(), same: false });
        let names = format!("split number, pair number, first name, second name, is same\n{lines}");
        assert_eq!(read(&names).unwrap(), plain);
    }

    #[test]
    fn other_lists_are_refused_with_their_line() {
        for (text, said) in [
            ("", "holds no pair"),
            ("1, 1, Ann/1, Ann/5, 1\n1, 1, Ann/1, 1\n", "line 2: expected a pair of videos"),
            ("1, 1, Ann/1, Ann/5, 2\n", "line 1: expected a pair"),
            ("1, 1, Ann/1, Ann/1, 1\n", "paired with itself"),
            ("1, 1, ../Ann/1, Bob/1, 0\n", "no video below the folder"),
            ("1, 1, Ann, Bob/1, 0\n", "no video below the folder"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
