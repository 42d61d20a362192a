//! What a file holds, by its header alone.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::detector::DETECTOR_FORMAT;
use super::{FORMAT, OLDER_FORMAT};

/// Longest header that is read. Those of our files have some ten thousand bytes.
const LONGEST: u64 = 1 << 20;

/// What a file of ours holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A network that embeds faces.
    Weights,
    /// A face detector.
    Detector,
}

/// What a file holds, if it is one of ours. Only its header is read, and nothing is checked.
pub fn kind_of(path: &Path) -> Option<Kind> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__")]
        metadata: HashMap<String, String>,
    }
    let mut file = File::open(path).ok()?;
    let mut len = [0; 8];
    file.read_exact(&mut len).ok()?;
    let len = Some(u64::from_le_bytes(len)).filter(|len| *len <= LONGEST)?;
    let mut header = Vec::new();
    file.take(len).read_to_end(&mut header).ok()?;
    let header: Header = serde_json::from_slice(&header).ok()?;
    match header.metadata.get("format")?.as_str() {
        FORMAT | OLDER_FORMAT => Some(Kind::Weights),
        DETECTOR_FORMAT => Some(Kind::Detector),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_header_and_others_are_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let model = crate::net::find("zf64").unwrap().model().unwrap();
        let metadata = crate::weights::Metadata::of(&model).unwrap();
        crate::Weights { metadata, tensors: Vec::new() }.save(&at("w.safetensors")).unwrap();
        assert_eq!(kind_of(&at("w.safetensors")), Some(Kind::Weights));
        std::fs::write(at("short"), &std::fs::read(at("w.safetensors")).unwrap()[..100]).unwrap();
        std::fs::write(at("empty"), "").unwrap();
        std::fs::write(at("text"), [255; 64]).unwrap();
        assert!(["short", "empty", "text", "gone"].iter().all(|name| kind_of(&at(name)).is_none()));
    }
}
