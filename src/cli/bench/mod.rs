//! `facenet-gpu bench`: how fast a network, and every op, is on a device.

mod printer;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::printer::Printer;
use super::DeviceFlag;
use crate::bench::{self, Gauge, Row, Table, Task};
use crate::model::Model;
use crate::net;
use crate::op::ENTRIES;
use crate::train::{Config, image_size};
use crate::weights::{check_writable, write_whole};
use crate::{DeviceChoice, Engine, Error, Precision, Result};

/// Time a network's inference and training step; with --kernels or --filter also the kernels, op by op
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Network
    #[arg(long = "net", value_name = "NAME", default_value = "zf64")]
    network: String,

    /// Images at a time in inference: a number, or several with commas between
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,32",
          value_parser = clap::value_parser!(u32).range(1..=MOST_IMAGES))]
    batch: Vec<u32>,

    /// Height and width of the images in pixels, such as 96x96 [default: the network's own]
    #[arg(long, value_name = "HxW", value_parser = image_size)]
    input: Option<[u32; 2]>,

    /// Devices to time one after the other, such as cpu,gpu
    #[arg(long, value_name = "DEVICE,...", value_delimiter = ',', conflicts_with = "device")]
    devices: Vec<DeviceChoice>,

    /// Time the kernels one by one: those of the network, and of every op at real sizes
    #[arg(long)]
    kernels: bool,

    /// Only lines with this text, in capitals or not, such as inference, "training step", or conv2d
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Show the candidates that kernels were chosen from, with their times
    #[arg(long, conflicts_with = "no_tune")]
    choices: bool,

    /// Show where the time goes from the start to the first image and the first training step, in place of the table
    #[arg(long, conflicts_with_all = ["kernels", "filter", "choices", "json", "compare", "batch"])]
    start: bool,

    /// Also write the table as JSON, after each task
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,

    /// Show how each row compares with an older table
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,

    #[command(flatten)]
    device: DeviceFlag,
}

/// More do not fit on any device.
const MOST_IMAGES: i64 = 65_536;

/// What is shown of a task.
struct Shown {
    task: Task,
    /// It is a network's, and is shown as a whole.
    whole: bool,
    /// The kernels that are shown.
    kernels: Vec<&'static str>,
}

impl Bench {
    pub(super) fn run(self) -> Result<()> {
        let network = net::find(&self.network)?;
        let model = network.sized(self.input, None)?;
        let old = self.compare.as_deref().map(read_table).transpose()?;
        if let Some(path) = &self.json {
            check_writable(path.parent().unwrap_or(Path::new("")))?;
            if path.is_dir() {
                return Err(Error::io("write", path)(std::io::ErrorKind::IsADirectory.into()));
            }
        }
        if self.start {
            return self.time_start(&model);
        }
        if self.shown(&model)?.is_empty() {
            let names: Vec<_> = ENTRIES.iter().map(|e| e.name).chain(["nearest"]).collect();
            let text = self.filter.unwrap_or_default();
            let training = if self.device.precision() == Precision::F32 { ", training step" } else { "" };
            return Err(Error::Setting(format!(
                "nothing matches --filter \"{text}\": give inference{training}, or one of the ops: {}",
                names.join(", ")
            )));
        }
        say!("facenet-gpu {}", env!("CARGO_PKG_VERSION"));
        let mut printer = Printer::new(old.as_ref());
        let mut devices = Vec::new();
        // All are opened first: one that is missing must not cost the times of the others.
        let engines = self.wanted().into_iter().map(|choice| self.device.with(choice).open());
        for (engine, reason) in engines.collect::<Result<Vec<_>>>()? {
            devices.push(engine.describe());
            printer.device(&engine.describe(), &reason);
            self.measure(&engine, self.shown(&model)?, &mut printer, &devices)?;
            if self.choices {
                printer::choices(&engine.choices());
            }
        }
        printer.legend(!self.kernels && self.filter.is_none());
        if self.device.precision() != Precision::F32 {
            say!("training computes in f32: its step is timed without --precision");
        }
        self.write(printer.rows(), &devices)?;
        if let Some(path) = &self.json {
            say!("\nwritten to {}", path.display());
        }
        Ok(())
    }

    /// Writes the rows so far as JSON, if that is asked for.
    fn write(&self, rows: &[Row], devices: &[String]) -> Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        let version = env!("CARGO_PKG_VERSION").to_string();
        let table = Table { version, device: devices.join("; "), rows: rows.to_vec() };
        let json = serde_json::to_vec_pretty(&table).expect("a table is plain data");
        write_whole(path, &json)
    }

    /// The devices to time.
    fn wanted(&self) -> Vec<DeviceChoice> {
        if self.devices.is_empty() { vec![self.device.choice()] } else { once_each(&self.devices) }
    }

    /// Times the parts of a start, on each device from opening it.
    fn time_start(&self, model: &Model) -> Result<()> {
        let part = |part: &str, seconds: f64| say!("  {part:<52} {:>10.1}", seconds * 1e3);
        for choice in self.wanted() {
            let begin = Instant::now();
            let (engine, reason) = self.device.with(choice).open()?;
            let opened = begin.elapsed().as_secs_f64();
            say!("{}: {reason}", engine.describe());
            say!("  {:<52} {:>10}", "", "ms");
            part("device is opened", opened);
            bench::start(&engine, model, &config_of(model), &mut |name, seconds| part(name, seconds))?;
        }
        Ok(())
    }

    /// Measures all tasks on a device. The table is written after each, so that Ctrl-C loses one task at most.
    fn measure(&self, engine: &Engine, all: Vec<Shown>, printer: &mut Printer<'_>, devices: &[String]) -> Result<()> {
        let mut gauge = None;
        for Shown { task, whole, kernels } in all {
            let meanings = task.kernels();
            let name = task.case.clone();
            let mut ready = match task.ready(engine) {
                // Smaller batches have their lines all the same.
                Err(Error::Memory(message)) if whole => {
                    printer.failure(&name, &message);
                    continue;
                }
                ready => ready?,
            };
            let spinner = spinner(&name);
            if whole {
                ready.whole()?.into_iter().for_each(|row| spinner.suspend(|| printer.whole(row)));
            }
            if !kernels.is_empty() {
                let gauge = match &mut gauge {
                    Some(gauge) => gauge,
                    none => none.insert(Gauge::new(engine)?),
                };
                let mut rows = ready.kernels(gauge)?;
                rows.retain(|row| kernels.contains(&row.kernel.as_str()));
                spinner.suspend(|| printer.kernels(rows, &meanings));
            }
            spinner.finish_and_clear();
            // A table that is compared with is replaced by a whole one.
            if self.json != self.compare {
                self.write(printer.rows(), devices)?;
            }
        }
        Ok(())
    }

    /// What the flags ask for: the network's tasks, and the cases of ops where kernels are asked for or named.
    fn shown(&self, model: &Model) -> Result<Vec<Shown>> {
        let mut all = Vec::new();
        // Networks are trained in f32 alone.
        let config = (self.device.precision() == Precision::F32).then(|| config_of(model));
        for task in bench::network(model, &once_each(&self.batch), config.as_ref())? {
            all.extend(self.lines(task, true, self.kernels));
        }
        if self.kernels || self.filter.is_some() {
            for task in bench::op_cases().chain(bench::searches()) {
                all.extend(self.lines(task?, false, true));
            }
        }
        Ok(all)
    }

    /// The lines of a task that the filter leaves, if there are any.
    fn lines(&self, task: Task, whole: bool, kernels: bool) -> Option<Shown> {
        let text = self.filter.as_ref().map(|text| text.to_lowercase());
        let wanted = |name: &str| text.as_ref().is_none_or(|text| name.to_lowercase().contains(text));
        let case = wanted(&task.case);
        let names = task.kernels().into_iter().map(|kernel| kernel.name);
        let kernels: Vec<_> = names.filter(|name| kernels && (case || wanted(name))).collect();
        let whole = whole && case;
        (whole || !kernels.is_empty()).then_some(Shown { task, whole, kernels })
    }
}

/// Values in their order, those that are named twice once.
fn once_each<T: Clone + PartialEq>(values: &[T]) -> Vec<T> {
    let mut once = Vec::new();
    for value in values {
        if !once.contains(value) {
            once.push(value.clone());
        }
    }
    once
}

/// The settings that a network is trained with, its optimiser among them.
fn config_of(model: &Model) -> Config {
    Config::default().with(|c| c.network = model.name().to_string()).with_recipe()
}

fn read_table(path: &Path) -> Result<Table> {
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::Data(format!("{} is not a table that `bench --json` wrote ({e})", path.display())))
}

/// A sign of life on a terminal.
fn spinner(what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid");
    let spinner = ProgressBar::new_spinner().with_style(style).with_message(format!("timing {what}"));
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}
