//! Products of bytes: tiles of a few queries by some images, whose sums stay in registers. All instruction sets compute the
//! same integers.

#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

use super::{ByteVectors, value};

/// Most sums of a tile of any processor.
const MOST_SUMS: usize = 14 * 32;

/// A query and the best images for it so far, by value and then by index.
#[derive(Debug, Clone, Default)]
pub(super) struct List {
    /// The best first.
    pub(super) found: Vec<(f32, u32)>,
}

impl List {
    /// The value that an image must be better than to be among `k`.
    fn to_beat(&self, k: usize) -> f32 {
        self.found.get(k - 1).map_or(f32::NEG_INFINITY, |last| last.0)
    }

    /// Puts an image behind all that are as good: they have lower indices.
    fn insert(&mut self, k: usize, value: f32, at: u32) {
        self.found.truncate(k - 1);
        let place = self.found.partition_point(|found| found.0 >= value);
        self.found.insert(place, (value, at));
    }
}

/// The instructions that tiles are computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Instructions {
    /// Those of this processor, or of less as the device was told.
    pub(super) fn of_processor() -> Self {
        match crate::cpu::instruction_set() {
            #[cfg(target_arch = "x86_64")]
            "AVX-512" if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw") => Self::Vnni,
            #[cfg(target_arch = "x86_64")]
            "AVX-512" | "AVX2" if is_x86_feature_detected!("avx2") => Self::Avx2,
            _ => Self::Portable,
        }
    }

    /// All that this processor has.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                all.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw") {
                all.push(Self::Vnni);
            }
        }
        all
    }

    /// The queries `rows` in the order in which tiles read them.
    pub(super) fn pack(self, queries: &ByteVectors, rows: Range<usize>) -> Packed {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => packed::<x86::Vnni>(queries, rows),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => packed::<x86::Avx2>(queries, rows),
            Self::Portable => packed::<Portable>(queries, rows),
        }
    }

    /// The `k` best of the images `images` for each query, which [`pack`](Self::pack) of the same instructions packed.
    pub(super) fn scan(self, gallery: &ByteVectors, images: Range<usize>, queries: &Packed, k: usize) -> Vec<List> {
        let mut lists = vec![List::default(); queries.count];
        match self {
            // SAFETY: the processor has these instructions, or they would not have been chosen.
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => unsafe { x86::vnni(gallery, images, queries, k, &mut lists) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::avx2(gallery, images, queries, k, &mut lists) },
            Self::Portable => scan::<Portable>(gallery, images, queries, k, &mut lists),
        }
        lists
    }
}

/// Queries in words of some dimensions each: `[tiles, words, HEIGHT]`, with zeros behind the last query.
#[derive(Debug)]
pub(super) struct Packed {
    words: Vec<u32>,
    /// What the sums of each query begin with.
    begin: Vec<i32>,
    count: usize,
}

/// A way to compute a tile. Images and queries come in words of 32 bits: as many dimensions as the instructions multiply and
/// add into one sum.
trait Tile {
    /// Queries of a tile.
    const HEIGHT: usize;
    /// Images of a tile.
    const WIDTH: usize;
    /// Dimensions of a word.
    const DEPTH: usize;

    /// The word of a query.
    fn word(bytes: &[i8]) -> u32;
    /// The word of an image.
    fn image_word(bytes: &[i8]) -> u32 {
        Self::word(bytes)
    }
    /// What the sums of a query begin with.
    fn begin(_query: &[i8]) -> i32 {
        0
    }
    /// Sums `[HEIGHT, WIDTH]` of the products of `panel` `[words, WIDTH]` and `queries` `[words, HEIGHT]`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn sums(panel: &[u32], queries: &[u32], begin: &[i32], sums: &mut [i32; MOST_SUMS]);
}

fn packed<T: Tile>(queries: &ByteVectors, rows: Range<usize>) -> Packed {
    let (count, words) = (rows.len(), queries.dim().div_ceil(T::DEPTH));
    let tiles = count.div_ceil(T::HEIGHT);
    let mut packed = Packed { words: vec![0; tiles * words * T::HEIGHT], begin: vec![0; tiles * T::HEIGHT], count };
    for (at, row) in rows.enumerate() {
        let (row, tile, place) = (queries.row(row), at / T::HEIGHT, at % T::HEIGHT);
        packed.begin[at] = T::begin(row);
        let tile = &mut packed.words[tile * words * T::HEIGHT..];
        for (word, bytes) in tile[place..].iter_mut().step_by(T::HEIGHT).zip(row.chunks(T::DEPTH)) {
            *word = T::word(bytes);
        }
    }
    packed
}

/// Inlined into the functions that compile it for their instructions.
#[inline(always)]
fn scan<T: Tile>(gallery: &ByteVectors, images: Range<usize>, queries: &Packed, k: usize, lists: &mut [List]) {
    let words = gallery.dim().div_ceil(T::DEPTH);
    let mut panel = vec![0; words * T::WIDTH];
    let mut inverse = vec![0.0; T::WIDTH];
    let mut sums = [0; MOST_SUMS];
    let mut to_beat = vec![f32::NEG_INFINITY; lists.len()];
    for first in images.clone().step_by(T::WIDTH) {
        let width = T::WIDTH.min(images.end - first);
        inverse[..width].copy_from_slice(&gallery.inverse()[first..first + width]);
        for place in 0..width {
            let row = gallery.row(first + place);
            for (word, bytes) in panel[place..].iter_mut().step_by(T::WIDTH).zip(row.chunks(T::DEPTH)) {
                *word = T::image_word(bytes);
            }
        }
        let tiles = queries.words.chunks_exact(words * T::HEIGHT).zip(queries.begin.chunks_exact(T::HEIGHT));
        let lists = lists.chunks_mut(T::HEIGHT).zip(to_beat.chunks_mut(T::HEIGHT));
        for ((queries, begin), (lists, to_beat)) in tiles.zip(lists) {
            // SAFETY: the processor has the instructions, or this function would not run.
            unsafe { T::sums(&panel, queries, begin, &mut sums) };
            let rows = sums.chunks_exact(T::WIDTH);
            for ((list, worst), sums) in lists.iter_mut().zip(to_beat).zip(rows) {
                let better = sums.iter().zip(&inverse).fold(false, |any, (&s, &i)| any | (value(s, i) > *worst));
                if better {
                    for (at, (&sum, &inverse)) in sums.iter().zip(&inverse[..width]).enumerate() {
                        let value = value(sum, inverse);
                        if value > *worst {
                            list.insert(k, value, u32::try_from(first + at).expect("vectors are counted in u32"));
                            *worst = list.to_beat(k);
                        }
                    }
                }
            }
        }
    }
}

/// Two dimensions as integers of 16 bits.
#[cfg(target_arch = "x86_64")]
fn pair(bytes: &[i8]) -> u32 {
    let half = |at: usize| u32::from(bytes.get(at).map_or(0, |&x| i16::from(x).cast_unsigned()));
    half(0) | half(1) << 16
}

/// For any processor: compilers make good use of floats everywhere, and floats hold these integers exactly.
struct Portable;

impl Portable {
    /// Most dimensions whose products, of at most 128 times 128, add up to less than 2^24.
    const EXACT: usize = 1023;
}

impl Tile for Portable {
    const HEIGHT: usize = 4;
    const WIDTH: usize = 8;
    const DEPTH: usize = 1;

    fn word(bytes: &[i8]) -> u32 {
        f32::from(bytes[0]).to_bits()
    }

    #[inline(always)]
    unsafe fn sums(panel: &[u32], queries: &[u32], begin: &[i32], sums: &mut [i32; MOST_SUMS]) {
        sums.chunks_exact_mut(Self::WIDTH).zip(begin).for_each(|(sums, &begin)| sums.fill(begin));
        let queries = queries.chunks(Self::EXACT * Self::HEIGHT);
        for (panel, queries) in panel.chunks(Self::EXACT * Self::WIDTH).zip(queries) {
            let mut tile = [[0.0_f32; Self::WIDTH]; Self::HEIGHT];
            for (images, queries) in panel.chunks_exact(Self::WIDTH).zip(queries.chunks_exact(Self::HEIGHT)) {
                for (sums, &query) in tile.iter_mut().zip(queries) {
                    for (sum, &image) in sums.iter_mut().zip(images) {
                        *sum += f32::from_bits(query) * f32::from_bits(image);
                    }
                }
            }
            for (sum, part) in sums.iter_mut().zip(tile.as_flattened()) {
                #[expect(clippy::cast_possible_truncation, reason = "the sums are integers")]
                let part = *part as i32;
                *sum += part;
            }
        }
    }
}
