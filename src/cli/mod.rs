//! The program's verbs: flags and output of one verb each, and nothing that a library user would want.

/// Prints a line. A reader that has closed the pipe, such as `head`, is no reason to fail: what was asked for, training
/// above all, goes on.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// Prints a line to standard error.
macro_rules! hint {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

mod bench;
mod diff;
mod eval;
mod exchange;
mod info;
mod summary;
mod synth;
mod table;
mod train;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, Parser, Subcommand};

use crate::{DeviceChoice, Engine, Error, Result};

/// FaceNet on any GPU: train and run face embeddings with hand-written compute shaders.
#[derive(Debug, Parser)]
#[command(name = "facenet-gpu", version, arg_required_else_help = true, args_override_self = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Train(Box<train::Train>),
    Bench(bench::Bench),
    Eval(eval::Eval),
    Diff(diff::Diff),
    Synth(synth::Synth),
    Summary(summary::SummaryVerb),
    Import(exchange::Import),
    Export(exchange::Export),
    Info(info::Info),
}

impl Cli {
    /// Runs the verb.
    ///
    /// # Errors
    /// Whatever the verb cannot do, as one sentence with the remedy.
    pub fn run(self) -> Result<ExitCode> {
        match self.verb {
            Verb::Train(verb) => verb.run(),
            Verb::Bench(verb) => verb.run().map(|()| ExitCode::SUCCESS),
            Verb::Eval(verb) => verb.run().map(|()| ExitCode::SUCCESS),
            Verb::Diff(verb) => verb.run(),
            Verb::Synth(verb) => verb.run().map(|()| ExitCode::SUCCESS),
            Verb::Summary(verb) => verb.run().map(|()| ExitCode::SUCCESS),
            Verb::Import(verb) => verb.run().map(|()| ExitCode::SUCCESS),
            Verb::Export(verb) => verb.run().map(|()| ExitCode::SUCCESS),
            Verb::Info(verb) => verb.run().map(|()| ExitCode::SUCCESS),
        }
    }
}

/// The flag that every verb with a device has.
#[derive(Debug, Args)]
struct DeviceFlag {
    /// Device: auto, gpu, gpu:NUMBER as `info` lists them, gpu:NAME, cpu or cpu-f64
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::Auto, help_heading = "Device")]
    device: DeviceChoice,

    /// Threads of the CPU device and of image decoding [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Device",
          value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
    threads: Option<u16>,
}

/// More threads than any processor has cores only get in each other's way.
const MAX_THREADS: i64 = 1024;

impl DeviceFlag {
    /// Opens the device and says why it was this one.
    fn open(&self) -> Result<(Engine, String)> {
        if let Some(threads) = self.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads)).build_global();
            pool.map_err(|e| Error::Device(format!("cannot start {threads} threads ({e}); give fewer --threads")))?;
        }
        Engine::open_explained(&self.device)
    }
}

/// Exit status after Ctrl-C, as shells expect it.
const INTERRUPTED: u8 = 130;

/// The first Ctrl-C prints `message` and asks for a clean end, the second one ends at once.
fn stop_on_ctrl_c(message: &'static str) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let handler = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        hint!("\n{message}");
    });
    if let Err(e) = handler {
        hint!("warning: Ctrl-C will end the program at once ({e})");
    }
    stop
}
