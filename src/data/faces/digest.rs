//! What tells one set of faces from another.

use super::FaceSet;
use crate::Result;
use crate::digest::Digest;

impl FaceSet {
    /// SHA-256 over the preprocessing, the people's names, the names of the files, and the pixels; over the files' sizes
    /// where the pixels are not in memory.
    ///
    /// # Errors
    /// None where the pixels are in memory.
    pub fn digest(&self) -> Result<String> {
        let mut digest = Digest::default();
        digest.text(&self.preprocess().json());
        for person in self.people() {
            digest.text(&person.name);
            for &face in &person.faces {
                let file = self.path(face);
                digest.text(&file.and_then(|path| path.file_name()).unwrap_or_default().to_string_lossy());
                match (self.is_in_memory(), file) {
                    (false, Some(path)) => {
                        digest.bytes(&std::fs::metadata(path).map_or(0, |found| found.len()).to_le_bytes());
                    }
                    _ => digest.bytes(&self.face(face)?),
                }
            }
        }
        Ok(digest.finish())
    }
}
