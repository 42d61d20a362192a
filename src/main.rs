//! The program `facenet-gpu`: parse, call the verb, print what went wrong.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use facenet_gpu::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // Nobody may be listening, which is no reason to panic.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
