//! The program `facenet-gpu`.

use std::process::ExitCode;

fn main() -> ExitCode {
    facenet_gpu::cli::main()
}
