//! The structure of a JPEG: whether it has an end, and how much picture data it needs and has.

/// What the markers of a JPEG say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Structure {
    /// There is an end-of-image marker: without one the file is cut short.
    pub(super) complete: bool,
    /// Bytes of entropy-coded data.
    pub(super) scan_bytes: u64,
    /// The fewest bytes of it that the picture can have.
    pub(super) least_bytes: u64,
}

impl Structure {
    /// Walks the segments, so that the end of an embedded thumbnail does not count.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let mut rest = bytes.get(2..).unwrap_or_default();
        let mut in_scan = false;
        while let Some(marker) = rest.iter().position(|&x| x == 0xFF) {
            found.scan_bytes += if in_scan { marker as u64 } else { 0 };
            rest = &rest[marker + 1..];
            match rest {
                [0xD9, ..] => {
                    found.complete = true;
                    break;
                }
                // Fill bytes, stuffed zeros and restart markers inside scan data, none of which has a length.
                [0xFF, ..] => {}
                [0x00, tail @ ..] => {
                    found.scan_bytes += 1;
                    rest = tail;
                }
                [0x01 | 0xD0..=0xD8, tail @ ..] => rest = tail,
                [kind, high, low, ..] => {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    let Some((segment, tail)) = rest.split_at_checked(1 + length.max(2)) else { break };
                    found.least_bytes = found.least_bytes.max(least_bits(*kind, &segment[3..]) / 8);
                    in_scan |= *kind == 0xDA;
                    rest = tail;
                }
                _ => break,
            }
        }
        found
    }
}

/// The fewest bits of a picture whose frame header this is; none for other segments. Every block of 8x8 values has a code
/// for its mean, in a progressive picture, too, whose other scans may pass over any number of blocks at once; in a
/// sequential one it also has a code for the end of the block. A code has at least one bit.
fn least_bits(kind: u8, header: &[u8]) -> u64 {
    let per_block = match kind {
        0xC0 | 0xC1 => 2,
        0xC2 => 1,
        _ => return 0,
    };
    let [_, h1, h0, w1, w0, count, parts @ ..] = header else { return 0 };
    let [height, width] = [[*h1, *h0], [*w1, *w0]].map(|side| u64::from(u16::from_be_bytes(side)));
    let factors = || parts.chunks_exact(3).take(usize::from(*count)).map(|part| (part[1] >> 4, part[1] & 15));
    let most = factors().fold((1, 1), |(h, v), (x, y)| (x.max(h), y.max(v)));
    let blocks = |side: u64, factor: u8, most: u8| (side * u64::from(factor)).div_ceil(8 * u64::from(most));
    per_block * factors().map(|(h, v)| blocks(width, h, most.0) * blocks(height, v, most.1)).sum::<u64>()
}
