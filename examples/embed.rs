//! Are these two photographs of one person?
//!
//!     cargo run --release --example embed -- WEIGHTS.safetensors ONE.jpg OTHER.jpg

use facenet_gpu::{DeviceChoice, Engine, Session};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [weights, one, other] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("give a weights file and two images, as in embed WEIGHTS.safetensors ONE.jpg OTHER.jpg".into());
    };
    let mut session = Session::open(&Engine::open(&DeviceChoice::Auto)?, weights)?;
    let embeddings = session.embed_files(&[one, other])?;
    println!("squared distance {:.5} (0 is the same image, 4 is the farthest)", embeddings.squared_distance(0, 1));
    Ok(())
}
