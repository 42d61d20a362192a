//! Timing: every op's cases at real sizes, and networks as a whole, on one device, held against what the device itself
//! can do.

mod ceilings;
mod fill;
mod side_by_side;
mod start;
mod task;
mod timing;

use serde::{Deserialize, Serialize};

pub use ceilings::{Ceilings, Gauge};
pub use side_by_side::{StepDifference, side_by_side, training_step};
pub use start::start;
pub use task::{Ready, SAVES, Task, network, op_cases, searches};

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The device in words.
    #[serde(default)]
    pub device: String,
    /// The op's case or the network's task.
    pub case: String,
    /// The kernel, or `all` for the whole of it.
    pub kernel: String,
    /// Median over the runs, milliseconds.
    pub median_ms: f64,
    /// 95th percentile, milliseconds.
    pub p95_ms: f64,
    /// 10^9 floating-point operations per second (a multiply-add counts two, however a kernel saves some of them); 0 where none
    /// are counted.
    pub gflops: f64,
    /// 10^9 bytes per second, each buffer counted once.
    pub gbytes: f64,
    /// How much of its nearest ceiling the kernel reached: 1 is the ceiling, more is above it, 0 where no ceiling applies.
    pub share: f64,
    /// Which ceiling that is; empty where none was taken; [`SAVES`] where some of the multiplications that `gflops` counts are not made.
    #[serde(default)]
    pub ceiling: String,
    /// Images per second, for networks.
    pub images_per_second: Option<f64>,
    /// Bytes on the device while it runs, for networks: weights, and all that is alive at the worst moment.
    #[serde(default)]
    pub memory: Option<u64>,
}

impl Row {
    /// How this row compares with the same one of an older table: `1.2x faster`. One that both tables know from the same device
    /// comes before one from another device, which is then named.
    pub fn change_since(&self, old: &Table) -> String {
        let same = |row: &&Self| (&row.case, &row.kernel) == (&self.case, &self.kernel);
        let mut rows: Vec<&Self> = old.rows.iter().filter(same).collect();
        rows.sort_by_key(|row| row.device != self.device);
        let Some(before) = rows.first() else { return "new".to_string() };
        // Tables of earlier versions do not name it.
        let elsewhere = Some(&before.device).filter(|device| !device.is_empty() && **device != self.device);
        let than = |change: String| elsewhere.map_or(change.clone(), |device| format!("{change} than {device}"));
        match before.median_ms / self.median_ms {
            faster if faster >= ALIKE => than(format!("{faster:.1}x faster")),
            slower if slower <= 1.0 / ALIKE => than(format!("{:.1}x slower", 1.0 / slower)),
            _ => elsewhere.map_or("as before".to_string(), |device| format!("as {device}")),
        }
    }
}

/// Times whose ratio is below this are alike: it would be rounded to 1.0.
const ALIKE: f64 = 1.05;

/// A whole table with what it was measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Version of the crate.
    pub version: String,
    /// Devices and drivers.
    pub device: String,
    /// The rows.
    pub rows: Vec<Row>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(device: &str, kernel: &str, median_ms: f64) -> Row {
        Row {
            device: device.into(),
            case: "c".into(),
            kernel: kernel.into(),
            median_ms,
            p95_ms: median_ms,
            gflops: 0.0,
            gbytes: 0.0,
            share: 0.0,
            ceiling: String::new(),
            images_per_second: None,
            memory: None,
        }
    }

    #[test]
    fn rows_are_compared_with_those_of_their_device_in_words() {
        let rows = vec![row("gpu", "a", 50.0), row("cpu", "a", 12.0), row("cpu", "b", 7.0)];
        let old = Table { version: String::new(), device: String::new(), rows };
        assert_eq!(row("cpu", "a", 10.0).change_since(&old), "1.2x faster");
        assert_eq!(row("cpu", "b", 9.1).change_since(&old), "1.3x slower");
        assert_eq!(row("gpu", "a", 49.0).change_since(&old), "as before");
        assert_eq!(row("other", "a", 100.0).change_since(&old), "2.0x slower than gpu", "the first of another device");
        assert_eq!(row("other", "a", 50.0).change_since(&old), "as gpu");
        assert_eq!(row("cpu", "c", 1.0).change_since(&old), "new");
    }

    #[test]
    fn tables_of_before_are_read() {
        let old = r#"{"version": "0.1.0", "device": "CPU", "ceilings": {"gflops": 1.0, "gbytes": 2.0}, "rows": [{"case": "c",
            "kernel": "all", "median_ms": 1.0, "p95_ms": 1.0, "gflops": 1.0, "gbytes": 1.0, "share": 0.5, "images_per_second": null}]}"#;
        assert_eq!(serde_json::from_str::<Table>(old).unwrap().rows[0].memory, None);
    }
}
