//! What tells one set of faces from another.

use super::FaceSet;
use crate::Result;
use crate::digest::Digest;

impl FaceSet {
    /// SHA-256 over the preprocessing, the people's names, the names of the files, and the pixels; over the files'
    /// contents where the pixels are not in memory.
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
                match self.content(face).filter(|_| !self.is_in_memory()) {
                    Some(content) => digest.bytes(&content),
                    None => digest.bytes(&self.face(face)?),
                }
            }
        }
        Ok(digest.finish())
    }
}
