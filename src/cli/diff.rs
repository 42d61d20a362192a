//! `facenet-gpu diff`: a training step on two devices side by side, for authors of kernels.

use std::process::ExitCode;

use clap::Args;

use super::DeviceFlag;
use crate::bench::{StepDifference, side_by_side, training_step};
use crate::net;
use crate::train::check_precision;
use crate::{DeviceChoice, Engine, Result};

/// Run a training step on two devices side by side and report the first kernel whose results differ
#[derive(Debug, Args)]
pub(super) struct Diff {
    #[command(flatten)]
    device: DeviceFlag,

    /// The device to compare with: auto, gpu, gpu:NUMBER, gpu:NAME, cpu or cpu-f64
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::CpuF64)]
    against: DeviceChoice,

    /// Network
    #[arg(long = "net", value_name = "NAME", default_value = "zf64")]
    network: String,

    /// Images of the batch: people x 2
    #[arg(id = "diff.people", long = "people", value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=1024))]
    people: u32,

    /// Largest difference that counts as equal, relative to the largest magnitude of the tensor
    #[arg(long, value_name = "X", default_value_t = 1e-4, value_parser = tolerance)]
    tolerance: f64,

    /// Let differences grow from step to step, instead of giving both devices the same inputs at each step
    #[arg(long)]
    inherit: bool,

    /// Show every step, not only the first that differs
    #[arg(long)]
    all: bool,
}

fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x: &f64| x.is_finite() && *x >= 0.0);
    number.ok_or_else(|| "give a number of at least 0, such as 1e-4".into())
}

impl Diff {
    pub(super) fn run(self) -> Result<ExitCode> {
        check_precision(self.device.precision())?;
        let model = net::find(&self.network)?.model()?;
        let ((left, _), right) = (self.device.open_untuned()?, Engine::open(&self.against)?);
        say!("{} against {}", left.describe(), right.describe());
        let mut a = training_step(&left, &model, self.people)?;
        let mut b = training_step(&right, &model, self.people)?;
        let mut first: Option<StepDifference> = None;
        let mut worst: Option<StepDifference> = None;
        side_by_side(a.as_mut(), b.as_mut(), !self.inherit, &mut |d| {
            if self.all {
                say!("{:>4}  {:<24} {:<28} {:.1e}", d.step, d.kernel, d.buffer, d.error);
            }
            if worst.as_ref().is_none_or(|w| d.error > w.error) {
                worst = Some(d.clone());
            }
            if d.error.is_nan() || d.error > self.tolerance {
                first.get_or_insert(d);
            }
            self.all || first.is_none()
        })?;
        let steps = a.plan().steps.len();
        Ok(match (first, worst) {
            (Some(d), _) => {
                say!(
                    "step {} of {steps} is the first that differs: {} of layer {} writes {}, off by {:.1e} of its largest \
                     magnitude; element {} is {} and {}",
                    d.step,
                    d.kernel,
                    d.layer,
                    d.buffer,
                    d.error,
                    d.at,
                    d.values.0,
                    d.values.1
                );
                ExitCode::FAILURE
            }
            (None, Some(w)) => {
                say!(
                    "all {steps} steps agree within {:.0e}; the largest difference is {:.1e}, in {} of layer {}",
                    self.tolerance,
                    w.error,
                    w.kernel,
                    w.layer
                );
                ExitCode::SUCCESS
            }
            (None, None) => ExitCode::SUCCESS,
        })
    }
}
