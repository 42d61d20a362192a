//! The similarity transform, a move with a turn and a scale, that brings points nearest to others (Umeyama, 1991).

/// `x' = a x - b y + left`, `y' = b x + a y + top`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Similarity {
    pub(super) a: f64,
    pub(super) b: f64,
    pub(super) left: f64,
    pub(super) top: f64,
}

impl Similarity {
    /// Where a point goes.
    #[cfg(test)]
    pub(super) fn of(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.a * x - self.b * y + self.left, self.b * x + self.a * y + self.top]
    }

    /// How much it enlarges.
    pub(super) fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }

    /// The transform back.
    pub(super) fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, left: -(a * self.left - b * self.top), top: -(b * self.left + a * self.top) }
    }
}

/// A point, and where it should come to.
type Pair = ([f32; 2], [f32; 2]);

/// The transform with the least sum of squared distances from the points, first of each pair, to those that they should come
/// to; without a reflection. `None` where the points coincide, are not finite, or are no more like the others than their mirror
/// image.
pub(super) fn fit(pairs: &[Pair]) -> Option<Similarity> {
    let count = pairs.len() as f64;
    let mean = |of: fn(&Pair) -> [f32; 2]| {
        [0, 1].map(|axis| pairs.iter().map(|pair| f64::from(of(pair)[axis])).sum::<f64>() / count)
    };
    let (from, to) = (mean(|pair| pair.0), mean(|pair| pair.1));
    // Seen as complex numbers, the transform is one factor and one summand.
    let (mut re, mut im, mut square) = (0.0, 0.0, 0.0);
    for (p, q) in pairs {
        let [x, y] = [0, 1].map(|axis| f64::from(p[axis]) - from[axis]);
        let [u, v] = [0, 1].map(|axis| f64::from(q[axis]) - to[axis]);
        re += x * u + y * v;
        im += x * v - y * u;
        square += x * x + y * y;
    }
    let (a, b) = (re / square, im / square);
    let own = Similarity { a, b, left: to[0] - (a * from[0] - b * from[1]), top: to[1] - (b * from[0] + a * from[1]) };
    // A hundredth of a pixel on a side, and faces a thousand times smaller or larger than the picture, are no faces.
    let sound = square / count > 1e-4 && (1e-3..1e3).contains(&own.scale());
    (sound && own.left.is_finite() && own.top.is_finite()).then_some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: [[f32; 2]; 5] = [[30.0, 40.0], [70.0, 42.0], [51.0, 61.0], [35.0, 80.0], [68.0, 79.0]];

    #[test]
    fn a_turned_scaled_and_moved_template_is_found_back() {
        let known = Similarity { a: 0.5, b: -0.3, left: 12.0, top: -4.0 };
        #[expect(clippy::cast_possible_truncation, reason = "landmarks have no more digits")]
        let pairs = POINTS.map(|p| (p, known.of(p.map(f64::from)).map(|x| x as f32)));
        let found = fit(&pairs).unwrap();
        for (have, want) in [(found.a, 0.5), (found.b, -0.3), (found.left, 12.0), (found.top, -4.0)] {
            assert!((have - want).abs() < 1e-5, "{found:?}");
        }
        let back = found.inverse().of(found.of([17.0, 5.0]));
        assert!((back[0] - 17.0).abs() < 1e-9 && (back[1] - 5.0).abs() < 1e-9);
    }

    #[test]
    fn no_other_transform_near_it_is_better() {
        let to = [[33.0, 39.0], [72.0, 45.0], [49.0, 66.0], [37.0, 77.0], [66.0, 81.0_f32]];
        let pairs: Vec<_> = POINTS.into_iter().zip(to).collect();
        let error = |t: &Similarity| -> f64 {
            let apart = |(p, q): &Pair| {
                let [x, y] = t.of(p.map(f64::from));
                (x - f64::from(q[0])).powi(2) + (y - f64::from(q[1])).powi(2)
            };
            pairs.iter().map(apart).sum()
        };
        let best = fit(&pairs).unwrap();
        for (a, b, left, top) in
            [(1e-3, 0.0, 0.0, 0.0), (0.0, 1e-3, 0.0, 0.0), (0.0, 0.0, 0.1, 0.0), (0.0, 0.0, 0.0, 0.1)]
        {
            for sign in [1.0, -1.0] {
                let other = Similarity {
                    a: best.a + sign * a,
                    b: best.b + sign * b,
                    left: best.left + sign * left,
                    top: best.top + sign * top,
                };
                assert!(error(&other) > error(&best));
            }
        }
    }

    #[test]
    fn points_that_coincide_or_are_no_numbers_fit_nothing() {
        assert_eq!(fit(&POINTS.map(|p| ([5.0, 5.0], p))), None);
        assert_eq!(fit(&POINTS.map(|p| ([f32::NAN, 5.0], p))), None);
        assert_eq!(fit(&POINTS.map(|p| (p.map(|x| x * 1e30), p))), None);
        assert_eq!(fit(&[]), None);
    }
}
