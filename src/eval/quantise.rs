//! Embeddings as bytes: the paper stores a face in 128 bytes.

/// The embedding that is left of a row after a trip through one signed byte a dimension: each value in steps of the row's
/// largest by 127, and the length of one again, or where the length tells something (`unit_length` is false) the row's own, which
/// takes a float beside the bytes. The paper says that bytes cost nothing, not how they are made; this is ours.
pub fn through_bytes(row: &[f32], unit_length: bool) -> Vec<f32> {
    let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    if largest == 0.0 {
        return row.to_vec();
    }
    let bytes = row.iter().map(|x| (x / largest * 127.0).round());
    if unit_length { unit(bytes.collect()) } else { bytes.map(|x| x * (largest / 127.0)).collect() }
}

/// A row with the length of one; a row of zeros stays what it is.
pub fn unit(mut row: Vec<f32>) -> Vec<f32> {
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        row.iter_mut().for_each(|x| *x /= length);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_its_direction_to_half_a_step_and_its_length() {
        let row = unit((0..128u8).map(|i| (f32::from(i) - 63.5) * (f32::from(i % 7) - 2.9)).collect());
        let back = through_bytes(&row, true);
        let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let worst = row.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst > 0.0 && worst < largest / 127.0, "{worst} {largest}");
        assert!((back.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        let bytes = |row: &[f32]| through_bytes(row, true);
        assert_eq!((bytes(&[0.0, 0.0]), bytes(&[0.0, -1.0])), (vec![0.0, 0.0], vec![0.0, -1.0]));
        assert_eq!(through_bytes(&[127.0, -63.6], false), [127.0, -64.0]);
    }
}
