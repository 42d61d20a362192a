//! Our safetensors files: tensors and what is said of them, under a digest that covers both.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};
use serde_json::{Map, Value, json};

use super::file::write_whole_by;
use super::{kinds, unusable};
use crate::digest::Digest;
use crate::plan::Shape;
use crate::text::shown;
use crate::{Error, Result};

/// The metadata field that holds the digest.
const DIGEST: &str = "digest";
/// Where the format keeps what a file says of itself.
const METADATA: &str = "__metadata__";

/// A tensor of floats to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floats<'a> {
    pub(crate) dims: &'a [u32],
    pub(crate) data: &'a [f32],
}

/// Writes a file: equal tensors and `info` give equal bytes. A digest is added to `info`: SHA-256 over the header without
/// it, its keys in order, and over the tensors. The file appears whole or not at all, and needs no second copy of the
/// tensors in memory.
///
/// # Errors
/// The folder cannot be written or the disk is full; an older file of that name is then still whole.
pub(crate) fn save(path: &Path, tensors: &BTreeMap<String, Floats<'_>>, info: &BTreeMap<String, String>) -> Result<()> {
    let mut header = Map::new();
    let mut begin = 0;
    for (name, tensor) in tensors {
        let end = begin + size_of_val(tensor.data);
        header.insert(name.clone(), json!({"dtype": "F32", "shape": tensor.dims, "data_offsets": [begin, end]}));
        begin = end;
    }
    header.insert(METADATA.to_string(), json!(info));
    let mut digest = Digest::default();
    digest.bytes(&header_text(&header));
    tensors.values().for_each(|tensor| digest.bytes(bytemuck::cast_slice(tensor.data)));
    header[METADATA][DIGEST] = Value::String(digest.finish());
    write_whole_by(path, |out| write(out, &header, tensors))
}

fn write(out: &mut dyn Write, header: &Map<String, Value>, tensors: &BTreeMap<String, Floats<'_>>) -> io::Result<()> {
    let mut text = header_text(header);
    text.resize(text.len().next_multiple_of(8), b' ');
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(&text)?;
    tensors.values().try_for_each(|tensor| out.write_all(bytemuck::cast_slice(tensor.data)))
}

/// The header as text. Maps of `serde_json` are ordered by key.
fn header_text(header: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(header).expect("a header is plain data")
}

/// What a file says of itself, its digest apart.
///
/// # Errors
/// The bytes are no safetensors file.
pub(crate) fn info(path: &Path, bytes: &[u8]) -> Result<HashMap<String, String>> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| explain(path, bytes, e))?;
    let mut info = header.metadata().clone().unwrap_or_default();
    info.remove(DIGEST);
    Ok(info)
}

/// Name, sizes and values of a file's tensors, in the order of their names.
///
/// # Errors
/// The bytes are no safetensors file, or hold something else than `f32`.
pub(super) fn tensors(path: &Path, bytes: &[u8]) -> Result<Vec<(String, Shape, Vec<f32>)>> {
    let fail = |message: String| unusable(path, &message);
    let file = SafeTensors::deserialize(bytes).map_err(|e| explain(path, bytes, e))?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(fail(format!("has the tensor {} as {:?}, F32 is needed", shown(&name), view.dtype())));
        }
        let dims: Option<Vec<u32>> = view.shape().iter().map(|&d| u32::try_from(d).ok()).collect();
        let shape = dims.and_then(|d| Shape::new(&d).ok());
        let odd = || format!("has the tensor {} with the odd sizes {:?}", shown(&name), view.shape());
        tensors.push((name.clone(), shape.ok_or_else(|| fail(odd()))?, bytemuck::pod_collect_to_vec(view.data())));
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}

/// Checks the digest of a file, which [`info`] could read.
///
/// # Errors
/// There is none, or the file was changed since it was written.
pub(crate) fn check_digest(path: &Path, bytes: &[u8]) -> Result<()> {
    let (size, _) = SafeTensors::read_metadata(bytes).map_err(|e| explain(path, bytes, e))?;
    let (text, data) = bytes[8..].split_at(size);
    let damaged = || unusable(path, "is damaged: its content does not match its digest; copy it again");
    let mut header: Map<String, Value> = serde_json::from_slice(text).map_err(|_| damaged())?;
    let metadata = header.get_mut(METADATA).and_then(Value::as_object_mut);
    let claimed = metadata.and_then(|metadata| metadata.remove(DIGEST));
    let mut digest = Digest::default();
    digest.bytes(&header_text(&header));
    digest.bytes(data);
    if claimed == Some(Value::String(digest.finish())) { Ok(()) } else { Err(damaged()) }
}

/// Refuses fields that are not among `known`: they may change what the tensors mean.
///
/// # Errors
/// There is one.
pub(crate) fn check_fields(path: &Path, info: &HashMap<String, String>, known: &[&str]) -> Result<()> {
    let Some(other) = info.keys().filter(|name| !known.contains(&name.as_str())).min() else { return Ok(()) };
    Err(unusable(
        path,
        &format!("has the metadata field {}, which this version does not know; update facenet-gpu", shown(other)),
    ))
}

/// Why these bytes are no safetensors file.
pub(crate) fn explain(path: &Path, bytes: &[u8], error: SafeTensorError) -> Error {
    let message = match error {
        SafeTensorError::MetadataIncompleteBuffer => {
            "is cut short: it holds fewer bytes than its header promises; copy it again".into()
        }
        // The first eight bytes are the length of the header, which begins with a brace.
        _ if bytes.is_empty() => "is empty; copy it again".into(),
        e if bytes.get(8) == Some(&b'{') => {
            format!("is cut short or damaged ({}); copy it again", shown(&e.to_string()))
        }
        _ => kinds::of(&bytes[..bytes.len().min(kinds::LOOKED_AT)]).unwrap_or_else(|| {
            "is not a safetensors file; give one that `facenet-gpu train` or `facenet-gpu import` wrote".into()
        }),
    };
    unusable(path, &message)
}

/// A safetensors file for other programs: equal tensors and metadata give equal bytes. safetensors keeps metadata in a hash
/// map, whose order would make two equal files differ, so the header's keys are put in order.
pub(super) fn serialise<'a, S: AsRef<str> + Ord + std::fmt::Display>(
    tensors: impl IntoIterator<Item = (S, TensorView<'a>)>,
    info: BTreeMap<String, String>,
) -> Vec<u8> {
    let info: HashMap<String, String> = info.into_iter().collect();
    let bytes = safetensors::serialize(tensors, Some(info)).expect("valid views serialise");
    let (size, data) = bytes.split_at(8);
    let size =
        usize::try_from(u64::from_le_bytes(size.try_into().expect("eight bytes"))).expect("a header fits memory");
    let header: Map<String, Value> = serde_json::from_slice(&data[..size]).expect("a header that was just written");
    let mut sorted = header_text(&header);
    sorted.resize(sorted.len().next_multiple_of(8), b' ');
    [&(sorted.len() as u64).to_le_bytes()[..], &sorted, &data[size..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let tensors = BTreeMap::from([
            ("b".to_string(), Floats { dims: &[2], data: &[1.0, -0.0] }),
            ("a".to_string(), Floats { dims: &[], data: &[f32::NAN] }),
        ]);
        save(&path, &tensors, &BTreeMap::from([("kind".to_string(), "test \"".to_string())])).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        check_digest(&path, &bytes).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!((file.tensor("a").unwrap().shape(), file.tensor("b").unwrap().shape()), (&[][..], &[2][..]));
        // What fills the header up to a multiple of eight bytes says nothing.
        let begin = bytes.len() - 12;
        let ends = bytes[..begin].iter().rposition(|&b| b == b'}').unwrap();
        for at in (0..=ends).chain(begin..bytes.len()) {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(check_digest(&path, &changed).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn equal_content_gives_equal_bytes_as_the_format_wants_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let info: BTreeMap<String, String> = (0..9).map(|i| (format!("field{i}"), i.to_string())).collect();
        let tensors = BTreeMap::from([("x".to_string(), Floats { dims: &[1, 1], data: &[0.5] })]);
        let file = || {
            save(&path, &tensors, &info).unwrap();
            std::fs::read(&path).unwrap()
        };
        let bytes = file();
        assert_eq!(bytes, file());
        assert_eq!((bytes.len() - 4) % 8, 0, "tensors begin at a multiple of eight bytes");
        assert_eq!(super::info(&path, &bytes).unwrap(), info.into_iter().collect());
    }
}
