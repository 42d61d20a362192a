//! Are these two photographs of one person?
//!
//!     cargo run --release --example embed -- WEIGHTS.safetensors ONE.jpg OTHER.jpg

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use facenet_gpu::eval::verification::squared_distance;
use facenet_gpu::{DeviceChoice, Engine, Model};

fn main() -> ExitCode {
    match compare() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Result<(), Box<dyn Error>> {
    let [weights, one, other] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("give a weights file and two images, as in embed WEIGHTS.safetensors ONE.jpg OTHER.jpg".into());
    };
    let engine = Engine::open(&DeviceChoice::Auto)?;
    let mut model = Model::load(&engine, weights)?;
    let embeddings = model.embed_files(&[PathBuf::from(one), PathBuf::from(other)])?;
    let distance = squared_distance(&embeddings[0], &embeddings[1]);
    println!("squared distance {distance:.3} (0 is the same image, 4 is the farthest)");
    Ok(())
}
