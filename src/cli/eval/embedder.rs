//! Weights that embed many images, seen as the command line says.

use std::path::Path;

use rayon::prelude::*;

use super::told::Told;
use crate::cli::eyes::Eyes;
use crate::cli::progress::bar;
use crate::cli::view::View;
use crate::data::preprocess::{Face, Preprocess};
use crate::eval::quantise::unit;
use crate::session::{Session, unit_rows};
use crate::text::beginning;
use crate::weights::Metadata;
use crate::{Embeddings, Engine, Result};

/// Images that are decoded and embedded together.
const PART: usize = 256;

/// A session with a view.
#[derive(Debug)]
pub(in crate::cli) struct Embedder {
    session: Session,
    pub(in crate::cli) eyes: Eyes,
    pub(in crate::cli) preprocess: Preprocess,
    /// [`Weights::model_id`](crate::Weights::model_id).
    pub(in crate::cli) model_id: String,
    flip: bool,
}

impl Embedder {
    /// Loads weights onto the device, and says what they are. With `flip` an embedding is that of the image and its mirror image
    /// together.
    pub(in crate::cli) fn open(engine: &Engine, path: &Path, view: &View, flip: bool, told: &mut Told) -> Result<Self> {
        let weights = view.weights(path)?;
        let session = Session::with_weights(engine, &weights, path)?;
        let (metadata, model_id) = (session.metadata(), weights.model_id());
        let eyes = view.eyes(engine, path, &metadata.preprocess)?;
        let preprocess = metadata.preprocess.clone();
        let (height, width) = (preprocess.height, preprocess.width);
        let crop = preprocess.crop.map_or(String::new(), |crop| format!(", crop {crop}"));
        let mirrored = if flip { ", mean with mirror images" } else { "" };
        let text = format!("{}, {height}x{width}{crop}{mirrored}, {} dimensions", metadata.network, metadata.embedding);
        told.line("weights", text);
        told.line("", format!("{}, model {}", path.display(), beginning(&model_id)));
        Ok(Self { session, eyes, preprocess, model_id, flip })
    }

    pub(in crate::cli) fn metadata(&self) -> &Metadata {
        self.session.metadata()
    }

    /// Embeds faces, whose names stand in messages, showing how far it is on a terminal.
    pub(in crate::cli) fn embed<F: AsRef<[u8]> + Send + Sync>(
        &mut self,
        names: Vec<String>,
        face: impl Fn(usize) -> Result<F> + Sync,
    ) -> Result<Embeddings> {
        let bar = bar(names.len(), "embedding {bar:40} {pos}/{len} images, {eta}");
        let mut data = Vec::with_capacity(names.len() * self.metadata().embedding as usize);
        let places: Vec<usize> = (0..names.len()).collect();
        for part in places.chunks(PART) {
            let faces: Result<Vec<F>> = part.par_iter().map(|&at| face(at)).collect();
            let named =
                |rows: Embeddings| unit_rows(rows.with_ids(part.iter().map(|&at| names[at].clone()).collect())?);
            data.extend(self.rows(&faces?, named)?);
            bar.inc(part.len() as u64);
        }
        bar.finish_and_clear();
        Embeddings::new(self.metadata().embedding as usize, data)?.with_ids(names)
    }

    /// Embeds a few faces; their numbers stand in messages.
    pub(in crate::cli) fn embed_few(&mut self, faces: &[Face]) -> Result<Vec<f32>> {
        self.rows(faces, unit_rows)
    }

    fn rows<F: AsRef<[u8]> + Sync>(
        &mut self,
        faces: &[F],
        checked: impl Fn(Embeddings) -> Result<Embeddings>,
    ) -> Result<Vec<f32>> {
        let rows = checked(self.session.embed_rows(faces)?)?;
        if !self.flip {
            return Ok(rows.into_vec());
        }
        let width = self.preprocess.width as usize;
        let mirrored: Vec<Face> = faces.par_iter().map(|face| mirrored(face.as_ref(), width)).collect();
        let others = checked(self.session.embed_rows(&mirrored)?)?;
        let unit_length = rows.unit_length();
        let mean = |(a, b): (&[f32], &[f32])| {
            let mean = a.iter().zip(b).map(|(a, b)| (a + b) / 2.0).collect();
            if unit_length { unit(mean) } else { mean }
        };
        Ok(rows.rows().zip(others.rows()).flat_map(mean).collect())
    }
}

/// A face with left and right exchanged.
fn mirrored(face: &[u8], width: usize) -> Face {
    let line = |line: &[u8]| line.chunks_exact(3).rev().flatten().copied().collect::<Vec<u8>>();
    face.chunks_exact(3 * width).flat_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_exchanges_pixels_within_a_line_and_no_channels() {
        let face = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        assert_eq!(mirrored(&face, 2), [4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9]);
        assert_eq!(mirrored(&mirrored(&face, 2), 2), face);
    }
}
