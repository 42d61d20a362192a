//! `facenet-gpu gallery remove` and `rename`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::library;
use crate::Result;
use crate::cli::output::{self, Form};
use crate::cli::table;
use crate::text::listed;

/// Remove people with all of their faces, or single faces
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Gallery
    gallery: PathBuf,

    /// People to remove
    #[arg(value_name = "NAME", required_unless_present = "face", conflicts_with = "face")]
    names: Vec<String>,

    /// A face to remove, by its number in `gallery list --faces`. May be given several times
    #[arg(long, value_name = "NUMBER")]
    face: Vec<u64>,

    #[command(flatten)]
    form: Form,
}

impl Remove {
    pub(super) fn run(self) -> Result<()> {
        self.form.choose();
        let mut gallery = library::Gallery::open(&self.gallery)?;
        // What is named twice is meant once.
        let names: Vec<&str> = self.names.iter().map(|name| name.trim()).collect::<BTreeSet<_>>().into_iter().collect();
        let faces: Vec<u64> = self.face.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let removed = match names[..] {
            [] => gallery.remove_faces(&faces).map(|()| faces.len() as u64)?,
            _ => gallery.remove(&names)?,
        };
        let whom = if names.is_empty() { String::new() } else { format!(" with {}", listed(&names)) };
        let faces = gallery.len()?;
        say!("removed   {} faces{whom}", table::count(removed));
        say!("gallery   {} faces are left", table::count(faces));
        output::record(&json!({ "event": "end", "removed": removed, "people": names, "faces": faces }));
        Ok(())
    }
}

/// Give a person another name
#[derive(Debug, Args)]
pub(super) struct Rename {
    /// Gallery
    gallery: PathBuf,

    /// The name now
    old: String,

    /// The name from now on
    new: String,

    /// If somebody has that name already, make one person of both
    #[arg(long)]
    merge: bool,

    #[command(flatten)]
    form: Form,
}

impl Rename {
    pub(super) fn run(self) -> Result<()> {
        self.form.choose();
        let mut gallery = library::Gallery::open(&self.gallery)?;
        gallery.rename(&self.old, &self.new, self.merge)?;
        let faces = gallery.faces(&self.new)?.len();
        say!("renamed   {} is {} now, with {} faces", self.old, self.new, table::count(faces as u64));
        output::record(&json!({ "event": "end", "old": self.old, "new": self.new, "faces": faces }));
        Ok(())
    }
}
