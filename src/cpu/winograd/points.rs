//! The points of the polynomials, and what they make of a kernel.

/// Points beside 0 and infinity, in pairs: `T` is two more than twice their number. With 3/4 and 3/2 the error in `f32` is a
/// third of that with the usual 1 and 2; the four pairs are the best of all that are multiples of 1/8 (and with all of them an exact
/// float, so are the coefficients).
pub(super) const fn pairs(t: usize) -> &'static [f32] {
    match t {
        1 | 5 | 7 => &[],
        4 => &[1.0],
        6 => &[0.75, 1.5],
        10 => &[0.375, 0.75, 1.25, 2.125],
        _ => panic!("no such transform"),
    }
}

/// Values of `T` that have weights of their own; those behind the last have its weights, too.
pub(crate) const fn distinct(t: usize) -> usize {
    match t {
        5 => 4,
        7 => 5,
        _ => t,
    }
}

/// The matrix `G` with which `T` values are made of `taps` weights of a kernel, row-major.
#[expect(clippy::cast_possible_truncation, reason = "computed in f64, used in f32")]
pub(crate) fn kernel_transform(t: usize, taps: usize) -> Vec<f64> {
    match t {
        1 => return vec![1.0],
        3 => return vec![1.0, 0.0, 1.0, 1.0, 0.0, 1.0],
        5 | 7 => {
            let even = kernel_transform(t / 2 + 1, 2);
            let mut g: Vec<f64> = even.chunks_exact(2).flat_map(|g| [g[0], 0.0, g[1]]).collect();
            (0..t / 2).for_each(|_| g.extend([0.0, 1.0, 0.0]));
            return g;
        }
        _ => {}
    }
    let points: Vec<f64> =
        std::iter::once(0.0).chain(pairs(t).iter().flat_map(|&p| [f64::from(p), -f64::from(p)])).collect();
    let mut g = Vec::with_capacity(t * taps);
    for (i, &p) in points.iter().enumerate() {
        let others = points.iter().enumerate().filter(|(j, _)| *j != i);
        let scale: f64 = others.map(|(_, q)| p - q).product();
        g.extend((0..taps).map(|k| p.powi(k as i32) / scale));
    }
    g.extend((0..taps).map(|k| if k + 1 == taps { 1.0 } else { 0.0 }));
    g
}
