//! A network with weights on a device: images in, embeddings out.

mod fold;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use image::DynamicImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use rayon::prelude::*;

use crate::data::decode::{decode_face, prepare};
use crate::data::preprocess::Preprocess;
use crate::executor::{Executor, Options};
use crate::graph::{Graph, Init, Recording};
use crate::net::{self, Build, Fold, Network};
use crate::plan::{Buf, Plan};
use crate::text::shown;
use crate::weights::{Metadata, Weights, unusable};
use crate::{Engine, Error, Result};

use self::fold::folded;

/// Images that go through the network together, unless there are fewer.
const BATCH: u32 = 32;

/// A network with weights, ready to embed images.
#[derive(Debug)]
pub struct Model {
    executor: Box<dyn Executor>,
    images: Buf,
    embeddings: Buf,
    folds: Vec<Fold>,
    batch: usize,
    metadata: Metadata,
}

impl Model {
    /// Loads a weights file and puts its network on the device.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or belongs to another network; the device lacks memory.
    pub fn load(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::with_weights(engine, &Weights::load(path)?, path, BATCH)
    }

    /// The same for weights of a network of one's own, which [`net::find`] does not know.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_for(engine: &Engine, network: &Network, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::for_network(engine, network, &Weights::load(path)?, path, BATCH)
    }

    /// Puts weights that are in memory on the device; `path` stands for them in messages.
    ///
    /// # Errors
    /// The network is unknown, a tensor is missing, misshapen or not made of numbers, or the device lacks memory.
    pub fn with_weights(engine: &Engine, weights: &Weights, path: &Path, batch: u32) -> Result<Self> {
        Self::for_network(engine, network_of(weights, path)?, weights, path, batch)
    }

    fn for_network(engine: &Engine, network: &Network, weights: &Weights, path: &Path, batch: u32) -> Result<Self> {
        check_fit(network, weights, path)?;
        let mut model = Self::untrained(engine, network, weights.metadata.clone(), batch)?;
        model.load_weights(weights, path)?;
        Ok(model)
    }

    /// A network on the device with all weights zero, for `batch` images at a time, or fewer where the device has not the
    /// memory for so many.
    pub(crate) fn untrained(engine: &Engine, network: &Network, metadata: Metadata, mut batch: u32) -> Result<Self> {
        let room = engine.room();
        loop {
            let net = network.graph(&build(&metadata, Build::inference(batch)))?;
            let recording = Recording::forward(&net.graph, &[net.embeddings]);
            let (images, embeddings) = (recording.value(net.images), recording.value(net.embeddings));
            let plan = recording.finish();
            if batch > 1 && !room.holds(&plan) {
                batch /= 2;
                continue;
            }
            let executor = engine.executor(plan, &Options::default())?;
            return Ok(Self { executor, images, embeddings, folds: net.folds, batch: batch as usize, metadata });
        }
    }

    /// What the weights file says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Embeds images of any size: crops, resizes and scales them as the weights' preprocessing says. Each embedding
    /// holds [`Metadata::embedding`] floats and has length 1.
    ///
    /// # Errors
    /// The device is lost.
    pub fn embed(&mut self, images: &[DynamicImage]) -> Result<Vec<Vec<f32>>> {
        let preprocess = self.metadata.preprocess.clone();
        let faces: Result<Vec<_>> = images.par_iter().map(|image| prepare(image, &preprocess)).collect();
        self.embed_faces(&faces?)
    }

    /// Embeds image files.
    ///
    /// # Errors
    /// A file cannot be read or decoded (the first one is named), or the device is lost.
    pub fn embed_files(&mut self, paths: &[PathBuf]) -> Result<Vec<Vec<f32>>> {
        let preprocess = self.metadata.preprocess.clone();
        let faces: Result<Vec<_>> = paths.par_iter().map(|path| decode_face(path, &preprocess)).collect();
        self.embed_faces(&faces?)
    }

    /// Embeds faces that are already cropped and resized: `height * width * 3` bytes each.
    ///
    /// # Errors
    /// The device is lost.
    pub fn embed_faces<F: AsRef<[u8]> + Sync>(&mut self, faces: &[F]) -> Result<Vec<Vec<f32>>> {
        let len = self.metadata.preprocess.face_len();
        let mut embeddings = Vec::with_capacity(faces.len());
        let mut pixels = vec![0.0; self.batch * len];
        for chunk in faces.chunks(self.batch) {
            // A ragged last batch keeps old pixels in its free rows: rows do not influence each other.
            let rows = pixels.par_chunks_exact_mut(len).zip(chunk.par_iter());
            let preprocess: &Preprocess = &self.metadata.preprocess;
            rows.map(|(row, face)| preprocess.write_f32(face.as_ref(), row)).collect::<Result<()>>()?;
            embeddings.extend(self.run(&pixels)?.into_iter().take(chunk.len()));
        }
        Ok(embeddings)
    }

    /// Embeds images that are floats already, as the network reads them: `[images, height, width, 3]`, prepared by the
    /// caller in the way that [`Metadata::preprocess`] says.
    ///
    /// # Errors
    /// The number of floats is not that of whole images, or the device is lost.
    pub fn embed_floats(&mut self, images: &[f32]) -> Result<Vec<Vec<f32>>> {
        let len = self.metadata.preprocess.face_len();
        if !images.len().is_multiple_of(len) {
            let message = format!("expected whole images of {len} floats, got {} floats", images.len());
            return Err(Error::shape("images", message));
        }
        let mut embeddings = Vec::with_capacity(images.len() / len);
        let mut pixels = vec![0.0; self.batch * len];
        for chunk in images.chunks(pixels.len()) {
            pixels[..chunk.len()].copy_from_slice(chunk);
            embeddings.extend(self.run(&pixels)?.into_iter().take(chunk.len() / len));
        }
        Ok(embeddings)
    }

    /// Embeds a whole batch.
    fn run(&mut self, pixels: &[f32]) -> Result<Vec<Vec<f32>>> {
        self.executor.write(self.images, pixels)?;
        self.executor.run_all()?;
        let rows = self.executor.read(self.embeddings)?;
        Ok(rows.chunks_exact(self.metadata.embedding as usize).map(<[f32]>::to_vec).collect())
    }

    /// Takes over weights of the same network; `path` stands for them in messages.
    pub(crate) fn load_weights(&mut self, weights: &Weights, path: &Path) -> Result<()> {
        for (buf, name) in weight_buffers(self.executor.plan()) {
            let shape = self.executor.plan().spec(buf).shape;
            self.executor.write(buf, &folded(weights, &self.folds, &name, shape, path)?)?;
        }
        Ok(())
    }
}

/// The sizes that weights were made for.
pub(crate) fn build(metadata: &Metadata, build: Build) -> Build {
    build.embedding(metadata.embedding).input([metadata.preprocess.height, metadata.preprocess.width])
}

/// The network that weights were made for.
fn network_of(weights: &Weights, path: &Path) -> Result<&'static Network> {
    let fail = |message: String| unusable(path, &message);
    let Metadata { network: name, version, .. } = &weights.metadata;
    net::find(name).map_err(|_| {
        let names: Vec<_> = net::NETWORKS.iter().map(|n| n.name).collect();
        fail(format!(
            "holds weights of the network {}, this version knows {}; update facenet-gpu (the file was written by \
             version {})",
            shown(name),
            names.join(", "),
            shown(version)
        ))
    })
}

/// Checks that weights fit a network: everything that a device would choke on is found out here.
fn check_fit(network: &Network, weights: &Weights, path: &Path) -> Result<()> {
    let fail = |message: String| unusable(path, &message);
    let Metadata { network: name, embedding, preprocess, .. } = &weights.metadata;
    let Preprocess { height, width, .. } = preprocess;
    if name != network.name {
        return Err(fail(format!("holds weights of the network {}, not of {}", shown(name), network.name)));
    }
    let net = network.graph(&build(&weights.metadata, Build::training(2)));
    let net = net.map_err(|e| {
        fail(format!("has images of {height}x{width} and embeddings of {embedding} floats ({e}); the file is damaged"))
    })?;
    let mut known = BTreeSet::new();
    for (node, _) in net.graph.weights() {
        let data = weights.tensor(&node.name, node.shape, path)?;
        known.insert(node.name.as_str());
        if node.name.ends_with("/var") && data.iter().any(|var| *var < 0.0) {
            return Err(fail(format!("has a negative variance in the tensor {}; the file is damaged", node.name)));
        }
    }
    if let Some((name, ..)) = weights.tensors.iter().find(|(name, ..)| !known.contains(name.as_str())) {
        return Err(fail(format!(
            "has the tensor {}, which {} does not know; the file is damaged",
            shown(name),
            network.name
        )));
    }
    if !weights.is_finite() {
        return Err(fail("holds values that are not numbers; train again with a lower learning rate".into()));
    }
    Ok(())
}

/// Buffer and name of everything in a plan that a weights file holds.
fn weight_buffers(plan: &Plan) -> Vec<(Buf, String)> {
    plan.weights().map(|(buf, spec)| (buf, spec.name.clone())).collect()
}

/// Writes the weights into a plan for training.
pub(crate) fn load_weights(executor: &mut dyn Executor, weights: &Weights, path: &Path) -> Result<()> {
    for (buf, name) in weight_buffers(executor.plan()) {
        let shape = executor.plan().spec(buf).shape;
        executor.write(buf, weights.tensor(&name, shape, path)?)?;
    }
    Ok(())
}

/// Reads the weights of a plan for training.
pub(crate) fn save_weights(executor: &mut dyn Executor, metadata: Metadata) -> Result<Weights> {
    let mut tensors = Vec::new();
    for (buf, name) in weight_buffers(executor.plan()) {
        let shape = executor.plan().spec(buf).shape;
        tensors.push((name, shape, executor.read(buf)?));
    }
    Ok(Weights { metadata, tensors })
}

/// Draws the starting values of a graph for training, in order, from a seed.
pub fn initial_weights(graph: &Graph, metadata: Metadata, seed: u64) -> Weights {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut tensors = Vec::new();
    for (node, init) in graph.weights() {
        let len = node.shape.len();
        let mut draw = |std: f32| {
            let normal = Normal::new(0.0, std).expect("a standard deviation is finite");
            normal.sample_iter(&mut rng).take(len).collect()
        };
        let data = match init {
            Init::Zeros => vec![0.0; len],
            Init::Ones => vec![1.0; len],
            Init::HeNormal { fan_in } => draw((2.0 / fan_in as f32).sqrt()),
            Init::LecunNormal { fan_in } => draw((1.0 / fan_in as f32).sqrt()),
        };
        tensors.push((node.name.clone(), node.shape, data));
    }
    Weights { metadata, tensors }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::preprocess::Normalise;
    use crate::weights::Origin;

    fn weights() -> Weights {
        let network = net::NETWORKS[0];
        let [height, width] = network.input;
        let metadata = Metadata {
            network: network.name.into(),
            embedding: 8,
            preprocess: Preprocess { height, width, normalise: Normalise::Fixed },
            version: "0.0.1".into(),
            origin: Origin::default(),
        };
        initial_weights(&network.graph(&Build::training(2).embedding(8)).unwrap().graph, metadata, 3)
    }

    #[test]
    fn good_weights_embed_and_any_number_of_images_gives_the_same_rows() {
        let path = Path::new("w");
        let mut model = Model::with_weights(&Engine::Cpu, &weights(), path, 4).unwrap();
        let images: Vec<_> = (0..5).map(|i| DynamicImage::new_rgb8(30 + i, 40)).collect();
        let all = model.embed(&images).unwrap();
        assert_eq!((all.len(), all[0].len()), (5, 8));
        assert_eq!(model.embed(&images[4..]).unwrap()[0], all[4]);
        assert!(model.embed(&[]).unwrap().is_empty());
    }

    #[test]
    fn weights_that_do_not_fit_are_refused_before_they_reach_a_device() {
        let change = |change: fn(&mut Weights)| {
            let mut weights = weights();
            change(&mut weights);
            let error = Model::with_weights(&Engine::Cpu, &weights, Path::new("w.safetensors"), 2).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("w.safetensors: ") && error.exit_code() == 1, "{text}");
            text
        };
        for (text, part) in [
            (change(|w| w.metadata.network = "vgg".into()), "the network vgg, this version knows zf64, "),
            (change(|w| w.metadata.preprocess.height = 4_000_000_000), "has images of 4000000000x64"),
            (change(|w| w.metadata.preprocess.height = 48), "has the tensor fc1/w with sizes"),
            (change(|w| w.metadata.embedding = 0), "embeddings of 0 floats"),
            (change(|w| w.metadata.embedding = u32::MAX), "embeddings of 4294967295 floats"),
            (change(|w| w.metadata.embedding = 9), "has the tensor embedding/w with sizes"),
            (change(|w| drop(w.tensors.remove(0))), "lacks the tensor"),
            (change(|w| w.tensors[0].0 = "extra/w".into()), "lacks the tensor"),
            (
                change(|w| w.tensors.push(("extra/w".into(), w.tensors[0].1, Vec::new()))),
                "has the tensor extra/w, which",
            ),
            (change(|w| w.tensors[0].2[0] = f32::NAN), "not numbers"),
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
