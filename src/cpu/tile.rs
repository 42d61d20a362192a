//! Register tiles: the inner loops of every matrix product on the CPU device, for AVX-512, AVX2 and any other processor.
//!
//! A tile is a few rows by one or two vectors of sums that stay in registers while a product runs over its whole depth.
//! [`Tiles::rows`] takes the rows of its left factor from anywhere, which is what makes a convolution a product without an expanded
//! matrix. [`Tiles::cols`] wants the columns of its own packed: they are far apart, at distances that share few sets of the cache.

mod jobs;

use std::sync::LazyLock;

pub(crate) use jobs::{Cols, Rows, Taps, part_of_next};

use super::Shared;
use super::winograd::{self, Transforms};

/// The tiles of this processor.
pub(crate) fn tiles() -> &'static Tiles {
    static TILES: LazyLock<Tiles> = LazyLock::new(Tiles::detect);
    &TILES
}

/// Most rows that a tile of any processor has.
pub(crate) const HIGHEST: usize = 14;
/// Most floats in a row of a tile.
pub(crate) const WIDEST: usize = 32;

/// Most rows of sums that [`Taps`] keeps in registers, each of one vector or two.
const TAPS_HEIGHT: usize = 4;

/// The kernels of one instruction set.
#[derive(Debug)]
pub(crate) struct Tiles {
    /// Name of the instruction set.
    pub(crate) name: &'static str,
    /// Most rows of a tile.
    pub(crate) height: usize,
    /// Floats of a vector.
    pub(crate) lanes: usize,
    /// Winograd's transforms in the same vectors.
    pub(crate) transforms: &'static Transforms,
    rows: unsafe fn(&Rows<'_>, &[usize], *mut f32, &[usize]),
    cols: unsafe fn(&Cols<'_>, &mut [f32], &[usize]),
    pack: unsafe fn(&[f32], &[usize], *mut f32),
    taps: unsafe fn(&Taps<'_>, &mut [f32]),
}

impl Tiles {
    fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            // Lets a fast machine test and time what slower ones run.
            let allowed = std::env::var("FACENET_CPU_ISA").unwrap_or_default();
            let may = |name: &str| allowed.is_empty() || allowed == name;
            if may("avx512") && is_x86_feature_detected!("avx512f") {
                return avx512::TILES;
            }
            if may("avx2") && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return avx2::TILES;
            }
        }
        portable::TILES
    }

    /// Every set of tiles that this processor runs.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![portable::TILES];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(avx2::TILES);
            }
            if is_x86_feature_detected!("avx512f") {
                all.push(avx512::TILES);
            }
        }
        all
    }

    /// Packs columns of a left factor for [`cols`](Self::cols), a vector each: `len` floats that are `first` behind each of the places
    /// `at`, which ascend.
    pub(crate) fn pack(&self, a: &[f32], at: &[usize], first: usize, len: usize, to: &mut [f32]) {
        assert_eq!(to.len(), at.len() * self.lanes, "a vector for each column");
        // Whole vectors as far as there are so many floats.
        let whole = at.partition_point(|at| at + first + self.lanes <= a.len());
        assert!(at[..whole].is_sorted(), "places ascend");
        // SAFETY: the instruction set was detected, and the lines above check the addresses.
        unsafe { (self.pack)(&a[first.min(a.len())..], &at[..whole], to.as_mut_ptr()) }
        for (&at, to) in at[whole..].iter().zip(to[whole * self.lanes..].chunks_exact_mut(self.lanes)) {
            to[..len].copy_from_slice(&a[at + first..][..len]);
        }
    }

    /// Floats of a full panel.
    pub(crate) fn panel(&self) -> usize {
        2 * self.lanes
    }

    /// Computes a tile: rows beginning at `at` of `a`, to be written at `to` of `out`.
    pub(crate) fn rows(&self, job: &Rows<'_>, at: &[usize], out: &mut [f32], to: &[usize]) {
        // SAFETY: `out` is borrowed here alone.
        unsafe { self.rows_of(job, at, &Shared::new(out), to) }
    }

    /// The same in a buffer that other threads write, too.
    ///
    /// # Safety
    /// The rows that are written, each as wide as the panel, are the caller's alone.
    pub(crate) unsafe fn rows_of(&self, job: &Rows<'_>, at: &[usize], out: &Shared<'_>, to: &[usize]) {
        let depth = job.runs * job.len;
        let width = job.width;
        let last = if depth == 0 { 0 } else { (job.runs - 1) * job.pitch + job.len };
        assert!(at.len() == to.len() && (1..=self.height).contains(&at.len()), "rows of a tile");
        assert!(width == self.lanes || width == self.panel(), "the width of a panel");
        assert_eq!(job.b.len(), depth * width, "a panel");
        assert!(job.bias.is_none_or(|b| b.len() >= width), "a bias as wide as the panel");
        assert!(at.iter().all(|&at| at + last <= job.a.len()), "left rows in bounds");
        assert!(to.iter().all(|&to| to + width <= out.len()), "output rows in bounds");
        // SAFETY: the instruction set was detected, and the lines above check every address that the kernel forms:
        // `at[m] + r * pitch + k` lies below `at[m] + last`, panel rows and output rows are whole.
        unsafe { (self.rows)(job, at, out.as_mut_ptr(), to) }
    }

    /// Computes a tile, to be written at `to` of `out`.
    pub(crate) fn cols(&self, job: &Cols<'_>, out: &mut [f32], to: &[usize]) {
        let (width, height) = (job.width, to.len());
        assert!((1..=self.height).contains(&height), "rows of a tile");
        assert!(width == self.lanes || width == self.panel(), "the width of a panel");
        assert_eq!(job.b.len() / width * self.lanes, job.a.len(), "a row of the panel for each column");
        assert_eq!(job.b.len() % width, 0, "whole rows of the panel");
        assert!(to.iter().all(|&to| to + width <= out.len()), "output rows in bounds");
        // SAFETY: as above; a column has a vector of floats, at least `height`.
        unsafe { (self.cols)(job, out, to) }
    }

    /// Computes some rows of a depthwise product.
    pub(crate) fn taps(&self, job: &Taps<'_>, out: &mut [f32]) {
        let last = job.count.checked_sub(1).expect("at least one row");
        let most = |places: &[usize]| places.iter().max().map(|most| most + job.channels);
        let end = |first: usize, step: usize| last.checked_mul(step).and_then(|len| len.checked_add(first));
        let (a, to) = (end(job.first, job.step).expect("an index"), end(job.to, job.to_step).expect("an index"));
        assert_eq!(job.from.len(), job.with.len(), "terms of a sum");
        assert!(most(job.from).is_none_or(|most| a + most <= job.a.len()), "left rows in bounds");
        assert!(most(job.with).is_none_or(|most| most <= job.b.len()), "right rows in bounds");
        assert!(job.bias.is_none_or(|b| b.len() >= job.channels), "a bias for each channel");
        assert!(to + job.channels <= out.len(), "output rows in bounds");
        // SAFETY: as above; rows begin at or before `a` and `to`, and end `channels` behind where their terms begin.
        unsafe { (self.taps)(job, out) }
    }
}

/// The kernels for vectors of one type. A macro, because a function with a target feature inlines nothing generic that
/// lacks it.
macro_rules! tiles {
    ($name:ident, $label:literal, $lanes:literal, [$($feature:literal)?], [$($height:literal)*]) => {
        mod $name {
            use super::{Cols, HIGHEST, Rows, TAPS_HEIGHT, Taps, Tiles, winograd};

            pub(super) const TILES: Tiles = Tiles {
                name: $label,
                height: [$($height),*].len(),
                lanes: $lanes,
                transforms: &winograd::$name::TRANSFORMS,
                rows: any_rows,
                cols: any_cols,
                pack,
                taps: all_taps,
            };
            const _: () = assert!(TILES.height <= HIGHEST && TILES.height <= $lanes);

            $(#[target_feature(enable = $feature)])?
            unsafe fn rows<const M: usize, const W: usize>(job: &Rows<'_>, at: &[usize], out: *mut f32, to: &[usize]) {
                // SAFETY: the caller checked all addresses.
                unsafe {
                    let mut sums = [[zero(); W]; M];
                    let mut a = [job.a.as_ptr(); M];
                    for m in 0..M {
                        a[m] = a[m].add(*at.get_unchecked(m));
                        if let Some(bias) = job.bias {
                            for v in 0..W {
                                sums[m][v] = load(bias.as_ptr().add(v * $lanes));
                            }
                        }
                    }
                    for m in 0..M {
                        // Its lines arrive while the sums are made.
                        let row = out.add(*to.get_unchecked(m));
                        fetch(row);
                        fetch(row.add(W * $lanes - 1));
                    }
                    let (mut ahead, step) = (job.a.as_ptr().wrapping_add(job.ahead.unwrap_or(0)), if job.ahead.is_some() { 16 } else { 0 });
                    let (mut next, next_step) = match job.next {
                        Some((floats, lines)) => (floats.as_ptr(), 16 * lines),
                        None => (job.a.as_ptr(), 0),
                    };
                    let mut b = job.b.as_ptr();
                    for r in 0..job.runs {
                        for k in r * job.pitch..r * job.pitch + job.len {
                            let mut row = [zero(); W];
                            for v in 0..W {
                                row[v] = load(b.add(v * $lanes));
                            }
                            b = b.add(W * $lanes);
                            // A hint, which may point behind the end.
                            fetch(ahead);
                            ahead = ahead.wrapping_add(step);
                            fetch_far(next);
                            if W * $lanes > 16 {
                                fetch_far(next.wrapping_add(16));
                            }
                            next = next.wrapping_add(next_step);
                            for m in 0..M {
                                let x = splat(*a[m].add(k));
                                for v in 0..W {
                                    sums[m][v] = mul_add(x, row[v], sums[m][v]);
                                }
                            }
                        }
                    }
                    for m in 0..M {
                        for v in 0..W {
                            let (mut sum, to) = (sums[m][v], out.add(*to.get_unchecked(m) + v * $lanes));
                            if job.accumulate {
                                sum = mul_add(splat(job.scale), sum, load(to));
                            }
                            store(to, if job.relu { max(zero(), sum) } else { sum });
                        }
                    }
                }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn cols<const M: usize, const W: usize>(job: &Cols<'_>, out: *mut f32, to: &[usize]) {
                // SAFETY: the caller checked all addresses.
                unsafe {
                    let mut sums = [[zero(); W]; M];
                    if job.accumulate {
                        for m in 0..M {
                            for v in 0..W {
                                sums[m][v] = load(out.add(*to.get_unchecked(m) + v * $lanes));
                            }
                        }
                    }
                    for (column, b) in job.a.chunks_exact($lanes).zip(job.b.chunks_exact(W * $lanes)) {
                        let (column, b) = (column.as_ptr(), b.as_ptr());
                        let mut row = [zero(); W];
                        for v in 0..W {
                            row[v] = load(b.add(v * $lanes));
                        }
                        for m in 0..M {
                            let x = splat(*column.add(m));
                            for v in 0..W {
                                sums[m][v] = mul_add(x, row[v], sums[m][v]);
                            }
                        }
                    }
                    for m in 0..M {
                        for v in 0..W {
                            store(out.add(*to.get_unchecked(m) + v * $lanes), sums[m][v]);
                        }
                    }
                }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn pack(a: &[f32], at: &[usize], to: *mut f32) {
                for (i, &at) in at.iter().enumerate() {
                    // SAFETY: the caller checked all addresses.
                    unsafe { store(to.add(i * $lanes), load(a.as_ptr().add(at))) }
                }
            }

            unsafe fn any_rows(job: &Rows<'_>, at: &[usize], out: *mut f32, to: &[usize]) {
                // SAFETY: the caller's.
                unsafe {
                    match (at.len(), job.width == $lanes) {
                        $(($height, true) => rows::<$height, 1>(job, at, out, to),
                        ($height, false) => rows::<$height, 2>(job, at, out, to),)*
                        _ => unreachable!("the height was checked"),
                    }
                }
            }

            unsafe fn any_cols(job: &Cols<'_>, out: &mut [f32], to: &[usize]) {
                let out = out.as_mut_ptr();
                // SAFETY: the caller's.
                unsafe {
                    match (to.len(), job.width == $lanes) {
                        $(($height, true) => cols::<$height, 1>(job, out, to),
                        ($height, false) => cols::<$height, 2>(job, out, to),)*
                        _ => unreachable!("the height was checked"),
                    }
                }
            }

            /// `M` rows of a depthwise product, of `W` vectors of channels from `c` on. Where terms slide, three of them
            /// share what they read.
            $(#[target_feature(enable = $feature)])?
            #[inline]
            unsafe fn taps_at<const M: usize, const W: usize>(
                job: &Taps<'_>,
                slide: bool,
                a: *const f32,
                out: *mut f32,
                c: usize,
            ) {
                // SAFETY: the caller checked all addresses.
                unsafe {
                    let mut sums = [[zero(); W]; M];
                    for m in 0..M {
                        for v in 0..W {
                            if job.accumulate {
                                sums[m][v] = load(out.add(m * job.to_step + c + v * $lanes));
                            } else if let Some(bias) = job.bias {
                                sums[m][v] = load(bias.as_ptr().add(c + v * $lanes));
                            }
                        }
                    }
                    let (b, step) = (job.b.as_ptr(), job.step);
                    if let Some(ahead) = job.ahead {
                        for m in 0..M {
                            for v in 0..W {
                                // A hint, which may point behind the end.
                                fetch(a.wrapping_add(m * step + ahead + c + v * $lanes));
                            }
                        }
                    }
                    if slide {
                        for (from, with) in job.from.chunks_exact(3).zip(job.with.chunks_exact(3)) {
                            let mut rows = [[zero(); W]; 3];
                            for s in 0..3 {
                                for v in 0..W {
                                    rows[s][v] = load(b.add(with[s] + c + v * $lanes));
                                }
                            }
                            let a = a.add(from[0] + c);
                            for j in 0..M + 2 {
                                for v in 0..W {
                                    let x = load(a.add(j * step + v * $lanes));
                                    for s in 0..3 {
                                        if j >= s && j - s < M {
                                            sums[j - s][v] = mul_add(x, rows[s][v], sums[j - s][v]);
                                        }
                                    }
                                }
                            }
                        }
                    } else {
                        for (&from, &with) in job.from.iter().zip(job.with) {
                            let a = a.add(from + c);
                            for v in 0..W {
                                let row = load(b.add(with + c + v * $lanes));
                                for m in 0..M {
                                    sums[m][v] = mul_add(load(a.add(m * step + v * $lanes)), row, sums[m][v]);
                                }
                            }
                        }
                    }
                    for m in 0..M {
                        for v in 0..W {
                            let sum = if job.relu { max(zero(), sums[m][v]) } else { sums[m][v] };
                            store(out.add(m * job.to_step + c + v * $lanes), sum);
                        }
                    }
                }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn taps<const M: usize>(job: &Taps<'_>, slide: bool, a: *const f32, out: *mut f32) {
                // SAFETY: the caller checked all addresses.
                unsafe {
                    let mut c = 0;
                    while c + 2 * $lanes <= job.channels {
                        taps_at::<M, 2>(job, slide, a, out, c);
                        c += 2 * $lanes;
                    }
                    if c + $lanes <= job.channels {
                        taps_at::<M, 1>(job, slide, a, out, c);
                        c += $lanes;
                    }
                    while c < job.channels {
                        for m in 0..M {
                            let to = out.add(m * job.to_step + c);
                            let mut sum = if job.accumulate { *to } else { job.bias.map_or(0.0, |bias| bias[c]) };
                            for (&from, &with) in job.from.iter().zip(job.with) {
                                sum += *a.add(m * job.step + from + c) * *job.b.as_ptr().add(with + c);
                            }
                            *to = if job.relu && sum < 0.0 { 0.0 } else { sum };
                        }
                        c += 1;
                    }
                }
            }

            unsafe fn all_taps(job: &Taps<'_>, out: &mut [f32]) {
                let slide = job.slides();
                for m in (0..job.count).step_by(TAPS_HEIGHT) {
                    // SAFETY: the caller's.
                    unsafe {
                        let a = job.a.as_ptr().wrapping_add(job.first + m * job.step);
                        let out = out.as_mut_ptr().add(job.to + m * job.to_step);
                        match job.count - m {
                            1 => taps::<1>(job, slide, a, out),
                            2 => taps::<2>(job, slide, a, out),
                            3 => taps::<3>(job, slide, a, out),
                            _ => taps::<TAPS_HEIGHT>(job, slide, a, out),
                        }
                    }
                }
            }

            tiles!(@vector $name);
        }
    };
    (@vector avx512) => {
        use std::arch::x86_64::{
            _mm512_fmadd_ps as mul_add, _mm512_loadu_ps as load, _mm512_max_ps as max, _mm512_set1_ps as splat,
            _mm512_setzero_ps as zero, _mm512_storeu_ps as store,
        };
        use super::{fetch, fetch_far};
    };
    (@vector avx2) => {
        use std::arch::x86_64::{
            _mm256_fmadd_ps as mul_add, _mm256_loadu_ps as load, _mm256_max_ps as max, _mm256_set1_ps as splat,
            _mm256_setzero_ps as zero, _mm256_storeu_ps as store,
        };
        use super::{fetch, fetch_far};
    };
    (@vector portable) => {
        use crate::cpu::four::*;

        fn fetch(_: *const f32) {}
        fn fetch_far(_: *const f32) {}
    };
}

#[cfg(target_arch = "x86_64")]
tiles!(avx512, "AVX-512", 16, ["avx512f"], [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
#[cfg(target_arch = "x86_64")]
tiles!(avx2, "AVX2", 8, ["avx2,fma"], [1 2 3 4 5 6]);
tiles!(portable, "portable", 4, [], [1 2 3 4]);

/// Asks for a cache line; any address will do.
#[cfg(target_arch = "x86_64")]
#[inline]
fn fetch(at: *const f32) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing that a program can see, and faults nowhere.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

/// The same, as far as the second-level cache: what is wanted later.
#[cfg(target_arch = "x86_64")]
#[inline]
fn fetch_far(at: *const f32) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    // SAFETY: as above.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
}
