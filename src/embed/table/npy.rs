//! NumPy's format of arrays, versions 1 to 3, as far as a matrix of floats needs it
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).
//!
//! Crates that read it bring a parser of Python's literals that needs a C compiler.

/// What every file begins with.
const MAGIC: &[u8] = b"\x93NUMPY";
/// The data begin at a multiple of this.
const ALIGN: usize = 64;

/// The header of a matrix of 32-bit floats.
pub(super) fn header(rows: usize, dim: usize) -> Vec<u8> {
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    let bare = MAGIC.len() + 4;
    while !(bare + text.len() + 1).is_multiple_of(ALIGN) {
        text.push(' ');
    }
    text.push('\n');
    let length = u16::try_from(text.len()).expect("the header is short");
    [MAGIC, &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat()
}

/// Rows, columns and values, row by row, of a file's content.
///
/// # Errors
/// It is no matrix of floats, or is cut short.
pub(super) fn parse(bytes: &[u8]) -> Result<(usize, usize, Vec<f32>), String> {
    let short = || "is cut short; copy it again".to_string();
    let rest = bytes.strip_prefix(MAGIC).ok_or("is no file of NumPy (.npy)")?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        other => return Err(format!("has version {other} of NumPy's format, which is not known")),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(short)?;
    let header = String::from_utf8_lossy(header);
    let value = |key: &str| {
        let behind = header.split_once(&format!("'{key}':"))?.1.trim_start();
        Some(behind)
    };
    let odd = || "has a header that is not understood; save it again with numpy.save".to_string();
    if value("fortran_order").ok_or_else(odd)?.starts_with("True") {
        return Err("is stored column by column; save it with numpy.ascontiguousarray".to_string());
    }
    let kind = value("descr").and_then(|text| text.strip_prefix('\'')?.split('\'').next()).ok_or_else(odd)?;
    let shape = value("shape").and_then(|text| text.strip_prefix('(')?.split(')').next()).ok_or_else(odd)?;
    let sides: Vec<&str> = shape.split(',').map(str::trim).filter(|side| !side.is_empty()).collect();
    let [rows, dim] = sides[..] else {
        return Err(format!("has the shape ({shape}), a matrix of one embedding a row is needed"));
    };
    let (rows, dim): (usize, usize) =
        rows.parse().ok().zip(dim.parse().ok()).filter(|&(_, dim)| dim > 0).ok_or_else(odd)?;
    let size = match kind {
        "<f4" => 4,
        "<f8" => 8,
        "<f2" => 2,
        other => return Err(format!("holds values of type {other}; save it with .astype('float32')")),
    };
    let wanted = rows.checked_mul(dim).and_then(|n| n.checked_mul(size)).ok_or_else(odd)?;
    if data.len() != wanted {
        return Err(if data.len() < wanted { short() } else { odd() });
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of embeddings is meant")]
    let values = match size {
        4 => bytemuck::pod_collect_to_vec(data),
        8 => data.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x) as f32).collect(),
        _ => data.as_chunks().0.iter().map(|x| half::f16::from_le_bytes(*x).to_f32()).collect(),
    };
    Ok((rows, dim, values))
}
