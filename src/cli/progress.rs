//! Progress bars, where people watch.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{self, Audience};

/// Whether people watch, on a terminal.
pub(super) fn on_terminal() -> bool {
    output::audience() == Audience::People && std::io::stderr().is_terminal()
}

/// A progress bar on a terminal, nothing elsewhere.
pub(super) fn bar(len: usize, template: &str) -> ProgressBar {
    let target = if on_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::with_draw_target(Some(len as u64), target).with_style(style)
}
