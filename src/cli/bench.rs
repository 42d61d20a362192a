//! `facenet-gpu bench`: how fast every op and the network are on a device.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::DeviceFlag;
use crate::bench::{self, Row, Table};
use crate::net;
use crate::op::ENTRIES;
use crate::train::Config;
use crate::weights::{check_writable, write_whole};
use crate::{Error, Result};

/// Time every op at real sizes, and the network's inference and training step
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Only cases whose name contains this text, such as conv2d or "training step"
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Network
    #[arg(long = "net", value_name = "NAME", default_value = "zf64")]
    network: String,

    /// Also write the table as JSON
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,

    /// Show how each row compares with an older table
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,

    #[command(flatten)]
    device: DeviceFlag,
}

impl Bench {
    pub(super) fn run(self) -> Result<()> {
        let network = net::find(&self.network)?;
        let model = network.model()?;
        let old = self.compare.as_deref().map(read_table).transpose()?;
        if let Some(path) = &self.json {
            check_writable(path.parent().unwrap_or(Path::new("")))?;
        }
        let (engine, reason) = self.device.open()?;
        say!("facenet-gpu {} on {}: {reason}", env!("CARGO_PKG_VERSION"), engine.describe());
        let ceilings = bench::ceilings(&engine)?;
        say!(
            "ceilings: {:.1} GFLOP/s (product of 1024x1024x1024), {:.1} GB/s (copy of 32 MiB); share is of the nearer one\n",
            ceilings.gflops,
            ceilings.gbytes
        );
        let mut printer = Printer::new(old.as_ref());
        let wanted = |name: &str| self.filter.as_ref().is_none_or(|f| name.contains(f.as_str()));
        for entry in ENTRIES {
            for case in (entry.bench_cases)() {
                if wanted(&bench::case_name(entry.name, &case)) {
                    printer.measure(entry.name, || bench::op_case(&engine, entry.name, case, ceilings))?;
                }
            }
        }
        for search in bench::SEARCHES {
            if wanted(search.0) {
                printer.measure("nearest", || bench::search(&engine, search, ceilings))?;
            }
        }
        if wanted(&format!("{} inference training step", network.name)) {
            // The step with the optimiser that the network is trained with.
            let config = Config::default().with(|c| c.network = network.name.to_string()).with_recipe();
            printer.measure(network.name, || bench::network(&engine, &model, &config, ceilings))?;
        }
        let rows = printer.rows;
        if rows.is_empty() {
            let names: Vec<_> = ENTRIES.iter().map(|e| e.name).chain(["nearest"]).collect();
            let text = self.filter.unwrap_or_default();
            return Err(Error::Setting(format!("nothing matches --filter \"{text}\"; ops: {}", names.join(", "))));
        }
        if let Some(path) = &self.json {
            let version = env!("CARGO_PKG_VERSION").to_string();
            let table = Table { version, device: engine.describe(), ceilings, rows };
            let json = serde_json::to_vec_pretty(&table).expect("a table is plain data");
            write_whole(path, &json)?;
            say!("\nwritten to {}", path.display());
        }
        Ok(())
    }
}

fn read_table(path: &Path) -> Result<Table> {
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::Data(format!("{} is not a table that `bench --json` wrote ({e})", path.display())))
}

fn spinner(what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid");
    let spinner = ProgressBar::new_spinner().with_style(style).with_message(format!("timing {what}"));
    spinner.enable_steady_tick(std::time::Duration::from_millis(120));
    spinner
}

/// Keeps rows and prints them under a heading per case.
struct Printer<'a> {
    old: Option<&'a Table>,
    case: String,
    rows: Vec<Row>,
}

impl<'a> Printer<'a> {
    fn new(old: Option<&'a Table>) -> Self {
        if let Some(old) = old {
            say!("compared with {} on {}\n", old.version, old.device);
        }
        Self { old, case: String::new(), rows: Vec::new() }
    }

    /// Measures, with a sign of life on a terminal meanwhile.
    fn measure(&mut self, what: &str, run: impl FnOnce() -> Result<Vec<Row>>) -> Result<()> {
        let spinner = spinner(what);
        let measured = run()?;
        spinner.finish_and_clear();
        measured.iter().for_each(|row| self.row(row));
        self.rows.extend(measured);
        Ok(())
    }

    fn row(&mut self, row: &Row) {
        if row.case != self.case {
            say!("{}{}", if self.case.is_empty() { "" } else { "\n" }, row.case);
            say!(
                "  {:<26} {:>10} {:>10} {:>9} {:>8} {:>7} {:>10}",
                "kernel",
                "median ms",
                "p95 ms",
                "GFLOP/s",
                "GB/s",
                "share",
                "images/s"
            );
            self.case.clone_from(&row.case);
        }
        let number = |n: f64, digits: usize| if n > 0.0 { format!("{n:.digits$}") } else { "-".to_string() };
        let images = row.images_per_second.map_or_else(|| "-".to_string(), |n| format!("{n:.0}"));
        let share = if row.share > 0.0 { format!("{:.0} %", row.share * 100.0) } else { "-".to_string() };
        let change = self.old.map(|old| match old.rows.iter().find(|o| o.key() == row.key()) {
            Some(before) => format!("  {:.2}x of {:.3} ms", row.median_ms / before.median_ms, before.median_ms),
            None => "  new".to_string(),
        });
        say!(
            "  {:<26} {:>10.3} {:>10.3} {:>9} {:>8} {share:>7} {images:>10}{}",
            row.kernel,
            row.median_ms,
            row.p95_ms,
            number(row.gflops, 1),
            number(row.gbytes, 1),
            change.unwrap_or_default()
        );
    }
}
