//! Lists of pairs: LFW's `pairsDevTrain.txt` and `pairsDevTest.txt` (View 1, one set) and `pairs.txt` (View 2, ten sets), and
//! lists of two files and whether they show one person.

use std::collections::HashSet;
use std::path::Path;

pub use super::images::ImageName;
use super::images::stays_below;
use crate::{Error, Result};

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
    /// What the sets are called: as the list says, else 1, 2, ....
    pub names: Vec<String>,
    /// What a user should know of the list, a sentence each.
    pub remarks: Vec<String>,
}

impl PairsFile {
    /// Reads a list, in one of two forms:
    ///
    /// - LFW's: the first line gives the number of pairs of each kind, perhaps with the number of sets before it; then come
    ///   lines `name n1 n2` (one person) and `name1 n1 name2 n2` (different people). Names with blanks need tabs between the
    ///   fields. With several sets, each is an equal part of the list; within a set any order and any number of either kind
    ///   is taken.
    /// - files: lines `path path same`, separated by commas, tabs or blanks, where `same` is 1 or 0, perhaps with a fourth field
    ///   that names the set and a first line that names the columns. Paths are below the folder of the images.
    ///
    /// # Errors
    /// The file cannot be read, or is no such list; the message names the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = text_of(path, "LFW's pairs.txt")?;
        let fail = |line: usize, what: String| {
            Error::Data(format!(
                "{} line {line}: {what}; give a list of pairs in LFW's format, such as pairsDevTest.txt, or lines such as \
                 a/1.jpg,b/2.jpg,0",
                path.display()
            ))
        };
        let lines = || text.lines().zip(1usize..).filter(|(line, _)| !line.trim().is_empty());
        let first = lines().next().map_or("", |(line, _)| line);
        let numbers: Option<Vec<usize>> = first.split_whitespace().map(|word| word.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[each]) => Self::lfw(lines().skip(1).collect(), 1, each, &fail),
            Some(&[sets, each]) => {
                if sets == 0 || each == 0 || sets.saturating_mul(each) > text.len() {
                    return Err(fail(1, format!("{sets} sets of {each} pairs of each kind cannot be in this file")));
                }
                Self::lfw(lines().skip(1).collect(), sets, each, &fail)
            }
            _ => Self::files(lines().collect(), &fail),
        }
    }

    /// LFW's form, behind its first line, which promises so many sets with so many pairs of each kind.
    fn lfw(
        lines: Vec<(&str, usize)>,
        sets: usize,
        each: usize,
        fail: &impl Fn(usize, String) -> Error,
    ) -> Result<Self> {
        let mut pairs = Vec::with_capacity(lines.len());
        let end = lines.last().map_or(1, |(_, number)| *number);
        for (line, number) in lines {
            let words: Vec<&str> = match line.contains('\t') {
                true => line.trim().split('\t').map(str::trim).collect(),
                false => line.split_whitespace().collect(),
            };
            let image =
                |person: &str, n: &str| Some(ImageName::Numbered { person: person.into(), number: n.parse().ok()? });
            let pair = match words[..] {
                [name, n1, n2] => image(name, n1).zip(image(name, n2)).map(|pair| (pair, true)),
                [name1, n1, name2, n2] => image(name1, n1).zip(image(name2, n2)).map(|pair| (pair, name1 == name2)),
                _ => None,
            };
            let ((a, b), same) =
                pair.ok_or_else(|| fail(number, format!("expected a pair, found \"{}\"", shortened(line))))?;
            pairs.push(checked(NamedPair { a, b, same }, number, fail)?);
        }
        if pairs.is_empty() || pairs.len() < sets {
            return Err(fail(end, format!("the list ends after {} pairs", pairs.len())));
        }
        let (found, promised) = (pairs.len(), 2 * sets * each);
        if sets > 1 && found != promised {
            // Where a set begins would be a guess.
            return Err(fail(
                1,
                format!("{sets} sets of {each} pairs of each kind are {promised} pairs, and {found} are there"),
            ));
        }
        let mut remarks = repeated(&pairs);
        let same = pairs.iter().filter(|pair| pair.same).count();
        if (same, found - same) != (sets * each, sets * each) {
            let different = found - same;
            remarks.push(format!(
                "the first line promises {} pairs of each kind; there are {same} of one person and {different} of different people",
                sets * each
            ));
        }
        let sets: Vec<_> = pairs.chunks(found / sets).map(<[NamedPair]>::to_vec).collect();
        Ok(Self { names: (1..=sets.len()).map(|number| number.to_string()).collect(), sets, remarks })
    }

    /// Two files a line.
    fn files(lines: Vec<(&str, usize)>, fail: &impl Fn(usize, String) -> Error) -> Result<Self> {
        let first = lines.first().map_or("", |(line, _)| line);
        // Names have blanks and commas before they have tabs.
        let separator = ['\t', ',', ';'].into_iter().find(|&separator| first.contains(separator));
        let fields = |line: &'_ str| -> Vec<String> {
            separator.map_or_else(
                || line.split_whitespace().map(str::to_string).collect(),
                |separator| fields_of(line, separator),
            )
        };
        let mut sets: Vec<(String, Vec<NamedPair>)> = Vec::new();
        for (at, (line, number)) in lines.iter().enumerate() {
            let words = fields(line);
            let same = |word: &str| match word.to_lowercase().as_str() {
                "1" | "true" | "same" => Some(true),
                "0" | "false" | "different" => Some(false),
                _ => None,
            };
            let read = match &words[..] {
                [a, b, kind] => same(kind).map(|same| (a, b, same, "")),
                [a, b, kind, set] => same(kind).map(|same| (a, b, same, set.as_str())),
                _ => None,
            };
            // Names of columns: "same" may be one of them, but files have extensions.
            let names = at == 0 && words.len() >= 3 && words[..2].iter().all(|word| !word.contains('.'));
            let is_kind = words.get(2).is_some_and(|word| word.eq_ignore_ascii_case("same"));
            let read = read.filter(|_| !(names && is_kind));
            let Some((a, b, same, set)) = read else {
                if names {
                    continue;
                }
                let what = match words.len() {
                    3 | 4 => "two images and 1 or 0",
                    _ if at == 0 => "the number of pairs, or two images and 1 or 0",
                    _ => "a pair",
                };
                return Err(fail(*number, format!("expected {what}, found \"{}\"", shortened(line))));
            };
            let pair = NamedPair { a: ImageName::File(a.clone()), b: ImageName::File(b.clone()), same };
            let pair = checked(pair, *number, fail)?;
            match sets.iter_mut().find(|(name, _)| name == set) {
                Some((_, pairs)) => pairs.push(pair),
                None => sets.push((set.to_string(), vec![pair])),
            }
        }
        let (names, sets): (Vec<String>, Vec<Vec<NamedPair>>) = sets.into_iter().unzip();
        let named = |(number, name): (usize, String)| if name.is_empty() { number.to_string() } else { name };
        let names = (1..).zip(names).map(named).collect();
        match sets.is_empty() {
            true => Err(fail(1, "there is no pair".to_string())),
            false => Ok(Self { remarks: repeated(&sets.concat()), names, sets }),
        }
    }
}

/// The fields of a line; one in quotes may hold the separator, and a quote as two.
fn fields_of(line: &str, separator: char) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' if quoted || field.trim().is_empty() => quoted = !quoted,
            letter if letter == separator && !quoted => fields.push(std::mem::take(&mut field).trim().to_string()),
            letter => field.push(letter),
        }
    }
    fields.push(field.trim().to_string());
    fields
}

/// What to say of pairs that are there more than once, in either order.
fn repeated(pairs: &[NamedPair]) -> Vec<String> {
    let both = |pair: &'_ NamedPair| {
        if pair.a <= pair.b { [pair.a.clone(), pair.b.clone()] } else { [pair.b.clone(), pair.a.clone()] }
    };
    let mut seen = HashSet::new();
    let again = pairs.iter().filter(|pair| !seen.insert(both(pair))).count();
    match again {
        0 => Vec::new(),
        again => vec![format!("{again} of {} pairs are there more than once, and count as often", pairs.len())],
    }
}

/// The text of a list; `example` names one that is right.
pub(super) fn text_of(path: &Path, example: &str) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(Error::Data(format!("{} is in UTF-16; save it as UTF-8", path.display())));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::Data(format!("{} is not a text file in UTF-8; give a list of pairs such as {example}", path.display()))
    })?;
    Ok(text.trim_start_matches('\u{feff}').to_string())
}

/// Refuses a pair of an image with itself, and names that leave the folder.
fn checked(pair: NamedPair, line: usize, fail: &impl Fn(usize, String) -> Error) -> Result<NamedPair> {
    if pair.a == pair.b {
        return Err(fail(line, format!("{} is paired with itself", pair.a)));
    }
    for image in [&pair.a, &pair.b] {
        let name = match image {
            ImageName::Numbered { person, .. } => person,
            ImageName::File(path) => path,
        };
        if !stays_below(name) {
            return Err(fail(line, format!("{image} leaves the folder of the images")));
        }
    }
    Ok(pair)
}

/// The beginning of a line, for messages.
pub(super) fn shortened(line: &str) -> String {
    line.chars().filter(|c| !c.is_control() || *c == '\t').take(60).collect()
}

#[cfg(test)]
mod tests;
