//! A matrix of embeddings as a safetensors file.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::json;

/// Name of the tensor.
const NAME: &str = "embeddings";

/// The header of a matrix of 32-bit floats, and what is said of it.
pub(super) fn header(rows: usize, dim: usize, info: &BTreeMap<&str, String>) -> Vec<u8> {
    let header = json!({
        "__metadata__": info,
        NAME: { "dtype": "F32", "shape": [rows, dim], "data_offsets": [0, rows * dim * size_of::<f32>()] },
    });
    let mut text = header.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text].concat()
}

/// Rows, columns and values, row by row, of a file's content.
///
/// # Errors
/// It is no safetensors file, is cut short, or holds no matrix of embeddings.
pub(super) fn parse(bytes: &[u8]) -> Result<(usize, usize, Vec<f32>), String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| format!("is no safetensors file or is cut short ({e}); copy it again"))?;
    let tensor = file.tensor(NAME).or_else(|e| match &file.tensors()[..] {
        [(name, _)] => file.tensor(name),
        _ => Err(e),
    });
    let tensor = tensor.map_err(|_| format!("has no tensor \"{NAME}\", which holds one embedding a row"))?;
    match (tensor.shape(), tensor.dtype()) {
        (&[rows, dim], Dtype::F32) if dim > 0 => Ok((rows, dim, bytemuck::pod_collect_to_vec(tensor.data()))),
        (shape, kind) => Err(format!("has a tensor of {kind:?} with sizes {shape:?}; a matrix of F32 is needed")),
    }
}
