//! The transforms of Winograd's convolution (Lavin and Gray, 2015) in vectors of channels, for every instruction set of
//! [`tile`](super::tile).
//!
//! One dimension at a time: `T` pixels become `T` values whose products with `T` values of the kernel give `M` pixels of the
//! output. The values are a polynomial's at the points 0, `±a`, `±b`, .. and at infinity, so that pairs of points share
//! their even and odd parts. Two dimensions are one after the other.
//!
//! Three taps with stride 2 are two taps on the even pixels and one on the odd: the even ones are transformed, with the values first,
//! the odd ones stay as they are, and all of these have the same product with the middle tap.

mod jobs;
mod points;

pub(crate) use jobs::{Input, Output};
use points::pairs;
pub(crate) use points::{distinct, kernel_transform};

/// Pixels that a transform takes and gives, in each direction: `[T, M]`.
pub(crate) type Size = [[usize; 2]; 2];

/// The transforms of one instruction set.
#[derive(Debug)]
pub(crate) struct Transforms {
    lanes: usize,
    input: unsafe fn(Size, &Input<'_>, *mut f32),
    gradient: unsafe fn(Size, &Input<'_>, *mut f32),
    output: unsafe fn(Size, &Output<'_>, *mut f32),
}

impl Transforms {
    /// Transforms a tile of the input into its values, `channels` floats each.
    ///
    /// # Safety
    /// These floats are the caller's alone.
    pub(crate) unsafe fn input(&self, size: Size, job: &Input<'_>, out: &super::Shared<'_>) {
        Self::check(size, size.map(|[t, _]| t), job, out);
        // SAFETY: the instruction set was detected with the tiles', and `check` checks what is read and written.
        unsafe { (self.input)(size, job, out.as_mut_ptr()) }
    }

    /// Transforms a tile of the output's gradient, as a kernel of `M` x `M` taps is, for a product with a tile of the input. The sums are
    /// transformed by [`output`](Self::output) into the gradient of the kernel, with its taps in place of `M`.
    ///
    /// # Safety
    /// As [`input`](Self::input).
    pub(crate) unsafe fn gradient(&self, size: Size, job: &Input<'_>, out: &super::Shared<'_>) {
        Self::check(size, size.map(|[_, m]| m), job, out);
        // SAFETY: as above.
        unsafe { (self.gradient)(size, job, out.as_mut_ptr()) }
    }

    /// Checks the addresses of a job that reads so many rows and columns.
    fn check([[t_h, _], [t_w, _]]: Size, [rows, cols]: [usize; 2], job: &Input<'_>, out: &super::Shared<'_>) {
        assert!(job.rows.end <= rows && job.cols.end <= cols, "pixels of a tile");
        if !job.rows.is_empty() && !job.cols.is_empty() {
            let at = |row: usize, col: usize| job.at + (row * job.pitch + col * job.channels).cast_signed();
            let last = at(job.rows.end - 1, job.cols.end - 1) + job.channels.cast_signed();
            assert!(at(job.rows.start, job.cols.start) >= 0 && last <= job.x.len().cast_signed(), "a tile in bounds");
        }
        assert!(job.to + (t_h * t_w - 1) * job.step + job.channels <= out.len(), "values in bounds");
    }

    /// Transforms sums into a tile of the output.
    ///
    /// # Safety
    /// The floats that are written, `channels` of each pixel, are the caller's alone.
    pub(crate) unsafe fn output(&self, size: Size, job: &Output<'_>, out: &super::Shared<'_>) {
        let [[t_h, m_h], [t_w, m_w]] = size;
        let [h, w] = job.pixels;
        assert!((1..=m_h).contains(&h) && (1..=m_w).contains(&w), "pixels of a tile");
        assert!(job.width == self.lanes || job.width == 2 * self.lanes, "the width of a panel");
        assert!(job.channels <= job.width && job.bias.is_none_or(|b| b.len() >= job.width), "channels of a panel");
        assert!(job.at + (t_h * t_w - 1) * job.step + job.width <= job.sums.len(), "sums in bounds");
        assert!(job.to + (h - 1) * job.pitch + (w - 1) * job.pixel + job.channels <= out.len(), "a tile in bounds");
        // SAFETY: as above, and the caller's promise.
        unsafe { (self.output)(size, job, out.as_mut_ptr()) }
    }
}

/// A macro for the same reason as in [`tile`](super::tile).
macro_rules! transforms {
    ($name:ident, $lanes:literal, [$($feature:literal)?], $vector:ty) => {
        pub(super) mod $name {
            use super::{Input, Output, Size, Transforms, pairs};

            pub(crate) const TRANSFORMS: Transforms =
                Transforms { lanes: $lanes, input: any_input, gradient: any_gradient, output: any_output };

            type V = $vector;

            /// `T` values of `T` pixels: the matrix `B` transposed.
            $(#[target_feature(enable = $feature)])?
            #[inline]
            unsafe fn values<const T: usize>(d: [V; T]) -> [V; T] {
                if T == 1 {
                    return d;
                }
                let mut r = [zero(); T];
                if T == 5 {
                    (r[0], r[1], r[2]) = (sub(d[0], d[2]), d[2], sub(d[4], d[2]));
                    (r[3], r[4]) = (d[1], d[3]);
                    return r;
                }
                if T == 7 {
                    // SAFETY: the caller's.
                    let even = unsafe { values::<4>([d[0], d[2], d[4], d[6]]) };
                    r[..4].copy_from_slice(&even);
                    (r[4], r[5], r[6]) = (d[1], d[3], d[5]);
                    return r;
                }
                let pairs = const { pairs(T) };
                // The product of (x² - p²) over all pairs but number `but`, by falling powers of x².
                let product = |but: usize, from: usize| {
                    let squares = |i: usize| pairs[i] * pairs[i];
                    let others = || (0..pairs.len()).filter(move |&i| i != but);
                    let mut c = [0.0f32; 5];
                    c[0] = 1.0;
                    let mut n = 1;
                    for i in others() {
                        let mut k = n;
                        while k > 0 {
                            c[k] -= squares(i) * c[k - 1];
                            k -= 1;
                        }
                        n += 1;
                    }
                    let mut sum = d[from];
                    for k in 1..n {
                        sum = mul_add(splat(c[k]), d[from - 2 * k], sum);
                    }
                    sum
                };
                r[0] = product(usize::MAX, T - 2);
                for i in 0..pairs.len() {
                    let (even, odd) = (product(i, T - 2), product(i, T - 3));
                    r[1 + 2 * i] = mul_add(splat(pairs[i]), odd, even);
                    r[2 + 2 * i] = mul_add(splat(-pairs[i]), odd, even);
                }
                r[T - 1] = product(usize::MAX, T - 1);
                r
            }

            /// `T` values of `R` pixels of an input, or, if they are fewer, of as many taps of a kernel: the matrix `G`.
            $(#[target_feature(enable = $feature)])?
            #[inline]
            #[expect(clippy::cast_possible_truncation, reason = "computed in f64, used in f32")]
            unsafe fn values_of<const T: usize, const R: usize>(d: [V; R]) -> [V; T] {
                let mut r = [zero(); T];
                if T == R {
                    r.copy_from_slice(&d);
                    // SAFETY: the caller's.
                    return unsafe { values::<T>(r) };
                }
                let pairs = const { pairs(T) };
                // Coefficients that are rounded more than once would add to the error.
                let mut scale = 1.0f64;
                for &p in pairs {
                    scale *= f64::from(-p * p);
                }
                r[0] = mul_add(splat((1.0 / scale) as f32), d[0], zero());
                for i in 0..pairs.len() {
                    let p = f64::from(pairs[i]);
                    let mut scale = 2.0 * p * p;
                    for (j, &q) in pairs.iter().enumerate() {
                        scale *= if j == i { 1.0 } else { p * p - f64::from(q * q) };
                    }
                    let (mut even, mut odd) = (zero(), zero());
                    let mut power = 1.0 / scale;
                    for (k, &d) in d.iter().enumerate() {
                        let sum = if k % 2 == 0 { &mut even } else { &mut odd };
                        *sum = mul_add(splat(power as f32), d, *sum);
                        power *= p;
                    }
                    (r[1 + 2 * i], r[2 + 2 * i]) = (add(even, odd), sub(even, odd));
                }
                r[T - 1] = d[R - 1];
                r
            }

            /// `M` pixels of `T` sums: the matrix `A` transposed.
            $(#[target_feature(enable = $feature)])?
            #[inline]
            unsafe fn pixels<const T: usize, const M: usize>(s: [V; T]) -> [V; M] {
                let mut y = [zero(); M];
                if T == 1 {
                    y[0] = s[0];
                    return y;
                }
                if T == 5 {
                    (y[0], y[1]) = (add(add(s[0], s[1]), s[3]), add(add(s[1], s[2]), s[4]));
                    return y;
                }
                if T == 7 {
                    // SAFETY: the caller's.
                    y = unsafe { pixels::<4, M>([s[0], s[1], s[2], s[3]]) };
                    for m in 0..M {
                        y[m] = add(y[m], s[4 + m]);
                    }
                    return y;
                }
                let pairs = const { pairs(T) };
                y[0] = s[0];
                for i in 0..pairs.len() {
                    let (p, q) = (s[1 + 2 * i], s[2 + 2 * i]);
                    let (even, odd) = (add(p, q), sub(p, q));
                    let mut power = 1.0;
                    for m in 0..M {
                        let of = if m % 2 == 0 { even } else { odd };
                        y[m] = if m == 0 { add(y[0], of) } else { mul_add(splat(power), of, y[m]) };
                        power *= pairs[i];
                    }
                }
                y[M - 1] = add(y[M - 1], s[T - 1]);
                y
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn input<const H: usize, const RH: usize, const W: usize, const RW: usize>(job: &Input<'_>, out: *mut f32) {
                // SAFETY: the caller checked all addresses.
                unsafe {
                    let inside = job.rows == (0..RH) && job.cols == (0..RW);
                    let mut c = 0;
                    if inside {
                        while c + $lanes <= job.channels {
                            input_at::<H, RH, W, RW, true>(job, c, out);
                            c += $lanes;
                        }
                    }
                    while c < job.channels {
                        input_at::<H, RH, W, RW, false>(job, c, out);
                        c += $lanes;
                    }
                }
            }

            /// A vector of channels from `c` on; `WHOLE` if there are so many and the whole tile lies in the image.
            $(#[target_feature(enable = $feature)])?
            #[inline]
            unsafe fn input_at<const H: usize, const RH: usize, const W: usize, const RW: usize, const WHOLE: bool>(
                job: &Input<'_>,
                c: usize,
                out: *mut f32,
            ) {
                // SAFETY: the caller checked all addresses.
                unsafe {
                    let rest = job.channels - c;
                    let mut rows = [[zero(); W]; RH];
                    for h in 0..RH {
                        if WHOLE || job.rows.contains(&h) {
                            let mut row = [zero(); RW];
                            let line = job.at + (h * job.pitch + c).cast_signed();
                            for w in 0..RW {
                                if WHOLE || job.cols.contains(&w) {
                                    let from = job.x.as_ptr().offset(line + (w * job.channels).cast_signed());
                                    row[w] = if WHOLE || rest >= $lanes { load(from) } else { load_some(from, rest) };
                                }
                            }
                            rows[h] = values_of::<W, RW>(row);
                        }
                    }
                    for w in 0..W {
                        let mut column = [zero(); RH];
                        for h in 0..RH {
                            column[h] = rows[h][w];
                        }
                        let column = values_of::<H, RH>(column);
                        for h in 0..H {
                            let to = out.add(job.to + (h * W + w) * job.step + c);
                            if WHOLE || rest >= $lanes { store(to, column[h]) } else { store_some(to, column[h], rest) }
                        }
                    }
                }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn output<const H: usize, const MH: usize, const W: usize, const MW: usize>(job: &Output<'_>, out: *mut f32) {
                // SAFETY: the caller checked all addresses.
                unsafe {
                    let inside = job.pixels == [MH, MW];
                    let mut c = 0;
                    if inside {
                        while c + $lanes <= job.channels {
                            output_at::<H, MH, W, MW, true>(job, c, out);
                            c += $lanes;
                        }
                    }
                    while c < job.channels {
                        output_at::<H, MH, W, MW, false>(job, c, out);
                        c += $lanes;
                    }
                }
            }

            /// A vector of channels from `c` on; `WHOLE` if there are so many and the output has the whole tile.
            $(#[target_feature(enable = $feature)])?
            #[inline]
            unsafe fn output_at<const H: usize, const MH: usize, const W: usize, const MW: usize, const WHOLE: bool>(
                job: &Output<'_>,
                c: usize,
                out: *mut f32,
            ) {
                // SAFETY: the caller checked all addresses.
                unsafe {
                    let rest = job.channels - c;
                    let from = job.sums.as_ptr().add(job.at + c);
                    let mut columns = [[zero(); W]; MH];
                    for w in 0..W {
                        let mut column = [zero(); H];
                        for h in 0..H {
                            column[h] = load(from.add((h * W + w) * job.step));
                        }
                        let column = pixels::<H, MH>(column);
                        for h in 0..MH {
                            columns[h][w] = column[h];
                        }
                    }
                    let bias = job.bias.map(|bias| load(bias.as_ptr().add(c)));
                    for h in 0..MH {
                        if !WHOLE && h >= job.pixels[0] {
                            continue;
                        }
                        let row = pixels::<W, MW>(columns[h]);
                        for w in 0..MW {
                            if !WHOLE && w >= job.pixels[1] {
                                continue;
                            }
                            let to = out.add(job.to + h * job.pitch + w * job.pixel + c);
                            let mut y = row[w];
                            if let Some(bias) = bias {
                                y = add(y, bias);
                            }
                            if job.accumulate {
                                y = mul_add(splat(job.scale), y, if WHOLE || rest >= $lanes { load(to) } else { load_some(to, rest) });
                            }
                            if job.relu {
                                y = max(zero(), y);
                            }
                            if WHOLE || rest >= $lanes { store(to, y) } else { store_some(to, y, rest) }
                        }
                    }
                }
            }

            /// The first `len` floats of a vector, zeros behind them.
            $(#[target_feature(enable = $feature)])?
            #[inline]
            unsafe fn load_some(from: *const f32, len: usize) -> V {
                // SAFETY: the caller's.
                unsafe {
                    let mut all = [0.0f32; $lanes];
                    std::ptr::copy_nonoverlapping(from, all.as_mut_ptr(), len);
                    load(all.as_ptr())
                }
            }

            $(#[target_feature(enable = $feature)])?
            #[inline]
            unsafe fn store_some(to: *mut f32, value: V, len: usize) {
                // SAFETY: the caller's.
                unsafe {
                    let mut all = [0.0f32; $lanes];
                    store(all.as_mut_ptr(), value);
                    std::ptr::copy_nonoverlapping(all.as_ptr(), to, len);
                }
            }

            unsafe fn any_input(size: Size, job: &Input<'_>, out: *mut f32) {
                // SAFETY: the caller's.
                unsafe {
                    match size.map(|[t, _]| t) {
                        [4, 4] => input::<4, 4, 4, 4>(job, out),
                        [6, 6] => input::<6, 6, 6, 6>(job, out),
                        [5, 5] => input::<5, 5, 5, 5>(job, out),
                        [7, 7] => input::<7, 7, 7, 7>(job, out),
                        [1, 10] => input::<1, 1, 10, 10>(job, out),
                        [10, 1] => input::<10, 10, 1, 1>(job, out),
                        _ => unreachable!("no such transform"),
                    }
                }
            }

            unsafe fn any_gradient(size: Size, job: &Input<'_>, out: *mut f32) {
                // SAFETY: the caller's.
                unsafe {
                    match size {
                        [[6, 4], [6, 4]] => input::<6, 4, 6, 4>(job, out),
                        [[1, 1], [10, 4]] => input::<1, 1, 10, 4>(job, out),
                        [[10, 4], [1, 1]] => input::<10, 4, 1, 1>(job, out),
                        _ => unreachable!("no such transform"),
                    }
                }
            }

            unsafe fn any_output(size: Size, job: &Output<'_>, out: *mut f32) {
                // SAFETY: the caller's.
                unsafe {
                    match size {
                        [[4, 2], [4, 2]] => output::<4, 2, 4, 2>(job, out),
                        [[6, 4], [6, 4]] => output::<6, 4, 6, 4>(job, out),
                        [[6, 3], [6, 3]] => output::<6, 3, 6, 3>(job, out),
                        [[6, 2], [6, 2]] => output::<6, 2, 6, 2>(job, out),
                        [[5, 2], [5, 2]] => output::<5, 2, 5, 2>(job, out),
                        [[7, 3], [7, 3]] => output::<7, 3, 7, 3>(job, out),
                        [[1, 1], [10, 4]] => output::<1, 1, 10, 4>(job, out),
                        [[10, 4], [1, 1]] => output::<10, 4, 1, 1>(job, out),
                        [[1, 1], [10, 7]] => output::<1, 1, 10, 7>(job, out),
                        [[10, 7], [1, 1]] => output::<10, 7, 1, 1>(job, out),
                        _ => unreachable!("no such transform"),
                    }
                }
            }

            transforms!(@vector $name);
        }
    };
    (@vector avx512) => {
        use std::arch::x86_64::{
            _mm512_add_ps as add, _mm512_fmadd_ps as mul_add, _mm512_loadu_ps as load, _mm512_max_ps as max,
            _mm512_set1_ps as splat, _mm512_setzero_ps as zero, _mm512_storeu_ps as store, _mm512_sub_ps as sub,
        };
    };
    (@vector avx2) => {
        use std::arch::x86_64::{
            _mm256_add_ps as add, _mm256_fmadd_ps as mul_add, _mm256_loadu_ps as load, _mm256_max_ps as max,
            _mm256_set1_ps as splat, _mm256_setzero_ps as zero, _mm256_storeu_ps as store, _mm256_sub_ps as sub,
        };
    };
    (@vector portable) => {
        use crate::cpu::four::*;
    };
}

#[cfg(target_arch = "x86_64")]
transforms!(avx512, 16, ["avx512f"], std::arch::x86_64::__m512);
#[cfg(target_arch = "x86_64")]
transforms!(avx2, 8, ["avx2,fma"], std::arch::x86_64::__m256);
transforms!(portable, 4, [], [f32; 4]);
