//! The tables of `bench`.

use crate::bench::{Row, SAVES, Table};
use crate::plan::Kernel;
use crate::tune::Choice;

/// The heading that stands above the last line.
#[derive(PartialEq)]
enum Heading {
    None,
    Networks,
    Case(String),
}

/// Keeps rows, and prints them under headings.
pub(super) struct Printer<'a> {
    old: Option<&'a Table>,
    heading: Heading,
    rows: Vec<Row>,
    /// Kernels that stand in the table, with what they compute.
    kernels: Vec<(&'static str, &'static str)>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(old: Option<&'a Table>) -> Self {
        if let Some(old) = old {
            say!("compared with {} on {}", old.version, old.device);
        }
        Self { old, heading: Heading::None, rows: Vec::new(), kernels: Vec::new() }
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn device(&mut self, device: &str, reason: &str) {
        say!("\n{device}: {reason}");
        self.heading = Heading::None;
    }

    /// Says that the next lines belong to another heading, and whether they do.
    fn begin(&mut self, heading: Heading) -> bool {
        let new = self.heading != heading;
        self.heading = heading;
        new
    }

    fn network_heading(&mut self) {
        if self.begin(Heading::Networks) {
            say!("  {:<40} {:>10} {:>11} {:>11} {:>11}", "", "images/s", "median ms", "p95 ms", "memory MiB");
        }
    }

    /// A network's task.
    pub(super) fn whole(&mut self, row: Row) {
        self.network_heading();
        let images = row.images_per_second.unwrap_or_default();
        let mib = row.memory.unwrap_or_default() as f64 / f64::from(1 << 20);
        let (case, change) = (&row.case, self.change(&row));
        say!("  {case:<40} {images:>10.1} {:>11.3} {:>11.3} {mib:>11.1}{change}", row.median_ms, row.p95_ms);
        self.rows.push(row);
    }

    /// A network's task that could not be run.
    pub(super) fn failure(&mut self, case: &str, message: &str) {
        self.network_heading();
        say!("  {case:<40} {message}");
    }

    /// The kernels of a case; `meanings` has at least these.
    pub(super) fn kernels(&mut self, rows: Vec<Row>, meanings: &[&'static Kernel]) {
        for row in rows {
            if self.begin(Heading::Case(row.case.clone())) {
                say!("\n  {}", row.case);
                let columns = ["median ms", "p95 ms", "GFLOP/s", "GB/s", "share of"];
                let [median, p95, gflops, gbytes, share] = columns;
                say!("    {:<26} {median:>10} {p95:>10} {gflops:>9} {gbytes:>8} {share:>10}", "kernel");
            }
            let number = |n: f64| if n > 0.0 { format!("{n:.1}") } else { "-".to_string() };
            say!(
                "    {:<26} {:>10.3} {:>10.3} {:>9} {:>8} {:>7} {}{}",
                row.kernel,
                row.median_ms,
                row.p95_ms,
                number(row.gflops),
                number(row.gbytes),
                share(&row),
                row.ceiling,
                self.change(&row)
            );
            let known = self.kernels.iter().any(|(name, _)| *name == row.kernel);
            if let Some(kernel) = meanings.iter().find(|kernel| kernel.name == row.kernel && !known) {
                self.kernels.push((kernel.name, meaning(kernel)));
            }
            self.rows.push(row);
        }
    }

    fn change(&self, row: &Row) -> String {
        self.old.map_or_else(String::new, |old| format!("  {}", row.change_since(old)))
    }

    /// What the columns mean, and what the kernels compute.
    pub(super) fn legend(&self, plain: bool) {
        if self.rows.iter().any(|row| row.memory.is_some()) {
            say!(
                "\nmedian and 95th percentile are the time of a batch; memory: weights, copies of them in another order"
            );
            say!("(CPU device) and activations, at the worst moment");
        }
        if plain {
            say!(
                "--kernels times the kernels one by one, --filter conv2d those of an op; --batch, --input and --devices say of what"
            );
        }
        if !self.kernels.is_empty() {
            say!(
                "\nshare of what the device does at its best: a product of 1024x1024x1024, or a copy of about as many bytes;"
            );
            say!("above is more than that: the sizes or the caches suit the kernel better");
            if self.rows.iter().any(|row| row.ceiling == SAVES) {
                say!("{SAVES}: Winograd's way makes fewer multiplications than GFLOP/s counts, and so has no share");
            }
            say!("\nkernels:");
            for (name, meaning) in &self.kernels {
                say!("  {name:<26} {meaning}");
            }
        }
    }
}

/// A share in words.
fn share(row: &Row) -> String {
    match row.share {
        0.0 => "-".to_string(),
        share if share < 1.005 => format!("{:.0} %", share * 100.0),
        _ => "above".to_string(),
    }
}

/// What a kernel computes: the first line of its header in WGSL.
fn meaning(kernel: &Kernel) -> &'static str {
    let header = format!("// {}: ", kernel.name);
    // The portable variant, which is last, says it without the needs of a device.
    let lines = kernel.variants.iter().rev().flat_map(|variant| variant.source.lines());
    lines.filter_map(|line| line.strip_prefix(&header)).next().unwrap_or_default()
}

/// The candidates of each shape, and which of them was chosen.
pub(super) fn choices(choices: &[Choice]) {
    say!("\n  choices of kernels, with the best time of each candidate; * is the static choice");
    if choices.is_empty() {
        say!("    none: no kernel has more than one candidate here");
    }
    for Choice { shape, chosen, candidates, .. } in choices {
        say!("    {shape}");
        let name = |at: usize, name: &str| format!("{name}{}", if at == 0 { "*" } else { "" });
        let time = |ms: &Option<f64>| ms.map_or_else(|| "not timed".to_string(), |ms| format!("{ms:.3} ms"));
        let all: Vec<String> =
            candidates.iter().enumerate().map(|(at, (of, ms))| format!("{} {}", time(ms), name(at, of))).collect();
        say!("      {chosen}: {}", all.join("; "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench;

    #[test]
    fn every_kernel_of_the_tables_is_explained() {
        let tasks: Vec<_> = bench::op_cases().chain(bench::searches()).collect::<crate::Result<_>>().unwrap();
        let kernels: Vec<_> = tasks.iter().flat_map(bench::Task::kernels).collect();
        assert!(kernels.len() > 50);
        for kernel in kernels {
            assert!(!meaning(kernel).is_empty(), "{} is not explained", kernel.name);
        }
    }
}
