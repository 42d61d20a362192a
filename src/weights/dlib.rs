//! dlib's face recognition network (`dlib_face_recognition_resnet_model_v1.dat`), as dlib's `serialize` writes networks: layers
//! from the input on, each with its name, its tensors and its settings.
//!
//! A whole number is one byte (bytes that follow, and a sign) and its bytes, the lowest first. A text is its length and its
//! bytes. A tensor is its version, four sizes, and floats of 32 bits.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use super::entry::{Entry, Meaning, damaged};
use super::unusable;
use crate::net::DLIB_EPS;
use crate::text::shown;
use crate::{Error, Result};

/// What the network expects of images: means of red, green and blue, 2^-20 as the precision of the file.
const MEANS: [f64; 3] = [122.782, 117.001, 104.298];
/// Height and width of the network's images.
const SIDE: i64 = 150;
/// Most bytes between a layer's tensor and the next layer's name: settings, and flags of the layers that have no name.
const BETWEEN: usize = 1024;
/// What stands behind the last layer: two tensors without values.
const END: [u8; 20] = [1, 2, 1, 0, 1, 0, 1, 0, 1, 0, 1, 2, 1, 0, 1, 0, 1, 0, 1, 0];

/// Layers of a residual block, and of one that halves the image.
const BLOCK: [&str; 7] = ["con", "affine", "relu", "con", "affine", "add_prev", "relu"];
const DOWN: [&str; 8] = ["con", "affine", "relu", "con", "affine", "avg_pool", "add_prev", "relu"];
/// The blocks from the input on, and whether they halve the image.
const BLOCKS: [bool; 14] =
    [false, false, false, true, false, false, false, true, false, false, true, false, false, true];

/// Whether a file with these first bytes may be dlib's: its objects begin with their version.
pub(super) fn begins(start: &[u8]) -> bool {
    start.starts_with(&[1, 1])
}

/// Every tensor of the network in the file, named by its layer and numbered from the input on: `con1.filters`, `con1.biases`,
/// `affine1.gamma`, `affine1.beta`, ..., `fc.weights`. An affine layer is batch normalisation with the mean 0 and the
/// deviation 1, which stand beside it as `affine1.mean` and `affine1.variance`.
///
/// # Errors
/// The file cannot be read, is cut short, or holds another network or something else.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Entry>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let entries = Reader { bytes: &bytes, at: 0 }.network();
    entries.map_err(|message| unusable(path, &message))
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    fn network(&mut self) -> Result<BTreeMap<String, Entry>, String> {
        const WANTED: &str = "give dlib_face_recognition_resnet_model_v1.dat";
        match self.layer() {
            Some(name) if name.starts_with("loss_metric") => {}
            Some(name) if name.starts_with("loss_") => {
                return Err(format!("is another network of dlib, with {name} in the place of loss_metric_; {WANTED}"));
            }
            _ => {
                return Err(format!(
                    "is no network of dlib; if it is a landmark predictor or a detector of dlib, {WANTED}"
                ));
            }
        }
        self.next("input_rgb_image_sized")?;
        let mut means = [0.0; 3];
        for mean in &mut means {
            *mean = self.float()?;
        }
        let sides = [self.int()?, self.int()?];
        if sides != [SIDE; 2] || means.iter().zip(MEANS).any(|(a, b)| (a - b).abs() > 1e-3) {
            return Err(format!(
                "is another network of dlib, for images of {}x{} with the means {means:?}; {WANTED}",
                sides[0], sides[1]
            ));
        }
        let mut entries = BTreeMap::new();
        let mut convolutions = 0;
        let stem = ["con", "affine", "relu", "max_pool"];
        let blocks = BLOCKS.iter().flat_map(|&down| if down { &DOWN[..] } else { &BLOCK[..] });
        for &kind in stem.iter().chain(blocks).chain(&["avg_pool", "fc"]) {
            self.next(kind)?;
            match kind {
                "con" => {
                    convolutions += 1;
                    self.convolution(convolutions, &mut entries)?;
                }
                "affine" => self.affine(convolutions, &mut entries)?,
                "fc" => {
                    let [outputs, inputs] = [self.size()?, self.size()?];
                    let values = self.tensor()?;
                    let count = inputs.checked_mul(outputs).ok_or_else(|| damaged("odd sizes of fc"))?;
                    self.expect(&values, count, "fc")?;
                    entries.insert("fc.weights".to_owned(), Entry::floats(vec![inputs, outputs], values.start as u64));
                }
                _ => {}
            }
        }
        if !self.bytes[self.at..].ends_with(&END) {
            return Err(damaged("its end is missing"));
        }
        Ok(entries)
    }

    fn convolution(&mut self, number: usize, entries: &mut BTreeMap<String, Entry>) -> Result<(), String> {
        let values = self.tensor()?;
        // Filters, height, width, both strides, both paddings; then the version and the sizes of the filters.
        for _ in 0..8 {
            self.int()?;
        }
        let shape = vec![self.size()?, self.size()?, self.size()?, self.size()?];
        let (filters, all) = (shape[0], shape.iter().try_fold(1_usize, |all, &size| all.checked_mul(size)));
        let all = all.and_then(|all| all.checked_add(filters)).ok_or_else(|| damaged("odd sizes of filters"))?;
        self.expect(&values, all, "con")?;
        let biases = values.end - 4 * filters;
        entries.insert(format!("con{number}.filters"), Entry::floats(shape, values.start as u64));
        entries.insert(format!("con{number}.biases"), Entry::floats(vec![filters], biases as u64));
        Ok(())
    }

    fn affine(&mut self, number: usize, entries: &mut BTreeMap<String, Entry>) -> Result<(), String> {
        let values = self.tensor()?;
        let channels = values.len() / 8;
        self.expect(&values, 2 * channels, "affine")?;
        let floats = |begin: usize| Entry::floats(vec![channels], begin as u64);
        let same = |value| Entry { meaning: Meaning::Constant(value), ..floats(0) };
        entries.insert(format!("affine{number}.gamma"), floats(values.start));
        entries.insert(format!("affine{number}.beta"), floats(values.start + 4 * channels));
        entries.insert(format!("affine{number}.mean"), same(0.0));
        entries.insert(format!("affine{number}.variance"), same(1.0 - DLIB_EPS));
        Ok(())
    }

    fn expect(&self, values: &Range<usize>, count: usize, kind: &str) -> Result<(), String> {
        if values.len() / 4 == count {
            return Ok(());
        }
        Err(damaged(&format!("a layer {kind} has {} values instead of {count}", values.len() / 4)))
    }

    /// Goes behind the name of the next layer, which must be of this kind.
    fn next(&mut self, kind: &str) -> Result<(), String> {
        let found = self.layer();
        match found {
            Some(name) if name.trim_end_matches(|c: char| c == '_' || c.is_ascii_digit()) == kind => Ok(()),
            Some(name) => Err(format!(
                "is another network of dlib: it has the layer {} in the place of {kind}; give \
                 dlib_face_recognition_resnet_model_v1.dat",
                shown(&name)
            )),
            None => Err(damaged(&format!("it ends before the layer {kind}"))),
        }
    }

    /// Goes behind the next name, if there is one close by.
    fn layer(&mut self) -> Option<String> {
        let end = self.bytes.len().min(self.at + BETWEEN);
        for at in self.at..end {
            let length = match self.bytes[at..] {
                [1, length @ 3..=40, ..] => usize::from(length),
                _ => continue,
            };
            let name = self.bytes.get(at + 2..at + 2 + length)?;
            let named = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_';
            if name.iter().all(named) && name[..2].iter().all(u8::is_ascii_lowercase) {
                self.at = at + 2 + length;
                return Some(String::from_utf8_lossy(name).into_owned());
            }
        }
        None
    }

    /// Where the values of a tensor are.
    fn tensor(&mut self) -> Result<Range<usize>, String> {
        let version = self.int()?;
        if version != 2 {
            return Err(format!(
                "has tensors of the version {version}, this version of facenet-gpu reads 2; save it with another version of dlib"
            ));
        }
        let sizes = [self.size()?, self.size()?, self.size()?, self.size()?];
        let bytes = sizes.iter().try_fold(4_usize, |bytes, &size| bytes.checked_mul(size));
        let end = bytes.and_then(|bytes| self.at.checked_add(bytes)).filter(|&end| end <= self.bytes.len());
        let values = self.at..end.ok_or_else(|| damaged("values are missing"))?;
        self.at = values.end;
        Ok(values)
    }

    fn int(&mut self) -> Result<i64, String> {
        let missing = || damaged("it ends within a layer");
        let head = *self.bytes.get(self.at).ok_or_else(missing)?;
        let length = usize::from(head & 0x0f);
        let bytes = self.bytes.get(self.at + 1..self.at + 1 + length).ok_or_else(missing)?;
        if length > 8 || head & 0x70 != 0 {
            return Err(damaged("a broken number"));
        }
        self.at += 1 + length;
        let magnitude = bytes.iter().rev().fold(0_i64, |n, &byte| (n << 8) | i64::from(byte));
        Ok(if head & 0x80 == 0 { magnitude } else { magnitude.wrapping_neg() })
    }

    fn size(&mut self) -> Result<usize, String> {
        self.int().and_then(|n| usize::try_from(n).map_err(|_| damaged("a size below zero")))
    }

    /// A number as dlib writes floats outside of tensors: mantissa and exponent.
    fn float(&mut self) -> Result<f64, String> {
        let (mantissa, exponent) = (self.int()?, self.int()?);
        Ok(mantissa as f64 * 2_f64.powi(i32::try_from(exponent).unwrap_or(0)))
    }
}
