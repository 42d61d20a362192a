//! Tiles with the instructions of x86.

use std::arch::x86_64::{
    _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32, _mm256_storeu_si256,
    _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512,
};
use std::ops::Range;

use super::{ByteVectors, List, MOST_SUMS, Packed, Tile, pair, scan};

/// Four products of bytes in each lane. The instruction takes one factor without a sign: images are moved up by 128,
/// and the sums begin with as much less.
pub(super) struct Vnni;

const LANES: usize = 16;

impl Tile for Vnni {
    const HEIGHT: usize = 14;
    const WIDTH: usize = 2 * LANES;
    const DEPTH: usize = 4;

    fn word(bytes: &[i8]) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|at| bytes.get(at).map_or(0, |x| x.cast_unsigned())))
    }

    fn image_word(bytes: &[i8]) -> u32 {
        Self::word(bytes) ^ 0x8080_8080
    }

    fn begin(query: &[i8]) -> i32 {
        -128 * query.iter().map(|&x| i32::from(x)).sum::<i32>()
    }

    #[inline(always)]
    unsafe fn sums(panel: &[u32], queries: &[u32], begin: &[i32], out: &mut [i32; MOST_SUMS]) {
        const { assert!(Self::HEIGHT * Self::WIDTH <= MOST_SUMS) };
        // SAFETY: slices are read in whole rows of the sizes that their pointers reach.
        unsafe {
            let mut sums = [[_mm512_set1_epi32(0); 2]; Self::HEIGHT];
            for (sums, &begin) in sums.iter_mut().zip(begin) {
                *sums = [_mm512_set1_epi32(begin); 2];
            }
            for (images, queries) in panel.chunks_exact(Self::WIDTH).zip(queries.chunks_exact(Self::HEIGHT)) {
                let low = _mm512_loadu_si512(images.as_ptr().cast());
                let high = _mm512_loadu_si512(images.as_ptr().add(LANES).cast());
                for m in 0..Self::HEIGHT {
                    let query = _mm512_set1_epi32(queries[m].cast_signed());
                    sums[m] =
                        [_mm512_dpbusd_epi32(sums[m][0], low, query), _mm512_dpbusd_epi32(sums[m][1], high, query)];
                }
            }
            for (out, sums) in out.chunks_exact_mut(Self::WIDTH).zip(sums) {
                _mm512_storeu_si512(out.as_mut_ptr().cast(), sums[0]);
                _mm512_storeu_si512(out.as_mut_ptr().add(LANES).cast(), sums[1]);
            }
        }
    }
}

/// Two products in each lane.
pub(super) struct Avx2;

const HALF: usize = 8;

impl Tile for Avx2 {
    const HEIGHT: usize = 6;
    const WIDTH: usize = 2 * HALF;
    const DEPTH: usize = 2;

    fn word(bytes: &[i8]) -> u32 {
        pair(bytes)
    }

    #[inline(always)]
    unsafe fn sums(panel: &[u32], queries: &[u32], begin: &[i32], out: &mut [i32; MOST_SUMS]) {
        const { assert!(Self::HEIGHT * Self::WIDTH <= MOST_SUMS) };
        // SAFETY: as above.
        unsafe {
            let mut sums = [[_mm256_set1_epi32(0); 2]; Self::HEIGHT];
            for (sums, &begin) in sums.iter_mut().zip(begin) {
                *sums = [_mm256_set1_epi32(begin); 2];
            }
            for (images, queries) in panel.chunks_exact(Self::WIDTH).zip(queries.chunks_exact(Self::HEIGHT)) {
                let low = _mm256_loadu_si256(images.as_ptr().cast());
                let high = _mm256_loadu_si256(images.as_ptr().add(HALF).cast());
                for m in 0..Self::HEIGHT {
                    let query = _mm256_set1_epi32(queries[m].cast_signed());
                    sums[m] = [
                        _mm256_add_epi32(sums[m][0], _mm256_madd_epi16(low, query)),
                        _mm256_add_epi32(sums[m][1], _mm256_madd_epi16(high, query)),
                    ];
                }
            }
            for (out, sums) in out.chunks_exact_mut(Self::WIDTH).zip(sums) {
                _mm256_storeu_si256(out.as_mut_ptr().cast(), sums[0]);
                _mm256_storeu_si256(out.as_mut_ptr().add(HALF).cast(), sums[1]);
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn vnni(g: &ByteVectors, images: Range<usize>, queries: &Packed, k: usize, lists: &mut [List]) {
    scan::<Vnni>(g, images, queries, k, lists);
}

#[target_feature(enable = "avx2")]
pub(super) fn avx2(g: &ByteVectors, images: Range<usize>, queries: &Packed, k: usize, lists: &mut [List]) {
    scan::<Avx2>(g, images, queries, k, lists);
}
