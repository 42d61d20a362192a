//! SHA-256 of content that comes piece by piece.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use sha2::Sha256;

use crate::{Error, Result};

/// SHA-256 of a file's content.
///
/// # Errors
/// [`Error::Io`] where it cannot be read.
pub(crate) fn sha256_of(path: &Path) -> Result<[u8; 32]> {
    let mut hasher = Sha256::default();
    let mut read = || -> std::io::Result<()> {
        let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
        loop {
            let bytes = reader.fill_buf()?;
            let count = bytes.len();
            if count == 0 {
                return Ok(());
            }
            sha2::Digest::update(&mut hasher, bytes);
            reader.consume(count);
        }
    };
    read().map_err(Error::io("read", path))?;
    Ok(sha2::Digest::finalize(hasher).into())
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A digest in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digest(Sha256);

impl Digest {
    /// Adds bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    /// Adds a text with its length, so that no two lists of texts are alike.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(&(text.len() as u64).to_le_bytes());
        self.bytes(text.as_bytes());
    }

    /// Adds the path, the size and the time of change of a file, by which most changes are noticed without reading it.
    #[cfg(feature = "program")]
    pub(crate) fn state_of(&mut self, path: &Path) {
        self.text(&path.to_string_lossy());
        let found = std::fs::metadata(path).ok();
        let since = |found: &std::fs::Metadata| found.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok();
        let changed = found.as_ref().and_then(since);
        self.bytes(&found.map_or(0, |found| found.len()).to_le_bytes());
        self.bytes(&changed.unwrap_or_default().as_nanos().to_le_bytes());
    }

    /// The digest itself.
    #[cfg(feature = "gallery")]
    pub(crate) fn sum(self) -> [u8; 32] {
        sha2::Digest::finalize(self.0).into()
    }

    /// The digest as it stands in files.
    pub(crate) fn finish(self) -> String {
        format!("sha256:{}", hex(&sha2::Digest::finalize(self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_sha256_and_texts_are_kept_apart() {
        let mut abc = Digest::default();
        abc.bytes(b"ab");
        abc.bytes(b"c");
        let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(abc.finish(), known);
        let of = |texts: &[&str]| {
            let mut digest = Digest::default();
            texts.iter().for_each(|text| digest.text(text));
            digest.finish()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    }
}
