//! `facenet-gpu summary`: a network as the paper's tables show it.

use clap::Args;

use super::table;
use crate::graph::Recording;
use crate::model::Model;
use crate::net::{self, NETWORKS, Summary};
use crate::train::{Config, Trainer, image_size};
use crate::{Error, Result};

/// Print a network's table: sizes, kernels, parameters, multiply-adds and memory
#[derive(Debug, Args)]
#[command(name = "summary")]
pub(super) struct SummaryVerb {
    /// Network; without it, all are listed
    net: Option<String>,

    /// Height and width of the images, such as 96x96 [default: the network's own]
    #[arg(long, value_name = "HxW", value_parser = image_size, requires = "net")]
    input: Option<[u32; 2]>,

    /// Dimensions of an embedding [default: the network's own]
    #[arg(long, value_name = "DIM", value_parser = clap::value_parser!(u32).range(1..=4096), requires = "net")]
    embedding: Option<u32>,

    /// Images of a batch, for the memory
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,

    /// A row for every layer instead of one for every module
    #[arg(long, requires = "net")]
    layers: bool,
}

impl SummaryVerb {
    pub(super) fn run(self) -> Result<()> {
        let Some(name) = &self.net else { return list() };
        let network = net::find(name)?;
        let model = network.sized(self.input, self.embedding)?;
        let summary = Summary::new(&model, !self.layers)?;
        let [height, width] = self.input.unwrap_or(network.input);
        say!("{}, {height}x{width}: {}\n", network.name, network.about);
        print_layers(&summary);
        say!(
            "\n{} parameters{}, {} multiply-adds an image",
            table::count(summary.params),
            match summary.statistics {
                0 => String::new(),
                n => format!(" and {} running statistics", table::count(n)),
            },
            table::count(summary.macs)
        );
        self.print_memory(&model)
    }

    /// What the plans for this batch allocate. A batch that no plan can hold is no reason to withhold the table.
    fn print_memory(&self, model: &Model) -> Result<()> {
        let inference = model.inference(self.batch);
        let inference = inference.map(|net| Recording::forward(&net.graph, &[net.embeddings()]).finish());
        let training = Trainer::plan(model, &Config::default(), self.batch);
        for (what, plan) in [("embed", inference), ("train with AdaGrad", training)] {
            match plan {
                Ok(plan) => {
                    let largest = plan.buffers.iter().map(|b| b.bytes()).max().unwrap_or(0);
                    let (batch, all) = (self.batch, mib(plan.bytes()));
                    say!("to {what} {batch} at a time: {all}, the largest tensor {}", mib(largest));
                }
                Err(e @ (Error::Shape { .. } | Error::Setting(_))) => say!("to {what} {} at a time: {e}", self.batch),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Every network in one line.
fn list() -> Result<()> {
    say!("{:<24} {:>9} {:>10} {:>12} {:>15}", "network", "input", "dimensions", "parameters", "multiply-adds");
    for network in NETWORKS {
        let summary = Summary::new(&network.model()?, true)?;
        let [height, width] = network.input;
        say!(
            "{:<24} {:>9} {:>10} {:>12} {:>15}",
            network.name,
            format!("{height}x{width}"),
            network.embedding,
            table::short(summary.params as f64),
            table::short(summary.macs as f64)
        );
    }
    say!("\n`facenet-gpu summary NETWORK` prints its table.");
    Ok(())
}

fn print_layers(summary: &Summary) {
    let names = summary.layers.iter().map(|l| l.name.len()).max().unwrap_or(0).max("layer".len());
    let row = |cells: [&str; 7]| {
        let [name, size_in, size_out, params, macs, activations, kernels] = cells;
        let line = format!(
            "{name:<names$}  {size_in:>12}  {size_out:>12}  {params:>10}  {macs:>13}  {activations:>11}  {kernels}"
        );
        say!("{}", line.trim_end());
    };
    row(["layer", "size in", "size out", "parameters", "multiply-adds", "activations", "kernel, stride"]);
    let count = |n: u64| if n > 0 { table::short(n as f64) } else { String::new() };
    for layer in &summary.layers {
        row([
            &layer.name,
            &layer.size_in,
            &layer.size_out,
            &count(layer.params),
            &count(layer.macs),
            &mib(layer.activation_bytes),
            &layer.kernels.join("; "),
        ]);
    }
    let totals = [count(summary.params), count(summary.macs), mib(summary.activation_bytes)];
    row(["total", "", "", &totals[0], &totals[1], &totals[2], ""]);
}

fn mib(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib >= 1024.0 { format!("{:.2} GiB", mib / 1024.0) } else { format!("{mib:.2} MiB") }
}
