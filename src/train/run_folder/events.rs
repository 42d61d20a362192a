//! Scalars for TensorBoard: `events.out.tfevents.*`.
//!
//! A file is a sequence of records (the length as u64, its masked CRC-32C, the data, their masked CRC-32C, all
//! little-endian), and each holds a protobuf message `Event` of TensorFlow's `event.proto`. Of these messages only a handful
//! of fields are needed, which are written here.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::appender::Appender;
use crate::Result;
use crate::train::{EpochReport, LossKind, StepReport};

/// Scalars reach the file this often, and when an epoch ends.
const FLUSH_EVERY: Duration = Duration::from_secs(20);
/// After so many steps only every tenth is written: an events file is read as a whole.
const EVERY_STEP: usize = 2_000;
const SPARSE: usize = 10;

/// The events of one program: a run that goes on begins another file.
#[derive(Debug)]
pub(super) struct Events {
    file: Appender,
    flushed: Instant,
    loss: LossKind,
}

impl Events {
    /// A new file in `dir`. Events of a step after `first` that earlier files have are dropped by TensorBoard.
    pub(super) fn begin(dir: &Path, first: usize, loss: LossKind) -> Self {
        let now = seconds();
        let mut number = 0;
        let path = loop {
            let path = dir.join(format!("events.out.tfevents.{now:.0}.{}.{number}", std::process::id()));
            if !path.exists() {
                break path;
            }
            number += 1;
        };
        let mut file = Appender::new(path);
        file.add(&record(&event(now, None, |message| text(message, 3, "brain.Event:2"))));
        if first > 0 {
            // SessionLog with the status START: what comes after this step is made again.
            let start = |message: &mut Vec<u8>| bytes(message, 7, &[1 << 3, 1]);
            file.add(&record(&event(now, Some(first + 1), start)));
        }
        Self { file, flushed: Instant::now(), loss }
    }

    /// The scalars of a step.
    ///
    /// # Errors
    /// The file cannot be written; what was not written stays for the next time.
    pub(super) fn step(&mut self, r: &StepReport) -> Result<()> {
        if r.step > EVERY_STEP && !r.step.is_multiple_of(SPARSE) {
            return Ok(());
        }
        let part = |count: f32| if r.pairs > 0.0 { count / r.pairs } else { 0.0 };
        let mut scalars = vec![
            ("step/loss", r.loss_all),
            ("step/learning_rate", r.learning_rate),
            ("step/d_ap", r.d_ap),
            ("step/d_an", r.d_an),
            ("step/mean_length", r.mean_length),
        ];
        match self.loss {
            LossKind::Triplet => scalars.push(("step/active", part(r.pairs - r.skipped_pairs))),
            LossKind::Softmax | LossKind::ArcFace => scalars.push(("step/class_accuracy", r.class_accuracy)),
        }
        self.add(r.step, &scalars);
        if self.flushed.elapsed() >= FLUSH_EVERY { self.flush() } else { Ok(()) }
    }

    /// The scalars of an epoch.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub(super) fn epoch(&mut self, r: &EpochReport) -> Result<()> {
        #[expect(clippy::cast_possible_truncation, reason = "TensorBoard's scalars are floats")]
        let float = |value: f64| value as f32;
        let mut scalars = vec![
            ("epoch/loss", float(r.loss_all)),
            ("epoch/images_per_second", float(r.images_per_second)),
            ("epoch/data_wait", float(r.data_wait)),
        ];
        scalars.extend(r.accuracy.map(|accuracy| ("epoch/held_out_accuracy", float(accuracy))));
        scalars.extend(r.threshold.map(|threshold| ("epoch/threshold", threshold)));
        scalars.extend(r.pairs_accuracy.map(|accuracy| ("epoch/pairs_accuracy", float(accuracy))));
        self.add(r.step, &scalars);
        self.flush()
    }

    fn add(&mut self, step: usize, scalars: &[(&str, f32)]) {
        let summary = |message: &mut Vec<u8>| {
            let mut summary = Vec::new();
            for (tag, value) in scalars {
                let mut scalar = Vec::new();
                text(&mut scalar, 1, tag);
                scalar.push(2 << 3 | 5);
                scalar.extend(value.to_le_bytes());
                bytes(&mut summary, 1, &scalar);
            }
            bytes(message, 5, &summary);
        };
        self.file.add(&record(&event(seconds(), Some(step), summary)));
    }

    /// Writes what is pending.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.flushed = Instant::now();
        self.file.flush()
    }
}

/// Seconds since 1970.
fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// An `Event`: its time, its step, and one more field.
fn event(time: f64, step: Option<usize>, more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = vec![1 << 3 | 1];
    message.extend(time.to_le_bytes());
    if let Some(step) = step {
        message.push(2 << 3);
        varint(&mut message, step as u64);
    }
    more(&mut message);
    message
}

/// A field of bytes.
fn bytes(message: &mut Vec<u8>, field: u8, content: &[u8]) {
    message.push(field << 3 | 2);
    varint(message, content.len() as u64);
    message.extend_from_slice(content);
}

fn text(message: &mut Vec<u8>, field: u8, content: &str) {
    bytes(message, field, content.as_bytes());
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    // Seven bits a byte, the lowest first; the eighth says that more follow.
    while value >= 0x80 {
        message.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    message.push(value.to_le_bytes()[0]);
}

/// A record of the file.
fn record(data: &[u8]) -> Vec<u8> {
    let masked = |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes();
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the `tensorboard` package writes for `Event(wall_time=1.5, step=300, summary=[("a", 0.25)])`.
    const THEIRS: &str = "1800000000000000a37f4b2209000000000000f83f10ac022a0a0a080a0161150000803eb4fa9511";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_record_is_what_tensorboard_writes() {
        let summary = |message: &mut Vec<u8>| {
            let mut scalar = Vec::new();
            text(&mut scalar, 1, "a");
            scalar.push(2 << 3 | 5);
            scalar.extend(0.25f32.to_le_bytes());
            let mut summary = Vec::new();
            bytes(&mut summary, 1, &scalar);
            bytes(message, 5, &summary);
        };
        assert_eq!(hex(&record(&event(1.5, Some(300), summary))), THEIRS);
    }

    #[test]
    fn two_programs_of_one_second_write_two_files() {
        let dir = tempfile::tempdir().unwrap();
        for first in [0, 7] {
            Events::begin(dir.path(), first, LossKind::Triplet).epoch(&EpochReport::default()).unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
