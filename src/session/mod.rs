//! A model with weights on a device: images in, embeddings out.

mod parameters;
mod plans;

use std::path::Path;

use image::DynamicImage;
use rayon::prelude::*;

pub use self::parameters::initial_weights;
pub(crate) use self::parameters::{OF_THE_LOSS, WEIGHTS, check_fit, load_weights, model_of, store_of, weights_of};
pub(crate) use self::plans::Plans;
use self::plans::{Derived, InputShape, Plan};
use crate::data::decode::{decode_face, prepare};
use crate::data::preprocess::Face;
use crate::model::{EMBEDDINGS, Model};
use crate::plan::Shape;
use crate::store::Store;
use crate::weights::{Metadata, Weights};
use crate::{Embeddings, Engine, Error, Result};

/// Most images that go through a model together.
pub(crate) const SESSION_BATCH: u32 = 32;
/// Plans that a session keeps: full batches, a few smaller ones, or a few image sizes.
const PLANS: usize = 8;
/// How far the squared length of an embedding may be from 1.
const UNIT: f32 = 1e-3;

/// A model with weights on a device. It makes a plan for each input shape that it meets and keeps the last ones; all of
/// them are bound to the same parameters.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    model: Model,
    metadata: Metadata,
    parameters: Store,
    derived: Option<Derived>,
    plans: Plans,
    /// Images that go through together; fewer than asked for where the device lacks memory.
    batch: u32,
}

/// One output of a model for a batch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Output {
    /// Name, as the model gives it.
    pub name: String,
    /// Sizes, the batch first.
    pub shape: Shape,
    /// Values, row-major.
    pub data: Vec<f32>,
}

impl Session {
    /// Loads a weights file and puts its model on the device.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or belongs to a network that this version does not know; the device lacks
    /// memory.
    pub fn open(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::with_weights(engine, &Weights::load(path)?, path)
    }

    /// Puts weights of a network that [`crate::net::find`] knows on the device; `path` stands for them in messages.
    ///
    /// # Errors
    /// The network is unknown, a tensor is missing, misshapen or holds NaN or Inf, or the device lacks memory.
    pub fn with_weights(engine: &Engine, weights: &Weights, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::new(engine, model_of(weights, path)?, weights, path)
    }

    /// Puts a model, with weights that were made for it, on the device; `path` stands for the weights in messages.
    ///
    /// # Errors
    /// As [`with_weights`](Self::with_weights), or the weights belong to another model.
    pub fn new(engine: &Engine, model: Model, weights: &Weights, path: impl AsRef<Path>) -> Result<Self> {
        check_fit(&model, weights, path.as_ref())?;
        let engine = &engine.for_a_network();
        let parameters = store_of(engine, &model)?;
        load_weights(&parameters, weights, path.as_ref())?;
        let model = model.with_preprocess(weights.metadata.preprocess.clone())?;
        Ok(Self { metadata: weights.metadata.clone(), ..Self::on_store(engine, model, parameters)? })
    }

    /// A session on parameters that others use and change as well, such as those of a training run.
    ///
    /// # Errors
    /// The device lacks memory, or the store lacks a tensor of the model.
    pub fn on_store(engine: &Engine, model: Model, parameters: Store) -> Result<Self> {
        let derived = Derived::new(engine, &parameters, &model.inference(1)?.folds)?;
        let metadata = Metadata::of(&model)?;
        let (engine, plans) = (engine.clone(), Plans::new(PLANS, u64::MAX));
        Ok(Self { engine, model, metadata, parameters, derived, plans, batch: SESSION_BATCH })
    }

    /// Lets at most `batch` images go through the model together.
    #[must_use]
    pub fn with_batch(mut self, batch: u32) -> Self {
        self.batch = batch.max(1);
        self
    }

    /// The device.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What the weights file says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The parameters on the device.
    pub fn parameters(&self) -> &Store {
        &self.parameters
    }

    /// Bytes of what is derived from the parameters on the device, beside them.
    pub fn derived_bytes(&self) -> u64 {
        self.derived.as_ref().map_or(0, Derived::bytes)
    }

    /// Batch, height and width of the plans that are kept, the one that was used last at the end.
    pub fn plan_shapes(&self) -> Vec<(u32, [u32; 2])> {
        self.plans.shapes()
    }

    /// Embeds images of any size: crops, resizes and scales them as the weights' preprocessing says. Rows have unit
    /// length if [`Metadata::unit_length`] says so.
    /// The images are taken as they are: [`embed_files`](Self::embed_files) also turns photographs as their EXIF data says.
    ///
    /// # Errors
    /// An image is too small, an embedding has another length than it should have (its image is named), or the device is lost.
    pub fn embed(&mut self, images: &[DynamicImage]) -> Result<Embeddings> {
        let preprocess = self.model.preprocess();
        let faces: Result<Vec<Face>> = images.par_iter().map(|image| prepare(image, preprocess)).collect();
        self.embed_faces(&faces?)
    }

    /// Embeds image files, turned upright as their EXIF data says. The rows' ids are the paths.
    ///
    /// # Errors
    /// A file cannot be read or decoded (the first one is named), an embedding has another length than it should have, or the device is lost.
    pub fn embed_files<P: AsRef<Path> + Sync>(&mut self, paths: &[P]) -> Result<Embeddings> {
        let preprocess = self.model.preprocess();
        let faces: Result<Vec<Face>> = paths.par_iter().map(|path| decode_face(path.as_ref(), preprocess)).collect();
        let ids = paths.iter().map(|path| path.as_ref().display().to_string()).collect();
        unit_rows(self.embed_rows(&faces?)?.with_ids(ids)?)
    }

    /// Embeds faces that are already cropped and resized: `height * width * 3` bytes each, rows from the top, RGB.
    ///
    /// # Errors
    /// A face has another number of bytes, an embedding has another length than it should have, or the device is lost.
    pub fn embed_faces<F: AsRef<[u8]> + Sync>(&mut self, faces: &[F]) -> Result<Embeddings> {
        unit_rows(self.embed_rows(faces)?)
    }

    /// Embeds images that are floats already, as the model reads them: `[images, height, width, 3]`, prepared by the
    /// caller in the way that [`Model::preprocess`] says.
    ///
    /// # Errors
    /// The number of floats is not that of whole images, an embedding has another length than it should have, or the device is lost.
    pub fn embed_floats(&mut self, images: &[f32]) -> Result<Embeddings> {
        let len = self.model.preprocess().face_len();
        if !images.len().is_multiple_of(len) {
            let message = format!("expected whole images of {len} floats, got {} floats", images.len());
            return Err(Error::shape("images", message));
        }
        let images: Vec<&[f32]> = images.chunks_exact(len).collect();
        unit_rows(self.embed_with(&images, |image, row| {
            row.copy_from_slice(image);
            Ok(())
        })?)
    }

    /// As [`embed_faces`](Self::embed_faces), without a look at the rows: in training a network may be anything.
    pub(crate) fn embed_rows<F: AsRef<[u8]> + Sync>(&mut self, faces: &[F]) -> Result<Embeddings> {
        let preprocess = self.model.preprocess().clone();
        if let Some(face) = faces.iter().find(|face| face.as_ref().len() != preprocess.face_len()) {
            let (height, width, got) = (preprocess.height, preprocess.width, face.as_ref().len());
            let expected = preprocess.face_len();
            let message = format!("expected {expected} bytes, {height}x{width} pixels of RGB, got {got} bytes");
            return Err(Error::shape("faces", message));
        }
        self.embed_with(faces, |face, row| preprocess.write_f32(face.as_ref(), row))
    }

    /// The plan for an input shape, with what it derives from the parameters as they are now.
    fn plan(&mut self, shape: InputShape) -> Result<&mut Plan> {
        let derived = self.derived.as_ref();
        let plan = self.plans.get(&self.engine, &self.model, &self.parameters, derived, shape)?;
        if let Some(derived) = &mut self.derived {
            derived.refresh(&self.parameters)?;
        }
        Ok(plan)
    }

    /// Embeds images in batches; `write` writes one as floats.
    fn embed_with<F: Sync>(
        &mut self,
        images: &[F],
        write: impl Fn(&F, &mut [f32]) -> Result<()> + Sync,
    ) -> Result<Embeddings> {
        let (len, dim) = (self.model.preprocess().face_len(), self.model.dimensions()? as usize);
        let mut data = Vec::with_capacity(images.len() * dim);
        let mut left = images;
        while !left.is_empty() {
            // A ragged last batch keeps whatever stands in its free rows: rows do not influence each other.
            let wanted = u32::try_from(images.len()).unwrap_or(u32::MAX).min(self.batch);
            let shape = (wanted.next_power_of_two().min(self.batch), self.model.input());
            let plan = match self.plan(shape) {
                Err(Error::Memory(_)) if shape.0 > 1 => {
                    self.batch = shape.0 / 2;
                    continue;
                }
                plan => plan?,
            };
            let (now, rest) = left.split_at(left.len().min(shape.0 as usize));
            let mut pixels = vec![0.0; shape.0 as usize * len];
            pixels.par_chunks_exact_mut(len).zip(now).try_for_each(|(row, image)| write(image, row))?;
            plan.executor.write(plan.images, &pixels)?;
            plan.executor.run_all()?;
            let embeddings = plan.outputs.iter().find(|(name, ..)| name == EMBEDDINGS);
            let rows = plan.executor.read(embeddings.expect("a model with dimensions gives embeddings").1)?;
            data.extend_from_slice(&rows[..now.len() * dim]);
            left = rest;
        }
        let embeddings = Embeddings::new(dim, data)?;
        Ok(if self.metadata.unit_length { embeddings } else { embeddings.of_any_length() })
    }

    /// Runs the model on a batch of `batch` images of this height and width, as floats `[batch, height, width, 3]`, and
    /// gives every output. A model without layers that are tied to one size takes images of many sizes.
    ///
    /// # Errors
    /// The number of floats is another one, the model cannot take images of this size, an embedding has another length than it should have,
    /// or the device is lost or lacks memory.
    pub fn run(&mut self, batch: u32, [height, width]: [u32; 2], images: &[f32]) -> Result<Vec<Output>> {
        let shape = Shape::new(&[batch, height, width, 3])?;
        if images.len() != shape.len() {
            let message = format!("expected {shape}, {} floats, got {}", shape.len(), images.len());
            return Err(Error::shape("images", message));
        }
        let unit_length = self.metadata.unit_length;
        let plan = self.plan((batch, [height, width]))?;
        plan.executor.write(plan.images, images)?;
        plan.executor.run_all()?;
        let downloads: Result<Vec<_>> = plan.outputs.iter().map(|(_, buf, _)| plan.executor.download(*buf)).collect();
        let mut outputs = Vec::with_capacity(plan.outputs.len());
        for ((name, _, shape), download) in plan.outputs.iter().zip(downloads?) {
            let mut data = download.wait()?;
            if name == EMBEDDINGS {
                let rows = Embeddings::new(shape.channels() as usize, data)?;
                data = unit_rows(if unit_length { rows } else { rows.of_any_length() })?.into_vec();
            }
            outputs.push(Output { name: name.clone(), shape: *shape, data });
        }
        Ok(outputs)
    }
}

/// Refuses embeddings that tell nothing: NaN, Inf, or of another length than they should have.
pub(crate) fn unit_rows(embeddings: Embeddings) -> Result<Embeddings> {
    for (i, row) in embeddings.rows().enumerate() {
        if let Some(fault) = fault_of(row, embeddings.unit_length()) {
            return Err(Error::NotFinite(format!("the embedding of image {} {fault}", embeddings.id(i))));
        }
    }
    Ok(embeddings)
}

/// Why an embedding tells nothing, if it does not. Its length must be 1 if `unit_length` says so, else anything but 0.
pub(crate) fn fault_of(row: &[f32], unit_length: bool) -> Option<String> {
    let square: f32 = row.iter().map(|x| x * x).sum();
    let sound = if unit_length { (square - 1.0).abs() <= UNIT } else { square.is_finite() && square > 0.0 };
    if sound {
        return None;
    }
    Some(if row.iter().any(|x| !x.is_finite()) {
        "holds NaN or Inf: the weights hold such values, or values so large that the network overflows; use other weights"
            .to_string()
    } else {
        format!(
            "has the length {:.3}{}: the network gives nothing for this image, as with weights that are all \
             zero; use other weights",
            square.sqrt(),
            if unit_length { " instead of 1" } else { "" }
        )
    })
}

#[cfg(test)]
mod tests;
