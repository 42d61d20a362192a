//! Opens a device and puts plans on it.

use std::fmt;
use std::str::FromStr;

use crate::cpu::{CpuExecutor, available_memory};
use crate::executor::{Executor, Options};
use crate::gpu::{AdapterChoice, DeviceKind, Gpu, Precision, adapters};
use crate::plan::{Plan, assign_slots_except};
use crate::text::counted;
use crate::tune::{Choice, Device, Tuner, Tuning};
use crate::{Error, Result};

/// Which device to use: `auto`, `gpu`, `gpu:NUMBER`, `gpu:NAME`, `cpu` or `cpu-f64`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceChoice {
    /// A real GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// An adapter, software adapters included.
    Gpu(AdapterChoice),
    /// The CPU device.
    Cpu,
    /// The CPU device in `f64`: slow, and the reference for all others.
    CpuF64,
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "gpu" => Ok(Self::Gpu(AdapterChoice::Best)),
            "cpu" => Ok(Self::Cpu),
            "cpu-f64" => Ok(Self::CpuF64),
            _ => match text.strip_prefix("gpu:") {
                Some(which) if !which.is_empty() => Ok(Self::Gpu(which.into())),
                _ => Err(Error::Setting(format!(
                    "unknown device \"{text}\": use auto, gpu, gpu:NUMBER, gpu:NAME, cpu or cpu-f64"
                ))),
            },
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Gpu(AdapterChoice::Best) => f.write_str("gpu"),
            Self::Gpu(which) => write!(f, "gpu:{which}"),
            Self::Cpu => f.write_str("cpu"),
            Self::CpuF64 => f.write_str("cpu-f64"),
        }
    }
}

/// How much memory a device has for a plan, as far as it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryBudget {
    /// Bytes of the largest allocation.
    pub largest: u64,
    /// Bytes of all allocations together; `None` where only trying tells.
    pub total: Option<u64>,
}

impl MemoryBudget {
    /// Whether a plan's allocations fit, or may. With `stored`, what is persistent has its memory already.
    #[doc(hidden)]
    pub fn holds(&self, plan: &Plan, stored: bool) -> bool {
        let bytes = assign_slots_except(plan, true, |buf| stored && plan.spec(buf).role.is_persistent()).bytes;
        bytes.iter().all(|&b| b <= self.largest) && self.total.is_none_or(|total| bytes.iter().sum::<u64>() <= total)
    }
}

/// An open device. Cheap to clone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Engine {
    /// Kernels in WGSL on a GPU or a software adapter.
    Gpu(Gpu),
    /// Kernels in Rust on the CPU.
    Cpu,
    /// The same in `f64`: slow, and the reference for all others.
    CpuF64,
    /// One of the others, whose kernels are chosen by measurement: what [`with_tuning`](Self::with_tuning) makes.
    Tuned(Tuned),
}

/// A device with the choices of its kernels. Clones share them.
#[derive(Debug, Clone)]
pub struct Tuned {
    engine: Box<Engine>,
    tuner: Tuner,
}

impl Tuned {
    /// What names the kernels of plans.
    pub(crate) fn tuner(&self) -> &Tuner {
        &self.tuner
    }
}

impl Engine {
    /// Opens a device.
    ///
    /// # Errors
    /// No such device, or it lacks what the engine needs; the message says what to do.
    pub fn open(choice: &DeviceChoice) -> Result<Self> {
        Ok(Self::open_explained(choice)?.0)
    }

    /// Opens a device and says why it was this one: a real GPU where there is one, else the CPU. A software adapter is
    /// taken only when asked for, because the CPU device is several times faster than a driver that computes on the CPU.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_explained(choice: &DeviceChoice) -> Result<(Self, String)> {
        Self::open_with(choice, Precision::F32)
    }

    /// Opens a device for a precision, and says why it was this one.
    ///
    /// ```no_run
    /// use facenet_gpu::{DeviceChoice, Engine, Precision};
    ///
    /// # fn main() -> facenet_gpu::Result<()> {
    /// let (engine, reason) = Engine::open_with(&DeviceChoice::Auto, Precision::F16)?;
    /// println!("{}: {reason}", engine.describe());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open), or the device cannot compute with it: [`Precision::F16`] is for GPUs.
    pub fn open_with(choice: &DeviceChoice, precision: Precision) -> Result<(Self, String)> {
        let asked = || format!("asked for with `device` {choice}");
        let exact = |engine| match precision {
            Precision::F32 => Ok(engine),
            Precision::F16 => Err(Error::Setting(format!(
                "the device {choice} computes in its own precision: `precision` f16 is for GPUs; leave it out, or use `device` gpu"
            ))),
        };
        Ok(match choice {
            DeviceChoice::Gpu(which) => (Self::Gpu(Gpu::open_with(which, precision)?), asked()),
            DeviceChoice::Cpu => (exact(Self::Cpu)?, asked()),
            DeviceChoice::CpuF64 => (exact(Self::CpuF64)?, asked()),
            DeviceChoice::Auto => match Self::best(precision) {
                (None, reasons) if precision == Precision::F32 => (Self::Cpu, reasons),
                (None, reasons) => {
                    let message = "`precision` f16 needs a GPU with 16-bit floats in shaders";
                    return Err(Error::Device(format!("{message}: {reasons}; leave `precision` out to use the CPU")));
                }
                (Some(gpu), reason) => (Self::Gpu(gpu), reason),
            },
        })
    }

    /// The first real GPU that opens, with the reason, or why no GPU could be opened.
    fn best(precision: Precision) -> (Option<Gpu>, String) {
        let (software, real): (Vec<_>, Vec<_>) =
            adapters().into_iter().enumerate().partition(|(_, a)| a.kind == DeviceKind::Software);
        let mut reasons = Vec::new();
        for (number, adapter) in real {
            match adapter.unfit().or_else(|| adapter.lacks(precision)) {
                Some(reason) => reasons.push(format!("{} {reason}", adapter.name)),
                None => match Gpu::open_with(&AdapterChoice::Number(number), precision) {
                    Ok(gpu) => return (Some(gpu), "the best GPU of this machine".to_string()),
                    Err(e) => reasons.push(e.to_string()),
                },
            }
        }
        if reasons.is_empty() {
            reasons.push("no GPU found".to_string());
        }
        if let Some((_, adapter)) = software.first() {
            reasons.push(format!("`device` gpu takes the software adapter {}", adapter.name));
        }
        (None, reasons.join("; "))
    }

    /// The same device, whose kernels are chosen by measurement: all that is put on it (a [`Session`](crate::Session), a
    /// detector, a search, training) computes each shape in the way that was the fastest when it was first met. That takes
    /// at most ten seconds for each network, and choices are kept for the next time. Without it, kernels are chosen by rules that
    /// know nothing of the device. Choices change speed and the last digits of results.
    ///
    /// The device in `f64` has nothing to choose, and stays as it is.
    ///
    /// ```no_run
    /// use facenet_gpu::{DeviceChoice, Engine, tune::Tuning};
    ///
    /// # fn main() -> facenet_gpu::Result<()> {
    /// let engine = Engine::open(&DeviceChoice::Auto)?.with_tuning(Tuning::default());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_tuning(self, tuning: Tuning) -> Self {
        let device = match &self {
            Self::Gpu(gpu) => Device::Gpu(gpu.clone()),
            Self::Cpu => Device::Cpu,
            Self::CpuF64 => return self,
            Self::Tuned(tuned) => return tuned.engine.as_ref().clone().with_tuning(tuning),
        };
        Self::Tuned(Tuned { engine: Box::new(self), tuner: Tuner::new(device, tuning) })
    }

    /// The same engine with time of its own for choosing kernels: what one network is put on.
    pub(crate) fn for_a_network(&self) -> Self {
        match self {
            Self::Tuned(Tuned { engine, tuner }) => {
                Self::Tuned(Tuned { engine: engine.clone(), tuner: tuner.for_a_network() })
            }
            device => device.clone(),
        }
    }

    /// The device alone: `Gpu`, `Cpu` or `CpuF64`.
    pub fn device(&self) -> &Self {
        match self {
            Self::Tuned(tuned) => tuned.engine.device(),
            device => device,
        }
    }

    /// To how many bits the device may round factors: what it was opened with.
    pub fn precision(&self) -> Precision {
        match self.device() {
            Self::Gpu(gpu) => gpu.info().precision,
            _ => Precision::F32,
        }
    }

    /// The choices of kernels that plans have met so far, by shape; none without [`with_tuning`](Self::with_tuning).
    pub fn choices(&self) -> Vec<Choice> {
        match self {
            Self::Tuned(tuned) => tuned.tuner.choices(),
            _ => Vec::new(),
        }
    }

    /// The device in words, for banners and reports.
    pub fn describe(&self) -> String {
        let threads = || counted(rayon::current_num_threads(), "thread");
        match self {
            Self::Gpu(gpu) => {
                let info = gpu.info();
                let matrices = info.families().iter().any(|family| family.has_matrices());
                let extra = match info.precision == Precision::F16 {
                    true if matrices => ", factors in f16, cooperative matrices",
                    true => ", factors in f16",
                    false => "",
                };
                format!("{}{extra}", info.describe())
            }
            Self::Cpu => format!("CPU ({}, {})", threads(), crate::cpu::instruction_set()),
            Self::CpuF64 => format!("CPU in f64 ({})", threads()),
            Self::Tuned(tuned) => tuned.engine.describe(),
        }
    }

    /// How much memory the device has for a plan in `f32`: where its memory is the machine's, half of what is free now. Graphics
    /// interfaces do not tell how much memory a card has.
    pub fn memory_budget(&self) -> MemoryBudget {
        let half = available_memory() / 2;
        match self {
            Self::Gpu(gpu) => {
                let info = gpu.info();
                let shared = matches!(info.kind, DeviceKind::Integrated | DeviceKind::Software);
                MemoryBudget { largest: info.max_binding.min(info.max_buffer), total: shared.then_some(half) }
            }
            Self::Cpu => MemoryBudget { largest: u64::MAX, total: Some(half) },
            Self::CpuF64 => MemoryBudget { largest: u64::MAX, total: Some(half / 2) },
            Self::Tuned(tuned) => tuned.engine.memory_budget(),
        }
    }

    /// Puts a plan on the device.
    ///
    /// # Errors
    /// A tensor does not fit, a kernel does not compile, or the device is lost.
    #[doc(hidden)]
    pub fn executor(&self, mut plan: Plan, options: &Options) -> Result<Box<dyn Executor>> {
        Ok(match self {
            Self::Gpu(gpu) => Box::new(crate::gpu::GpuExecutor::new(gpu, plan, options)?),
            Self::Cpu => Box::new(CpuExecutor::<f32>::new(plan, options)?),
            Self::CpuF64 => Box::new(CpuExecutor::<f64>::new(plan, options)?),
            Self::Tuned(tuned) => {
                tuned.tuner.choose(&mut plan)?;
                tuned.engine.executor(plan, options)?
            }
        })
    }
}
