//! The program's verbs: flags and output of one verb each, and nothing that a library user would want.

#[macro_use]
mod output;

mod align;
mod bench;
mod calibrate;
mod cluster;
mod detect;
mod detector;
mod diff;
mod embed;
mod eval;
mod exchange;
mod eyes;
mod files;
mod gallery;
mod identify;
mod info;
mod models;
mod progress;
mod signals;
mod summary;
mod synth;
mod table;
mod threshold;
mod train;
mod tuning;
mod verify;
mod view;
mod weights;
mod words;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::tune::Tuning;
use crate::{DeviceChoice, Engine, Error, Precision, Result};

/// FaceNet on any GPU: train and run face embeddings with hand-written compute shaders.
#[derive(Debug, Parser)]
#[command(name = "facenet-gpu", version, arg_required_else_help = true, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Train(Box<train::Train>),
    Bench(bench::Bench),
    Detect(Box<detect::Detect>),
    Align(Box<align::Align>),
    Embed(embed::Embed),
    Verify(verify::Verify),
    Calibrate(calibrate::Calibrate),
    Gallery(gallery::Gallery),
    Identify(identify::Identify),
    Cluster(Box<cluster::Cluster>),
    Eval(eval::Eval),
    Diff(diff::Diff),
    Synth(synth::Synth),
    Summary(summary::SummaryVerb),
    Import(exchange::Import),
    Export(exchange::Export),
    Info(info::Info),
}

/// The program: reads the arguments, runs the verb, prints what went wrong.
pub fn main() -> ExitCode {
    signals::survive_large_files();
    std::panic::set_hook(Box::new(quiet_about_databases(std::panic::take_hook())));
    let matches = Cli::command_with_numbers().try_get_matches();
    let cli = match matches.and_then(|m| Ok((Cli::from_arg_matches(&m)?, threads_of(&m)))) {
        Ok((cli, threads)) => {
            // Before anything runs in parallel.
            if let Err(e) = threads.map_or(Ok(()), start_threads) {
                output::error(&e);
                return output::finish(ExitCode::from(exit_code(&e)));
            }
            cli
        }
        Err(e) => {
            let code = u8::try_from(e.exit_code()).unwrap_or(WRONG_USAGE);
            output::keep(e.print());
            return output::finish(ExitCode::from(code));
        }
    };
    output::finish(cli.run().unwrap_or_else(|e| {
        output::error(&e);
        ExitCode::from(exit_code(&e))
    }))
}

/// A panic's message for standard error, unless it comes from the database of a gallery: that one is caught and told as a
/// damaged file.
fn quiet_about_databases(
    tell: Box<dyn Fn(&std::panic::PanicHookInfo<'_>) + Sync + Send>,
) -> impl Fn(&std::panic::PanicHookInfo<'_>) + Sync + Send {
    move |info| {
        let of_database = info.location().is_some_and(|at| at.file().contains("redb-"));
        if !of_database {
            tell(info);
        }
    }
}

/// The threads that a verb's flag asks for.
fn threads_of(matches: &clap::ArgMatches) -> Option<u16> {
    let mut verb = matches;
    while let Some((_, inner)) = verb.subcommand() {
        verb = inner;
    }
    verb.try_get_one::<u16>("threads").ok().flatten().copied()
}

/// Threads were started already.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Starts the threads of the CPU device and of decoding, once.
fn start_threads(threads: u16) -> Result<()> {
    if STARTED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads)).build_global();
    pool.map_err(|e| Error::Device(format!("cannot start {threads} threads ({e}); give fewer --threads")))
}

/// Exit status for arguments that make no sense.
const WRONG_USAGE: u8 = 2;

/// The exit status after an error.
fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Setting(_) => WRONG_USAGE,
        Error::Interrupted(_) => INTERRUPTED,
        _ => 1,
    }
}

impl Cli {
    /// The command line, in which a number may be negative everywhere, so that the flag says what is wrong with it.
    fn command_with_numbers() -> clap::Command {
        fn with_numbers(verb: clap::Command) -> clap::Command {
            let verb = verb.mut_args(|arg| {
                let takes_values = arg.get_action().takes_values() && !arg.is_positional();
                arg.allow_negative_numbers(takes_values)
            });
            verb.mut_subcommands(with_numbers)
        }
        Self::command().mut_subcommands(with_numbers)
    }

    /// Runs the verb.
    fn run(self) -> Result<ExitCode> {
        match self.verb {
            Verb::Train(verb) => verb.run(),
            Verb::Bench(verb) => verb.run().map(|()| ExitCode::SUCCESS),
            Verb::Detect(verb) => verb.run(),
            Verb::Align(verb) => verb.run(),
            Verb::Embed(verb) => verb.run(),
            Verb::Verify(verb) => verb.run().map(|()| ExitCode::SUCCESS),
            Verb::Calibrate(verb) => verb.run().map(|()| ExitCode::SUCCESS),
            Verb::Gallery(verb) => verb.run(),
            Verb::Identify(verb) => verb.run(),
            Verb::Cluster(verb) => verb.run().map(|()| ExitCode::SUCCESS),
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
    /// Device: auto, gpu, gpu:NUMBER as `info` lists them, gpu:NAME, cpu or cpu-f64 [default: auto]
    #[arg(long, value_name = "DEVICE", help_heading = "Device")]
    device: Option<DeviceChoice>,

    /// Threads of the CPU device and of image decoding [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Device", hide_short_help = true,
          value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
    threads: Option<u16>,

    /// What convolutions multiply: f32, or floats rounded to f16, for GPUs that are faster so; embeddings differ by about 1e-3, with a
    /// detector more; not for training [default: f32]
    #[arg(long, value_name = "PRECISION", help_heading = "Device", hide_short_help = true)]
    precision: Option<Precision>,

    /// Choose kernels by rules alone, in place of timing them once when this device first meets their sizes
    #[arg(long, help_heading = "Device", hide_short_help = true)]
    no_tune: bool,
}

/// More threads than any processor has cores only get in each other's way.
const MAX_THREADS: i64 = 1024;

impl DeviceFlag {
    /// What was asked for.
    fn choice(&self) -> DeviceChoice {
        self.device.clone().unwrap_or(DeviceChoice::Auto)
    }

    /// To how many bits factors may be rounded.
    fn precision(&self) -> Precision {
        self.precision.unwrap_or_default()
    }

    /// The same flags with another device.
    fn with(&self, choice: DeviceChoice) -> Self {
        Self { device: Some(choice), ..*self }
    }

    /// Opens the device, whose kernels are chosen by measurement unless a flag forbids it, and says why it was this one.
    fn open(&self) -> Result<(Engine, String)> {
        let (engine, reason) = self.open_untuned()?;
        let tuned = |engine: Engine| engine.with_tuning(tuning::shown(Tuning::default()));
        Ok((if self.no_tune || tuning::forbidden() { engine } else { tuned(engine) }, reason))
    }

    /// Opens the device, whose kernels are chosen by rules alone, and says why it was this one.
    fn open_untuned(&self) -> Result<(Engine, String)> {
        // Those of a settings file; those of a flag run already.
        self.threads.map_or(Ok(()), start_threads)?;
        let (engine, reason) = Engine::open_with(&self.choice(), self.precision())?;
        let (engine, wrong) = engine.with_matrices();
        wrong.iter().for_each(|wrong| hint!("warning: {wrong}"));
        Ok((engine, words::with_flags(&reason).into_owned()))
    }

    /// Opens the device, and prints which one it is and why.
    fn open_told(&self) -> Result<Engine> {
        let (engine, reason) = self.open()?;
        say!("device    {}", engine.describe());
        say!("          {reason}");
        Ok(engine)
    }
}

/// Exit status after Ctrl-C, as shells expect it.
const INTERRUPTED: u8 = 130;
