//! `facenet-gpu embed`: images in, a table of embeddings out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::eyes::Eyes;
use super::output::{self, Audience};
use super::signals::stop_on_signals;
use super::view::View;
use super::{DeviceFlag, INTERRUPTED, models, table};
use crate::data::preprocess::Preprocess;
use crate::embed::table::{About, Format, TableWriter};
use crate::embed::{Embedded, Input, Row, collect, read_list};
use crate::text::counted;
use crate::{Error, Result, Session};

/// Embed images: a row of numbers for each file
#[derive(Debug, Args)]
#[command(override_usage = "facenet-gpu embed [OPTIONS] [WEIGHTS] <IMAGE|FOLDER>...")]
pub(super) struct Embed {
    /// Weights file, or the name of a model in the folder of models [default: the only one there]; images, and folders with
    /// images in them and below
    #[arg(value_name = "WEIGHTS|IMAGE|FOLDER", required_unless_present = "list")]
    arguments: Vec<PathBuf>,

    /// A list of images, a path a line; - is the standard input. May be given several times
    #[arg(long, value_name = "FILE")]
    list: Vec<PathBuf>,

    /// Table to write: .npy, .csv, .jsonl or .safetensors [default: CSV to the standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Format of the table [default: that of the name]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Replace a table that is there
    #[arg(long, requires = "out")]
    overwrite: bool,

    /// Print nothing but warnings and errors
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,

    /// Print what was done as a JSON object; without --out, the rows as JSON, an object a line
    #[arg(long)]
    json: bool,

    /// Print what was done as CSV; without --out, the rows
    #[arg(long, conflicts_with_all = ["json", "quiet"])]
    csv: bool,

    #[command(flatten)]
    view: View,

    #[command(flatten)]
    device: DeviceFlag,
}

impl Embed {
    pub(super) fn run(self) -> Result<ExitCode> {
        // Without a file the rows are the output.
        output::speak_to(match () {
            () if self.quiet || self.out.is_none() => Audience::Nobody,
            () if self.json => Audience::Programs,
            () if self.csv => Audience::Tables,
            () => Audience::People,
        });
        let format = match (self.format, &self.out) {
            (Some(format), _) => format,
            (None, Some(out)) => Format::of(out)?,
            (None, None) if self.json => Format::Jsonl,
            (None, None) => Format::Csv,
        };
        if self.out.is_none() && format.text_header(1).is_none() {
            return Err(Error::Setting("only csv and jsonl go to the standard output; give `out` for a file".into()));
        }
        let (path, images) = models::split(&self.arguments)?;
        let weights = self.view.weights(&path)?;
        let inputs = inputs_of(images, &self.list)?;
        let mut writer = match &self.out {
            Some(out) => Some(TableWriter::open(out, format, About::new(&weights, &inputs), self.overwrite)?),
            None => None,
        };
        let engine = self.device.open_told()?;
        let mut session = Session::with_weights(&engine, &weights, &path)?;
        let dim = session.model().dimensions()? as usize;
        let first = writer.as_ref().map_or(0, TableWriter::rows);
        say!("images    {}", table::count(inputs.len() as u64));
        let mut eyes = self.view.eyes(&engine, &path, &weights.metadata.preprocess)?;
        hint_inputs(&inputs, &eyes, &weights.metadata.preprocess);
        if first > 0 {
            say!("resume    {} rows are there already", table::count(first as u64));
        }
        if let (None, Some(header)) = (&writer, format.text_header(dim)) {
            output::bytes(&header);
        }
        let stop = stop_on_signals("stopping: the rows that are done are kept (Ctrl-C again to end at once)");
        let bar = progress(inputs.len(), first);
        let mut take = |rows: &[Row<'_>]| {
            bar.inc(rows.len() as u64);
            match &mut writer {
                Some(writer) => writer.add(rows),
                None => {
                    output::bytes(&format.text(rows, dim));
                    Ok(())
                }
            }
        };
        let done = eyes.embed_files(&mut session, &inputs, first, &stop, &mut take);
        bar.finish_and_clear();
        let done = done?;
        eyes.tell();
        self.report(&inputs, first, done, writer)
    }

    /// Says what was done, and completes the table if all of it was.
    fn report(&self, inputs: &[Input], first: usize, done: Embedded, writer: Option<TableWriter>) -> Result<ExitCode> {
        let failed = match &writer {
            Some(writer) => writer.failed()?,
            None => done.failed,
        };
        let rows = first + done.rows;
        let complete = rows == inputs.len();
        let seconds = done.time.as_secs_f64();
        let part = |time: std::time::Duration| time.as_secs_f64() / seconds;
        let (rate, waited, detected) = (done.rows as f64 / seconds, part(done.waited), part(done.detected));
        if let Some(writer) = writer.filter(|_| complete) {
            writer.finish(failed)?;
        }
        let count = |n: usize| table::count(n as u64);
        say!(
            "done      {} of {} in {}, {rate:.0} images/s, {:.1} % of the time spent waiting for images{}",
            count(rows),
            count(inputs.len()),
            table::duration(seconds),
            100.0 * waited,
            if detected > 0.0 { format!(", {:.1} % finding faces", 100.0 * detected) } else { String::new() }
        );
        let out = self.out.as_ref().map(|out| out.display().to_string());
        if failed > 0 {
            let (verb, images) = if failed == 1 { ("has", "image") } else { ("have", "images") };
            let place = if out.is_some() { ": the rows say why" } else { "" };
            hint!("warning: {} {images} {verb} no embedding{place}", count(failed));
        }
        if let Some(out) = &out {
            match complete {
                true => say!("table     {out}"),
                false => say!("resume    the same command goes on from row {}", count(rows)),
            }
        }
        output::record(&json!({
            "event": "end", "images": inputs.len(), "rows": rows, "failed": failed, "complete": complete,
            "seconds": seconds, "images_per_second": rate, "data_wait": waited, "detection": detected, "table": out,
        }));
        if done.stopped {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Ok(if failed == inputs.len() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// The files that paths and lists name.
///
/// # Errors
/// A folder or a list cannot be read, or there is no image in them.
pub(super) fn inputs_of(paths: &[PathBuf], lists: &[PathBuf]) -> Result<Vec<Input>> {
    let mut paths = paths.to_vec();
    for list in lists {
        paths.extend(read_list(list)?);
    }
    let inputs = collect(&paths)?;
    if inputs.is_empty() {
        let what = if paths.is_empty() { "no images are given" } else { "there are no images in what was given" };
        return Err(Error::Data(format!("{what}; give images, or folders with images in them")));
    }
    Ok(inputs)
}

/// Says what is to be known of the files before the work.
pub(super) fn hint_inputs(inputs: &[Input], eyes: &Eyes, preprocess: &Preprocess) {
    let paths: Vec<&Path> = inputs.iter().filter(|input| input.fault.is_none()).map(|i| i.path.as_path()).collect();
    eyes.hint_sizes(&paths, preprocess);
    let odd: Vec<&&Path> = paths.iter().filter(|path| path.to_str().is_none()).collect();
    if let Some(first) = odd.first() {
        hint!(
            "warning: {} cannot be written as UTF-8, such as {}; it stands there with replacement characters, so rename the file to \
             find it again",
            counted(odd.len(), "name"),
            first.display()
        );
    }
}

/// A progress bar where people watch standard error, which is free also where the rows go to the standard output.
pub(super) fn progress(len: usize, first: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {human_pos}/{human_len} images  {per_sec}  {eta} left");
    let bar = ProgressBar::with_draw_target(Some(len as u64), ProgressDrawTarget::stderr());
    bar.set_position(first as u64);
    bar.reset_eta();
    bar.with_prefix("embedding").with_style(style.expect("the template is valid"))
}
