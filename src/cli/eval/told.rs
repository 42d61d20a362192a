//! The lines of a result: printed, and kept for the report.

/// Lines with a name each; one without belongs to the line before it.
#[derive(Debug, Default)]
pub(in crate::cli) struct Told {
    pub(in crate::cli) lines: Vec<(&'static str, String)>,
    /// Lines are kept alone.
    silent: bool,
}

impl Told {
    /// Lines that are not printed.
    pub(in crate::cli) fn silent() -> Self {
        Self { silent: true, ..Self::default() }
    }

    /// Prints a line and keeps it.
    pub(in crate::cli) fn line(&mut self, name: &'static str, text: String) {
        if !self.silent {
            say!("{name:<9} {text}");
        }
        self.lines.push((name, text));
    }
}
