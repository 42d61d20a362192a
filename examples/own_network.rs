//! A network of one's own, from the blocks that the paper's networks are made of, trained on people who do not exist.
//!
//!     cargo run --release --example own_network

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use facenet_gpu::data::faces::FaceSet;
use facenet_gpu::data::synth::{Identity, draw};
use facenet_gpu::graph::Tensor;
use facenet_gpu::net::{self, Blocks, Inception, Norm};
use facenet_gpu::train::{Config, EpochReport, Observer, RunFolder, train};
use facenet_gpu::{DeviceChoice, Engine, Session, Weights};

/// Two small Inception modules with batch normalisation.
fn layers(n: &mut Blocks<'_>, images: Tensor) -> facenet_gpu::Result<Tensor> {
    n.batch_norm(1e-3, false);
    let x = n.conv("conv1", images, 16, 5, 2)?;
    let x = n.max_pool("pool1", x)?;
    let x = n.inception("inception_a", x, &Inception::same(16, [16, 32], [8, 16], (Norm::L2, 16)))?;
    let x = n.inception("inception_b", x, &Inception::halving([32, 64], [8, 16]))?;
    n.embedding(x)
}

/// Prints a line an epoch.
struct Progress;

impl Observer for Progress {
    fn epoch(&mut self, r: &EpochReport) {
        println!(
            "epoch {}: loss {:.4}, held-out accuracy {:.1} %",
            r.epoch,
            r.loss_all,
            r.accuracy.unwrap_or(0.0) * 100.0
        );
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::open(&DeviceChoice::Auto)?;
    let model = net::model("mine", "two small Inception modules", [48, 48], 64, layers)?;
    let faces = |person| (0..8).map(|image| draw(&Identity::new(0, person), image, 48).into_raw()).collect();
    let people = (0..80).map(|person| (format!("person {person}"), faces(person))).collect();
    let set = Arc::new(FaceSet::from_images(model.preprocess(), people)?);

    let config = Config::default().with(|c| c.epochs = 3);
    let mut folder = RunFolder::create(Path::new("runs"), model.name())?;
    train(&engine, &model, &config, &set, &mut folder, &AtomicBool::new(false), &mut Progress)?;

    let best = folder.best();
    let mut session = Session::new(&engine, model, &Weights::load(&best)?, &best)?;
    let photos: Vec<_> = [(0, 0), (0, 1), (1, 0)].map(|(p, i)| draw(&Identity::new(1, p), i, 48).into()).into();
    let embeddings = session.embed(&photos)?;
    println!("one person:  {:.3}", embeddings.squared_distance(0, 1));
    println!("two people:  {:.3}", embeddings.squared_distance(0, 2));
    Ok(())
}
