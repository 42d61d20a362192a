//! From files to faces for a network: as they are, or those that a detector finds.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use super::table::count;
use crate::align::FaceReader;
use crate::data::decode::decode_face;
use crate::data::faces::{DEFAULT_PIXEL_BUDGET, FaceSet};
use crate::data::folder::FaceFolder;
use crate::data::inputs::Input;
use crate::data::preprocess::{Face, Preprocess};
use crate::data::sizes::{much_larger, smaller_than_crop};
use crate::embed::{Embedded, Row, embed_files, embed_photographs};
use crate::{Result, Session};

/// What makes faces of files.
#[derive(Debug)]
pub(super) struct Eyes {
    reader: Option<FaceReader>,
}

impl Eyes {
    /// The weights' preprocessing alone.
    pub(super) fn plain() -> Self {
        Self { reader: None }
    }

    /// A detector before it.
    pub(super) fn finding(reader: FaceReader) -> Self {
        Self { reader: Some(reader) }
    }

    /// Whether faces are looked for.
    pub(super) fn finds(&self) -> bool {
        self.reader.is_some()
    }

    /// Says where the crop takes nothing off, and where the faces may fill only a small part of the images, unless faces are looked for.
    pub(super) fn hint_sizes<P: AsRef<Path>>(&self, paths: &[P], preprocess: &Preprocess) {
        if self.finds() {
            return;
        }
        if let Some((width, height)) = smaller_than_crop(paths, preprocess) {
            hint!("warning: the images have about {width}x{height} pixels, so that the crop takes nothing off");
        }
        if let Some((width, height)) = much_larger(paths, preprocess) {
            hint!(
                "hint: the images have about {width}x{height} pixels and the network sees {}x{}: where the weights were trained on \
                 crops of faces, give --crop center:N, or --detector FILE",
                preprocess.width,
                preprocess.height
            );
        }
    }

    /// As [`embed_files`].
    pub(super) fn embed_files(
        &mut self,
        session: &mut Session,
        inputs: &[Input],
        first: usize,
        stop: &AtomicBool,
        take: &mut dyn FnMut(&[Row<'_>]) -> Result<()>,
    ) -> Result<Embedded> {
        match &mut self.reader {
            None => embed_files(session, inputs, first, stop, take),
            Some(reader) => embed_photographs(session, reader, inputs, first, stop, take),
        }
    }

    /// The faces of files, or why there are none. `progress` is called with the number of files of each part.
    pub(super) fn faces<P: AsRef<Path> + Sync>(
        &mut self,
        paths: &[P],
        preprocess: &Preprocess,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Result<Face>>> {
        match &mut self.reader {
            None => {
                let faces = paths.par_iter().map(|path| decode_face(path.as_ref(), preprocess)).collect();
                progress(paths.len());
                Ok(faces)
            }
            Some(reader) => reader.read(paths, progress),
        }
    }

    /// The set of a folder's faces. `progress` is called with the number of files that are done.
    pub(super) fn load(
        &mut self,
        folder: &FaceFolder,
        preprocess: &Preprocess,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<FaceSet> {
        let Some(reader) = &mut self.reader else {
            return FaceSet::load(folder, preprocess, DEFAULT_PIXEL_BUDGET, progress);
        };
        let (mut done, total) = (0, folder.image_count());
        FaceSet::load_with(folder, preprocess, DEFAULT_PIXEL_BUDGET, &mut |paths| {
            reader.read(paths, &mut |files| {
                done += files;
                progress(done, total);
            })
        })
    }

    /// Says what was found, if faces were looked for.
    pub(super) fn tell(&self) {
        if let Some(words) = self.in_words() {
            say!("          {words}");
        }
    }

    /// What was found, in words, if faces were looked for.
    pub(super) fn in_words(&self) -> Option<String> {
        let seen = self.reader.as_ref()?.seen();
        let number = |n: usize| count(n as u64);
        let mut words = format!("a face on {} images", number(seen.faces));
        if seen.several > 0 {
            words += &format!(", several on {} of them, of which one was taken", number(seen.several));
        }
        if seen.middles > 0 {
            words += &format!("; none on {}, whose middle was taken", number(seen.middles));
        }
        if seen.nothing > 0 {
            words += &format!("; none that can be used on {}", number(seen.nothing));
        }
        Some(words)
    }
}
