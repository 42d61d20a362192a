//! Kernels chosen by measurement, as the program shows it.

use std::io::IsTerminal;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressFinish};

use super::progress::bar;
use super::signals::stopped;
use crate::text::counted;
use crate::tune::{Event, Tuning};

/// Less time than this is not worth a line.
const SHORT: std::time::Duration = std::time::Duration::from_millis(500);

/// `tuning` with its progress on a terminal, and its warnings. The first Ctrl-C ends it.
pub(super) fn shown(tuning: Tuning) -> Tuning {
    let shown: Mutex<(Option<ProgressBar>, bool)> = Mutex::default();
    let tell = move |event: Event<'_>| {
        let Ok(mut shown) = shown.lock() else { return };
        let (shown, warned) = &mut *shown;
        match event {
            Event::Shape { done, of, kernel } => {
                let new = || bar(of, "choosing kernels, once for this device: {pos} of {len} shapes, {msg}");
                let shown = shown.get_or_insert_with(|| new().with_finish(ProgressFinish::AndClear));
                shown.set_position(done as u64);
                shown.set_message(kernel.to_string());
            }
            Event::Done { timed, left, time } => {
                shown.take().iter().for_each(ProgressBar::finish_and_clear);
                if time >= SHORT && std::io::stderr().is_terminal() {
                    let why = if stopped() { "stopped" } else { "the time is over" };
                    let left = match left {
                        0 => String::new(),
                        left => format!("; {why}, and {} more are computed in the usual way", counted(left, "shape")),
                    };
                    let kept = if *warned { "" } else { ", and kept for the next time" };
                    let (shapes, seconds) = (counted(timed, "shape"), time.as_secs_f64());
                    hint!("kernels chosen for {shapes} in {seconds:.1} s{kept}{left}");
                }
            }
            Event::Warning(message) => {
                *warned = true;
                let warn = || hint!("warning: {message}");
                shown.as_ref().map_or_else(warn, |bar| bar.suspend(warn));
            }
        }
    };
    tuning.tell(tell).until(stopped)
}

/// Whether the environment switches the timing of kernels off, as `--no-tune` does.
pub(super) fn forbidden() -> bool {
    std::env::var_os("FACENET_GPU_NO_TUNE").is_some_and(|value| !value.is_empty())
}
