//! `facenet-gpu info`: which adapters there are, what they can do, and which one would be taken.

use clap::Args;

use super::{DeviceFlag, table};
use crate::gpu::{AdapterInfo, DeviceKind, adapters};
use crate::{DeviceChoice, Result};

/// List adapters, drivers and limits, and say which device would be taken
#[derive(Debug, Args)]
pub(super) struct Info {
    #[command(flatten)]
    device: DeviceFlag,
}

impl Info {
    pub(super) fn run(self) -> Result<()> {
        say!("facenet-gpu {}", env!("CARGO_PKG_VERSION"));
        let found = adapters();
        for (number, info) in found.iter().enumerate() {
            say!("\ngpu:{number}  {}", info.name);
            table::rows(&details(info));
        }
        if found.is_empty() {
            say!("\nadapters: none");
        }
        say!();
        let (engine, reason) = self.device.open_untuned()?;
        let asked = match self.device.choice() {
            DeviceChoice::Auto => "auto takes".to_string(),
            other => format!("--device {other} takes"),
        };
        say!("{asked} {}: {reason}", engine.describe());
        Ok(())
    }
}

fn details(info: &AdapterInfo) -> Vec<(&'static str, String)> {
    let kind = match info.kind {
        DeviceKind::Discrete => "GPU with memory of its own",
        DeviceKind::Integrated => "GPU that shares the processor's memory",
        DeviceKind::Other => "virtual or unknown",
        DeviceKind::Software => "software: the driver computes on the CPU",
    };
    let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
    let yes = |b: bool| if b { "yes" } else { "no" };
    let subgroups = match info.subgroup {
        Some((min, max)) if min == max => format!("{min} invocations"),
        Some((min, max)) => format!("{min} to {max} invocations"),
        None => "no".into(),
    };
    vec![
        ("kind", kind.to_string()),
        ("backend", info.backend.clone()),
        ("driver", info.driver.clone()),
        ("bus", if info.bus.is_empty() { "not told".to_string() } else { info.bus.clone() }),
        ("largest tensor", mib(info.max_binding.min(info.max_buffer))),
        ("workgroup", format!("{} invocations, {} KiB", info.max_invocations, info.workgroup_memory / 1024)),
        ("subgroups", subgroups),
        ("timestamps", yes(info.timestamps).to_string()),
        ("16-bit floats", yes(info.f16).to_string()),
        ("cooperative matrices", if info.matrices { "16x16, of 16-bit floats" } else { "no" }.to_string()),
        ("kernels", info.families().iter().map(|family| format!("{family:?}")).collect::<Vec<_>>().join(", ")),
        ("fit for use", info.unfit().map_or_else(|| "yes".to_string(), |reason| format!("no: it {reason}"))),
    ]
}
