//! Axes of tensors in another order.

/// Strides of a row-major tensor.
pub(super) fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

/// A copy of a row-major tensor of sizes `dims`: its axis `i` is axis `order[i]` of the original.
///
/// # Panics
/// If `order` does not name each axis once or `data` has not as many values as `dims` say.
pub(super) fn permute(data: &[f32], dims: &[usize], order: &[usize]) -> Vec<f32> {
    assert_eq!((data.len(), order.len()), (dims.iter().product(), dims.len()), "a tensor of the sizes {dims:?}");
    let strides = contiguous(dims);
    let [dims, strides] = [dims, &strides].map(|per_axis| order.iter().map(|&axis| per_axis[axis]).collect::<Vec<_>>());
    gather(data, &dims, &strides)
}

/// A row-major copy of a tensor whose values stand in `data` with these strides, the first one in front.
///
/// # Panics
/// If a value stands behind the end of `data`.
pub(super) fn gather(data: &[f32], shape: &[usize], strides: &[usize]) -> Vec<f32> {
    let axes: Vec<(usize, usize)> = shape.iter().copied().zip(strides.iter().copied()).collect();
    let (mut at, mut from) = (vec![0; axes.len()], 0);
    let count = shape.iter().product();
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        out.push(data[from]);
        for (at, &(size, stride)) in at.iter_mut().zip(&axes).rev() {
            *at += 1;
            from += stride;
            if *at < size {
                break;
            }
            from -= size * stride;
            *at = 0;
        }
    }
    out
}

/// The order that undoes `order`.
pub(super) fn inverse(order: &[usize]) -> Vec<usize> {
    (0..order.len()).filter_map(|axis| order.iter().position(|&a| a == axis)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_change_places_and_back() {
        let data: Vec<f32> = (0u8..24).map(f32::from).collect();
        let (dims, order) = ([2, 3, 1, 4], [3, 1, 0, 2]);
        let there = permute(&data, &dims, &order);
        // Element [w, h, n, c] there is element [n, h, c, w] of the original.
        assert_eq!(there[1], 12.0);
        assert_eq!(there[2], 4.0);
        assert_eq!(there[6], 1.0);
        assert_eq!(permute(&there, &[4, 3, 2, 1], &inverse(&order)), data);
        assert_eq!(permute(&data, &[24], &[0]), data);
    }
}
