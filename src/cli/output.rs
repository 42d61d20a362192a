//! What the program prints. A reader that has closed the pipe, such as `head`, is no reason to fail: what was asked for,
//! training above all, goes on. Any other failure, such as a full disk, is remembered and told at the end.

mod figures;

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::Args;
use serde_json::Value;

use super::words;
use crate::Error;

/// For whom the standard output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Audience {
    /// People.
    #[default]
    People,
    /// Programs: a JSON object a line, and nothing else.
    Programs,
    /// Programs: CSV, and nothing else.
    Tables,
    /// Nobody. Warnings and errors go to standard error as ever.
    Nobody,
}

/// The flags that choose for whom the standard output is.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Form {
    /// Print JSON instead of text, an object a line
    #[arg(long)]
    json: bool,

    /// Print CSV instead of text
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

impl Form {
    /// Speaks as the flags say.
    pub(super) fn choose(self) {
        speak_to(match (self.json, self.csv) {
            (true, _) => Audience::Programs,
            (_, true) => Audience::Tables,
            _ => Audience::People,
        });
    }
}

/// Set once, before anything is printed.
static AUDIENCE: OnceLock<Audience> = OnceLock::new();

/// Chooses for whom the standard output is.
pub(super) fn speak_to(audience: Audience) {
    let _ = AUDIENCE.set(audience);
}

/// For whom the standard output is.
pub(super) fn audience() -> Audience {
    AUDIENCE.get().copied().unwrap_or_default()
}

/// Prints a JSON object on a line, if a program listens.
pub(super) fn json(value: &Value) {
    if audience() == Audience::Programs {
        keep(writeln!(io::stdout(), "{value}"));
        // A program that watches waits for whole lines.
        keep(io::stdout().flush());
    }
}

/// Prints a row of CSV, if a program listens that wants a table.
pub(super) fn csv<C: AsRef<[u8]>>(cells: impl IntoIterator<Item = C>) {
    if audience() == Audience::Tables {
        bytes(&csv_line(cells));
    }
}

/// Cells as a line of CSV.
fn csv_line<C: AsRef<[u8]>>(cells: impl IntoIterator<Item = C>) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(cells).expect("memory takes every row");
    out.into_inner().expect("memory takes every row")
}

/// Prints rows of a table with a line of their fields' names.
pub(super) fn rows<R: serde::Serialize>(rows: &[R]) {
    if audience() == Audience::Tables {
        let mut out = csv::Writer::from_writer(Vec::new());
        rows.iter().for_each(|row| out.serialize(row).expect("memory takes every row"));
        bytes(&out.into_inner().expect("memory takes every row"));
    }
}

/// Prints the one result of a verb: as an object, or as a table with one row.
pub(super) fn record(value: &Value) {
    json(value);
    table(value);
}

/// Prints an object as a table with one row, if a program listens that wants a table.
pub(super) fn table(value: &Value) {
    let cells = figures::flat(value);
    csv(cells.iter().map(|cell| &cell.0));
    csv(cells.iter().map(|cell| &cell.1));
}

/// Prints many figures: as an object, or as a table with a row for each, its name and its value.
pub(super) fn figures(value: &Value) {
    json(value);
    csv(["figure", "value"]);
    figures::flat(value).iter().for_each(|(name, value)| csv([name, value]));
}

/// A number with the digits that it has as `f32`.
pub(super) fn number(value: f32) -> f64 {
    value.to_string().parse().expect("it was a number")
}

/// A row as a JSON object, whose numbers have as many digits as their types.
pub(super) fn row(row: &impl serde::Serialize, event: &str) -> Value {
    // Through text: as a value, an f32 becomes an f64 with all its digits.
    let text = serde_json::to_string(row).expect("a row is plain data");
    let mut value: Value = serde_json::from_str(&text).expect("it was written just now");
    value["event"] = event.into();
    value
}

/// Writes rows to the standard output, for people and programs alike.
pub(super) fn bytes(bytes: &[u8]) {
    keep(io::stdout().write_all(bytes));
}

/// The first reason why something could not be printed.
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to the standard output.
macro_rules! say {
    () => { $crate::cli::output::line(format_args!("")) };
    ($($text:tt)*) => { $crate::cli::output::line(format_args!($($text)*)) };
}

/// Prints a line to standard error.
macro_rules! hint {
    ($($text:tt)*) => { $crate::cli::output::hint_line(format_args!($($text)*)) };
}

/// A line of the program's own, perhaps with names from files in it.
fn ready(text: fmt::Arguments<'_>) -> String {
    words::printable(&text.to_string(), true).into_owned()
}

pub(super) fn line(text: fmt::Arguments<'_>) {
    if audience() != Audience::People {
        return;
    }
    keep(writeln!(io::stdout(), "{}", ready(text)));
}

pub(super) fn hint_line(text: fmt::Arguments<'_>) {
    // Where nobody can be told there is nobody to tell that to.
    let _ = writeln!(io::stderr(), "{}", ready(text));
}

/// Prints what went wrong, as one line unless it is a compiler's report about a kernel.
pub(super) fn error(error: &Error) {
    let text = format!("error: {error}");
    let text = match error {
        // These begin with a path, which is no setting whatever its name.
        Error::Io { .. } => text.into(),
        Error::Weights { path, message } => format!("error: {}: {}", path.display(), words::with_flags(message)).into(),
        _ => words::with_flags(&text),
    };
    let text = words::printable(&text, matches!(error, Error::Kernel { .. }));
    let _ = writeln!(io::stderr(), "{text}");
}

/// Remembers why the standard output could not be written, unless nobody reads it any more.
pub(super) fn keep(result: io::Result<()>) {
    if let Err(e) = result
        && e.kind() != ErrorKind::BrokenPipe
    {
        FAILURE.get_or_init(|| e);
    }
}

/// The exit status, once all has been printed: `code`, unless that failed.
pub(super) fn finish(code: ExitCode) -> ExitCode {
    keep(io::stdout().flush());
    match FAILURE.get() {
        None => code,
        Some(e) => {
            hint!(
                "error: cannot write to the standard output: {e}; what was asked for is done, only its report is cut short"
            );
            ExitCode::FAILURE
        }
    }
}
