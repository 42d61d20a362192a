//! Mean embeddings of videos that are done, in a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::eval::ytf::Means;
use crate::weights::{check_writable, write_whole};
use crate::{Error, Result};

/// A video that is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Video {
    /// SHA-256 over the frames' names, sizes, times and boxes: what the mean is of.
    pub(super) of: String,
    /// Frames that were embedded.
    pub(super) frames: usize,
    #[serde(flatten)]
    pub(super) means: Means,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    /// What the embeddings depend on.
    of: String,
    videos: BTreeMap<String, Video>,
}

/// Videos that are done, with the file that keeps them.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) path: PathBuf,
    pub(super) videos: BTreeMap<String, Video>,
    of: String,
    /// There are videos that the file lacks.
    changed: bool,
}

impl Cache {
    /// Reads `path`, or else the file for these weights and settings in the current folder; a missing one is empty.
    ///
    /// # Errors
    /// The file is of other weights or settings, is damaged, or cannot be read; or its folder cannot be written.
    pub(super) fn open(path: Option<&Path>, weights: &Path, of: String) -> Result<Self> {
        let path = path.map_or_else(|| of_settings(weights, &of), Path::to_path_buf);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        check_writable(folder).map_err(|e| {
            Error::Data(format!("the videos that are done cannot be kept ({e}); give `cache` a file in another folder"))
        })?;
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { path, videos: BTreeMap::new(), of, changed: false });
            }
            Err(e) => return Err(Error::io("read", &path)(e)),
        };
        let content: Content = serde_json::from_slice(&bytes).map_err(|e| {
            Error::Data(format!(
                "{} holds no videos of an evaluation ({e}); give another `cache`, or delete it",
                path.display()
            ))
        })?;
        if content.of != of {
            return Err(Error::Data(format!(
                "{} is of another evaluation ({}); this one is {of}: give another `cache`",
                path.display(),
                content.of
            )));
        }
        Ok(Self { path, videos: content.videos, of, changed: false })
    }

    /// Whether a video is done, from just these frames.
    pub(super) fn has(&self, name: &str, of: &str) -> bool {
        self.videos.get(name).is_some_and(|video| video.of == of)
    }

    /// Takes a video that is done.
    pub(super) fn insert(&mut self, name: &str, video: Video) {
        self.videos.insert(name.to_string(), video);
        self.changed = true;
    }

    /// Forgets a video that cannot be used any more.
    pub(super) fn remove(&mut self, name: &str) {
        self.changed |= self.videos.remove(name).is_some();
    }

    /// Writes the file, whole, if there is anything new.
    pub(super) fn save(&mut self) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let content = Content { of: self.of.clone(), videos: std::mem::take(&mut self.videos) };
        let bytes = serde_json::to_vec(&content).expect("it is plain data");
        self.videos = content.videos;
        write_whole(&self.path, &bytes)?;
        self.changed = false;
        Ok(())
    }
}

/// `ytf-WEIGHTS-DIGEST.json`.
fn of_settings(weights: &Path, of: &str) -> PathBuf {
    let mut digest = Digest::default();
    digest.text(of);
    let digest = digest.finish();
    let short: String = digest.rsplit(':').next().unwrap_or_default().chars().take(8).collect();
    let name = weights.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    PathBuf::from(format!("ytf-{name}-{short}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_kept_for_the_same_settings_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.json");
        let open = |of: &str| Cache::open(Some(&path), Path::new("w"), of.to_string());
        let video =
            Video { of: "x".into(), frames: 3, means: Means { mean: vec![0.1 + 0.2, -1e-9], square: 0.1 + 0.7 } };
        let mut cache = open("a").unwrap();
        cache.save().unwrap();
        assert!(!path.exists(), "nothing is done yet");
        cache.insert("Ann/1", video.clone());
        cache.save().unwrap();
        let mut again = open("a").unwrap();
        assert_eq!(again.videos["Ann/1"], video);
        assert!(again.has("Ann/1", "x") && !again.has("Ann/1", "other frames") && !again.has("Ann/2", "x"));
        again.insert("Ann/1", Video { frames: 4, ..video });
        again.save().unwrap();
        assert_eq!(open("a").unwrap().videos["Ann/1"].frames, 4, "what changed is written");
        let text = open("b").unwrap_err().to_string();
        assert!(text.contains("another evaluation (a)") && text.contains("give another `cache`"), "{text}");
        std::fs::write(&path, &std::fs::read(&path).unwrap()[..20]).unwrap();
        assert!(open("a").unwrap_err().to_string().contains("holds no videos"));
        assert_ne!(of_settings(Path::new("x/w.safetensors"), "a"), of_settings(Path::new("x/w.safetensors"), "b"));
        assert!(of_settings(Path::new("x/w.safetensors"), "a").to_string_lossy().starts_with("ytf-w-"));
    }
}
