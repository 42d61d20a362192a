//! Image formats that are not read, by their first bytes: an image of one of them may have the name of a JPEG.

/// The name of the format, if it is one that is not read.
pub(super) fn name(start: &[u8]) -> Option<&'static str> {
    let magic = |bytes: &[u8]| start.starts_with(bytes);
    if magic(b"GIF87a") || magic(b"GIF89a") {
        return Some("GIF");
    }
    if magic(b"II*\0") || magic(b"MM\0*") || magic(b"II+\0") || magic(b"MM\0+") {
        return Some("TIFF");
    }
    if magic(b"\xff\x0a") || magic(b"\0\0\0\x0cJXL ") {
        return Some("JPEG XL");
    }
    if magic(b"\0\0\0\x0cjP  ") || magic(b"\xff\x4f\xff\x51") {
        return Some("JPEG 2000");
    }
    // A box of ISO's base media format, and what its contents are.
    match start.get(4..12)? {
        [b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's'] => Some("AVIF"),
        [b'f', b't', b'y', b'p', b'h', b'e', ..] => Some("HEIC"),
        [b'f', b't', b'y', b'p', brand @ ..] if brand == b"mif1" || brand == b"msf1" => {
            // The general brand: which one it is stands among those that it is compatible with.
            let avif = start.get(16..).unwrap_or_default().chunks(4).any(|brand| brand == b"avif");
            Some(if avif { "AVIF" } else { "HEIC" })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_first_bytes() {
        for (start, expected) in [
            (&b"GIF89a\x01\0"[..], Some("GIF")),
            (b"II*\0\x08\0\0\0", Some("TIFF")),
            (b"MM\0*\0\0\0\x08", Some("TIFF")),
            (b"\0\0\0\x20ftypavif\0\0\0\0", Some("AVIF")),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1", Some("HEIC")),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", Some("AVIF")),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic", Some("HEIC")),
            (b"\0\0\0\x0cJXL \r\n\x87\n", Some("JPEG XL")),
            (b"\0\0\0\x20ftypisom\0\0\x02\0", None),
            (b"\xff\xd8\xff\xe0", None),
            (b"\x89PNG\r\n", None),
            (b"", None),
        ] {
            assert_eq!(name(start), expected, "{start:?}");
        }
    }
}
