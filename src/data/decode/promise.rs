//! What an image file promises before anything is decoded, and whether it is long enough to keep it: a small file must
//! not cost the memory of a large picture.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use image::ImageFormat;

use super::jpeg;

/// Most bytes of EXIF data that are looked at for the orientation. JPEG's own limit is 64 KiB.
pub(super) const MAX_EXIF: u64 = 1 << 20;
/// Bytes that one byte of deflate data can stand for at most: copies of 258 bytes, one bit each for length and distance.
const DEFLATE_RATIO: u64 = 1032;

/// Bytes of picture data in a file, and the fewest that a picture of its kind needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Promise {
    /// Bytes of picture data, as far as the file holds them.
    pub(super) data: u64,
    /// The fewest bytes for a picture.
    pub(super) least: Least,
    /// Sides of the largest frame that the file holds, where these may differ from those of the picture.
    pub(super) frame: (u32, u32),
    /// The EXIF data are of a reasonable size and wholly there.
    pub(super) exif: bool,
}

/// The fewest bytes that hold a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Least {
    /// For pictures of any size: squares of `side` pixels need `bits` bits each, all divided by `ratio`.
    Squares { side: u64, bits: u64, ratio: u64 },
    /// For the one picture of the file.
    Bytes(u64),
}

impl Least {
    /// Formats in which a file of a few bytes may rightly hold a large flat picture.
    const NONE: Self = Self::Bytes(0);

    /// The same number of bits for each pixel.
    fn pixels(bits: u64) -> Self {
        Self::Squares { side: 1, bits, ratio: 1 }
    }

    fn bytes(self, width: u32, height: u32) -> u64 {
        match self {
            Self::Squares { side, bits, ratio } => {
                u64::from(width).div_ceil(side) * u64::from(height).div_ceil(side) * bits / (8 * ratio)
            }
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Promise {
    /// Reads the structure of a file of `length` bytes, from its start, and returns to it. What cannot be understood
    /// promises nothing: the decoder says what is wrong with it.
    pub(super) fn of(file: &mut (impl BufRead + Seek), format: ImageFormat, length: u64) -> io::Result<Self> {
        let mut promise = Self { data: length, least: Least::NONE, frame: (0, 0), exif: true };
        match format {
            ImageFormat::Png => png(file, length, &mut promise)?,
            ImageFormat::WebP => webp(file, length, &mut promise)?,
            ImageFormat::Bmp => promise.least = bmp(file)?,
            ImageFormat::Pnm => promise.least = pnm(file)?,
            _ => {}
        }
        file.seek(SeekFrom::Start(0))?;
        Ok(promise)
    }

    /// The same of a JPEG.
    pub(super) fn of_jpeg(jpeg: &jpeg::Structure) -> Self {
        Self { data: jpeg.scan_bytes, least: Least::Bytes(jpeg.least_bytes), frame: (0, 0), exif: true }
    }

    /// Checks that the file can hold a picture of this size, which is what the decoder goes by.
    pub(super) fn check(&self, width: u32, height: u32) -> Result<(), String> {
        let (frame_width, frame_height) = self.frame;
        if frame_width > width || frame_height > height {
            return Err(format!(
                "cannot be decoded: it says that it is {width}x{height} pixels and holds {frame_width}x{frame_height}; \
                 copy it again or delete it"
            ));
        }
        if self.data < self.least.bytes(width, height) {
            let data = self.data;
            return Err(format!(
                "cannot be decoded: {width}x{height} pixels need more than its {data} bytes of picture data, most of them \
                 are missing; copy it again or delete it"
            ));
        }
        Ok(())
    }
}

/// Fills `bytes` from position `at`; false where the file ends before.
fn read_at<const N: usize>(file: &mut (impl Read + Seek), at: u64, bytes: &mut [u8; N]) -> io::Result<bool> {
    file.seek(SeekFrom::Start(at))?;
    match file.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

/// Deflated rows: all of them are needed, interlaced or not.
fn png(file: &mut (impl Read + Seek), length: u64, promise: &mut Promise) -> io::Result<()> {
    let (mut at, mut head) = (8, [0; 8]);
    promise.data = 0;
    while read_at(file, at, &mut head)? {
        let [a, b, c, d, kind @ ..] = head;
        let size = u64::from(u32::from_be_bytes([a, b, c, d]));
        match &kind {
            b"IHDR" => {
                let mut header = [0; 10];
                if !read_at(file, at + 8, &mut header)? {
                    break;
                }
                let channels = [1, 0, 3, 1, 2, 0, 4].get(usize::from(header[9])).copied().unwrap_or(0);
                let bits = u64::from(header[8]) * channels;
                promise.least = Least::Squares { side: 1, bits, ratio: DEFLATE_RATIO };
            }
            b"IDAT" => promise.data += size.min(length.saturating_sub(at + 8)),
            b"IEND" => break,
            _ => {}
        }
        at += 12 + size;
    }
    Ok(())
}

/// Lossy frames need a bit for each macroblock of 16x16 pixels, whose modes are coded one by one. In a lossless frame
/// codes may have no bits at all.
fn webp(file: &mut (impl Read + Seek), length: u64, promise: &mut Promise) -> io::Result<()> {
    let (mut at, mut head) = (12, [0; 8]);
    while read_at(file, at, &mut head)? {
        let [kind @ .., a, b, c, d] = head;
        let size = u64::from(u32::from_le_bytes([a, b, c, d]));
        let mut frame = [0; 10];
        match &kind {
            b"VP8 " if read_at(file, at + 8, &mut frame)? => {
                let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
                let (width, height) = (side(frame[6], frame[7]), side(frame[8], frame[9]));
                promise.frame = (promise.frame.0.max(width), promise.frame.1.max(height));
                if promise.least == Least::NONE {
                    promise.data = size.min(length - at - 8);
                    let whole = Least::Squares { side: 16, bits: 1, ratio: 1 };
                    promise.least = Least::Bytes(whole.bytes(width, height));
                }
            }
            b"EXIF" => promise.exif &= size <= MAX_EXIF && at + 8 + size <= length,
            // A frame of an animation: behind 16 bytes come chunks of its own, and behind these the next frame.
            b"ANMF" => {
                at += 24;
                continue;
            }
            _ => {}
        }
        at += 8 + size.next_multiple_of(2);
    }
    Ok(())
}

/// Plain rows, or run lengths that may leave the rest of a picture out.
fn bmp(file: &mut (impl Read + Seek)) -> io::Result<Least> {
    let mut header = [0; 34];
    if !read_at(file, 0, &mut header)? {
        return Ok(Least::NONE);
    }
    let short = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
    // The oldest header has 12 bytes and no compression.
    let old = header[14..18] == [12, 0, 0, 0];
    let plain = old || matches!(header[30..34], [0 | 3 | 6, 0, 0, 0]);
    let bits = short(if old { 24 } else { 28 });
    Ok(if plain && bits <= 32 { Least::pixels(bits) } else { Least::NONE })
}

/// Bits or bytes, or text with a digit at least for each value.
fn pnm(file: &mut impl BufRead) -> io::Result<Least> {
    Ok(Least::pixels(match file.fill_buf()?.get(1) {
        Some(b'4') => 1,
        Some(b'3' | b'6') => 24,
        _ => 8,
    }))
}

/// A PNG without what a picture does not need: colour profiles and texts, which may be compressed a thousandfold, and
/// the frames of an animation behind the first. It is read once from its start to its end.
pub(super) struct Essential<R> {
    file: BufReader<R>,
    /// Header of the chunk that is being read, and how much of it has been.
    head: ([u8; 8], usize),
    /// Bytes left of the chunk behind its header, or of the signature.
    left: u64,
}

impl<R: Read + Seek> Essential<R> {
    pub(super) fn new(file: BufReader<R>) -> Self {
        Self { file, head: ([0; 8], 8), left: 8 }
    }

    /// Goes on to the next chunk that is needed; at the end of the file to none.
    fn advance(&mut self) -> io::Result<()> {
        loop {
            if self.file.fill_buf()?.is_empty() {
                return Ok(());
            }
            let mut head = [0; 8];
            let mut read = 0;
            while read < head.len() {
                match self.file.read(&mut head[read..])? {
                    // What is left of a cut chunk goes to the decoder, which will say so.
                    0 => break,
                    bytes => read += bytes,
                }
            }
            let [a, b, c, d, kind @ ..] = head;
            let size = u64::from(u32::from_be_bytes([a, b, c, d]));
            // A capital letter at the beginning marks what no decoder may pass over.
            let needed = kind[0].is_ascii_uppercase() || kind == *b"tRNS" || kind == *b"eXIf" && size <= MAX_EXIF;
            if needed || read < head.len() {
                let missing = head.len() - read;
                head.rotate_right(missing);
                self.head = (head, missing);
                self.left = size + 4;
                return Ok(());
            }
            self.file.seek_relative(i64::from(u32::from_be_bytes([a, b, c, d])) + 4)?;
        }
    }
}

impl<R: Read + Seek> BufRead for Essential<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.head.1 == self.head.0.len() && self.left == 0 {
            self.advance()?;
        }
        if self.head.1 < self.head.0.len() {
            return Ok(&self.head.0[self.head.1..]);
        }
        let buffer = self.file.fill_buf()?;
        let length = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        Ok(&buffer[..length])
    }

    fn consume(&mut self, bytes: usize) {
        if self.head.1 < self.head.0.len() {
            self.head.1 += bytes;
        } else {
            self.file.consume(bytes);
            self.left -= bytes as u64;
        }
    }
}

impl<R: Read + Seek> Read for Essential<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(to)?;
        self.consume(length);
        Ok(length)
    }
}

impl<R: Read + Seek> Seek for Essential<R> {
    /// The type that decoders are built on asks for it; that of PNG reads straight on.
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a PNG is read from its start to its end"))
    }
}
