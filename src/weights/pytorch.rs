//! PyTorch's own files, read without Python. A pickle is a program for Python's pickle machine; here it is only read:
//! what it would call is not called, and a file that asks for more than a state dict needs is refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use pytorch_reader::{PickleError, PickleValue, PytorchError, PytorchReader};
use zip::{CompressionMethod, ZipArchive};

use super::entry::{Data, Entry, damaged};
use super::unusable;
use crate::text::shown;
use crate::{Error, Result};

/// Most operations of a file's pickles. A state dict needs some 60 for each tensor; each may cost a hundred bytes.
const MAX_OPERATIONS: usize = 1_000_000;
/// Most bytes of one string or number in a pickle: names are shorter.
const MAX_TEXT: u64 = 1 << 14;

/// Modules whose objects are plain data that a checkpoint may hold beside the weights.
const HARMLESS: [&str; 6] = ["torch", "numpy", "collections", "_codecs", "datetime", "argparse"];

/// Every tensor of a file that `torch.save` wrote, in the zip format or the older one. Values are not read yet.
///
/// # Errors
/// The file cannot be read, is neither, is cut short or damaged, asks for code to be run, or claims more than it holds.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Entry>> {
    let fail = |message: String| unusable(path, &message);
    let mut file = BufReader::new(File::open(path).map_err(Error::io("read", path))?);
    let length = file.get_ref().metadata().map_err(Error::io("read", path))?.len();
    check(&mut file).map_err(fail)?;
    let reader = PytorchReader::new(path).map_err(|e| fail(explain(&e)))?;
    let whole = PytorchReader::read_pickle_data(path, None).map_err(|e| fail(explain(&e)))?;
    if let Some(call) = foreign_call(&whole) {
        return Err(fail(not_run(call)));
    }
    let mut tensors = BTreeMap::new();
    for (name, tensor) in reader.into_tensors() {
        // A view may repeat a few bytes without end.
        if tensor.byte_len() as u64 > length {
            let (name, shape, bytes) = (shown(&name), tensor.shape(), tensor.byte_len());
            let message =
                format!("has the tensor {name} {shape:?} of {bytes} bytes, more than the file of {length} bytes");
            return Err(fail(format!("{message} holds; save it again with tensor.contiguous()")));
        }
        let (shape, dtype) = (tensor.shape().to_vec(), format!("{:?}", tensor.dtype()).to_uppercase());
        tensors.insert(name, Entry { shape, dtype, data: Data::PyTorch(tensor) });
    }
    Ok(tensors)
}

/// What is said of a file that asks for code to be run.
fn not_run(call: &str) -> String {
    format!(
        "asks Python to call {}, which was not done and no state dict needs; get it from somebody you trust, or \
         save the weights alone with torch.save(network.state_dict(), ...)",
        shown(call)
    )
}

/// What the reader says, for people.
fn explain(error: &PytorchError) -> String {
    match error {
        PytorchError::Pickle(PickleError::UnsupportedType(name)) if is_foreign(name) => not_run(name),
        // The older format keeps the source code of modules beside the module.
        PytorchError::Pickle(PickleError::InvalidData(text)) if text.contains("persistent id has 4 fields") => {
            "holds a whole module with its source code, not a state dict; save one with \
             torch.save(network.state_dict(), ...)"
                .into()
        }
        PytorchError::InvalidFormat(text) => match text.split_once("at the root of the PyTorch file, found ") {
            Some((_, found)) if is_foreign(found) => not_run(found),
            Some((_, found)) => {
                let found = shown(found);
                format!("holds a {found}, not a state dict; save one with torch.save(network.state_dict(), ...)")
            }
            None => damaged(text),
        },
        other => damaged(&other.to_string()),
    }
}

/// The first call in a pickle's result that is none of plain data.
fn foreign_call(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::Unsupported(name) => is_foreign(name).then_some(name),
        PickleValue::List(items) => items.iter().find_map(foreign_call),
        PickleValue::Dict(items) => items.values().find_map(foreign_call),
        _ => None,
    }
}

/// Whether a callable is none of plain data. Without a dot the reader names a kind of object, such as a large integer.
fn is_foreign(name: &str) -> bool {
    name.split_once('.').is_some_and(|(module, _)| !HARMLESS.contains(&module))
}

/// Looks at a file before the reader does, so that a small file cannot make it take much memory.
fn check(file: &mut BufReader<File>) -> Result<(), String> {
    let start = file.fill_buf().map_err(|e| damaged(&e.to_string()))?;
    match start {
        [b'P', b'K', 3, 4, ..] => check_zip(file),
        _ if start.get(257..262) == Some(b"ustar") => {
            Err("is a tar archive, as PyTorch wrote before 2017; load it with torch.load and save it again".into())
        }
        // The older format: five pickles and then the values. All protocols since 2003 begin with this byte.
        [0x80, ..] => check_pickles(file, 5),
        _ => Err("is neither safetensors nor a file that torch.save wrote; give one of these".into()),
    }
}

/// As [`check`], of the zip format.
fn check_zip(file: &mut BufReader<File>) -> Result<(), String> {
    let mut archive = ZipArchive::new(file.by_ref()).map_err(|e| damaged(&e.to_string()))?;
    let mut pickles = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(|e| damaged(&e.to_string()))?;
        if entry.compression() != CompressionMethod::Stored || entry.size() != entry.compressed_size() {
            let remedy = "load it with torch.load and save it again with torch.save";
            return Err(format!("is a compressed archive, which torch.save does not write; {remedy}"));
        }
        let name = entry.name().map_err(|e| damaged(&e.to_string()))?;
        if name.ends_with("data.pkl") {
            pickles.push(i);
        }
    }
    if pickles.is_empty() {
        return Err("is an archive without data.pkl, so torch.save did not write it; give a file that it wrote".into());
    }
    for i in pickles {
        let entry = archive.by_index(i).map_err(|e| damaged(&e.to_string()))?;
        check_pickles(&mut BufReader::new(entry), 1)?;
    }
    file.rewind().map_err(|e| damaged(&e.to_string()))
}

/// Walks over the operations of `count` pickles, and refuses too many and too long ones. What is no pickle is left to
/// the reader.
fn check_pickles(file: &mut impl BufRead, count: usize) -> Result<(), String> {
    let too_much = || {
        "is damaged or holds far more than a state dict; save one with torch.save(network.state_dict(), ...)"
            .to_string()
    };
    let mut stops = 0;
    for _ in 0..MAX_OPERATIONS {
        let Some(op) = byte(file) else { return Ok(()) };
        let (size, lines) = match op {
            b'.' => {
                stops += 1;
                if stops == count {
                    return Ok(());
                }
                (0, 0)
            }
            b'K' | b'q' | b'h' | 0x80 | 0x82 => (1, 0),
            b'M' | 0x83 => (2, 0),
            b'J' | b'j' | b'r' | 0x84 => (4, 0),
            // A frame is a hint only: its operations follow.
            b'G' | 0x95 => (8, 0),
            b'U' | b'C' | 0x8a | 0x8c => (number(file, 1), 0),
            b'T' | b'X' | b'B' | 0x8b => (number(file, 4), 0),
            0x8d | 0x8e | 0x96 => (number(file, 8), 0),
            b'F' | b'I' | b'L' | b'S' | b'V' | b'P' | b'p' | b'g' => (0, 1),
            b'c' | b'i' => (0, 2),
            _ => (0, 0),
        };
        if size > MAX_TEXT || !skip(file, size, lines) {
            return Err(too_much());
        }
    }
    Err(too_much())
}

fn byte(file: &mut impl BufRead) -> Option<u8> {
    let byte = *file.fill_buf().ok()?.first()?;
    file.consume(1);
    Some(byte)
}

/// A little-endian number of `bytes` bytes; zero at the end of the file.
fn number(file: &mut impl BufRead, bytes: u32) -> u64 {
    (0..bytes).filter_map(|i| Some(u64::from(byte(file)?) << (8 * i))).sum()
}

/// Skips `size` bytes and `lines` lines; false if a line is too long.
fn skip(file: &mut impl BufRead, size: u64, lines: usize) -> bool {
    let mut text = Vec::new();
    let skipped = file.by_ref().take(size).read_to_end(&mut text).is_ok();
    skipped
        && (0..lines).all(|_| {
            text.clear();
            file.by_ref().take(MAX_TEXT).read_until(b'\n', &mut text).is_ok() && (text.len() as u64) < MAX_TEXT
        })
}
