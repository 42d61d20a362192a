//! `facenet-gpu detect`: where the faces on images are.

mod rows;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use image::RgbImage;
use serde_json::json;

use self::rows::{Rows, RowsFormat};
use super::detector::DetectorFlags;
use super::embed::inputs_of;
use super::files::{check_apart, make_folder};
use super::output::{self, Audience};
use super::signals::stop_on_signals;
use super::{DeviceFlag, INTERRUPTED, table};
use crate::detect::{Choice, Detection, Found, Timings, detect_files, draw};
use crate::text::counted;
use crate::{Error, Result};

/// Find the faces on images: box, probability and five landmarks of each
#[derive(Debug, Args)]
pub(super) struct Detect {
    /// Images, and folders with images in them and below
    #[arg(value_name = "IMAGE|FOLDER", required_unless_present = "list")]
    inputs: Vec<PathBuf>,

    /// A list of images, a path a line; - is the standard input. May be given several times
    #[arg(long, value_name = "FILE")]
    list: Vec<PathBuf>,

    /// File to write: .csv or .jsonl
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Replace a file that is there
    #[arg(long, requires = "out")]
    overwrite: bool,

    /// Folder for pictures with the faces marked, new or empty
    #[arg(long, value_name = "FOLDER")]
    draw: Option<PathBuf>,

    /// Every face; the default
    #[arg(long, group = "which")]
    all: bool,

    /// The largest face of each image alone
    #[arg(long, group = "which")]
    largest: bool,

    /// The face of each image that is large and near its middle, as facenet's scripts choose it
    #[arg(long, group = "which")]
    central: bool,

    /// Print nothing but warnings and errors
    #[arg(long, short, conflicts_with_all = ["json", "csv"])]
    quiet: bool,

    /// Print a JSON object for each image, and at the end one for all
    #[arg(long, conflicts_with = "csv")]
    json: bool,

    /// Print CSV: a row for each face, and one for each image without a face
    #[arg(long)]
    csv: bool,

    #[command(flatten)]
    detector: DetectorFlags,

    #[command(flatten)]
    device: DeviceFlag,
}

/// What was done so far.
#[derive(Debug, Default)]
struct Done {
    images: usize,
    faces: usize,
    without: usize,
    failed: usize,
}

impl Detect {
    pub(super) fn run(self) -> Result<ExitCode> {
        output::speak_to(match (self.quiet || self.csv, self.json) {
            (true, _) => Audience::Nobody,
            (_, true) => Audience::Programs,
            _ => Audience::People,
        });
        let inputs = inputs_of(&self.inputs, &self.list)?;
        let read: Vec<&Path> = self.list.iter().chain(&self.inputs).map(PathBuf::as_path).collect();
        check_apart(&[self.out.as_deref()], &read)?;
        if let Some(folder) = &self.draw {
            make_folder(folder, "draw")?;
        }
        let mut file = match &self.out {
            Some(out) => Some(Rows::open(out, self.overwrite)?),
            None => None,
        };
        let (engine, reason) = self.device.open()?;
        say!("device    {}", engine.describe());
        say!("          {reason}");
        let mut detector = self.detector.open(&engine)?;
        say!("images    {}", table::count(inputs.len() as u64));
        if self.csv {
            output::bytes(&RowsFormat::Csv.header());
        }
        let stop = stop_on_signals("stopping: the rows that are done are kept (Ctrl-C again to end at once)");
        let bar = super::embed::progress(inputs.len(), 0).with_prefix("searching");
        let (begin, mut done, mut drawn) = (Instant::now(), Done::default(), Drawings::new(&self));
        let mut take = |block: Vec<Found<'_>>| {
            let mut text = Vec::new();
            for mut found in block {
                if let Ok((picture, faces)) = &mut found.outcome {
                    *faces = self.choice().of(faces, [picture.width(), picture.height()]);
                }
                done.count(&found);
                if let Some(file) = &mut file {
                    file.add(&found)?;
                }
                match (self.csv, self.json) {
                    (true, _) => text.extend(RowsFormat::Csv.rows(&found)),
                    (_, true) => text.extend(RowsFormat::Jsonl.rows(&found)),
                    _ => bar.suspend(|| say_row(&found)),
                }
                drawn.add(found)?;
                bar.inc(1);
            }
            output::bytes(&text);
            Ok(())
        };
        let rows = detect_files(&mut detector, &inputs, &stop, &mut take);
        bar.finish_and_clear();
        let rows = rows?;
        if let Some(file) = file {
            file.finish()?;
        }
        let whole = rows == inputs.len();
        self.report(&done, inputs.len(), begin.elapsed().as_secs_f64(), detector.timings());
        Ok(match () {
            () if !whole => ExitCode::from(INTERRUPTED),
            () if done.failed == inputs.len() => ExitCode::FAILURE,
            () => ExitCode::SUCCESS,
        })
    }

    /// Which faces are meant.
    fn choice(&self) -> Choice {
        match (self.largest, self.central) {
            (true, _) => Choice::Largest,
            (_, true) => Choice::Central,
            _ => Choice::All,
        }
    }

    /// Says what was done.
    fn report(&self, done: &Done, all: usize, seconds: f64, timings: Timings) {
        let Done { images, faces, without, failed } = *done;
        say!(
            "done      {} of {} in {}, {:.1} images/s",
            table::count(images as u64),
            counted(all, "image"),
            table::duration(seconds),
            (images - failed) as f64 / seconds
        );
        say!("faces     {}; {} without a face", counted(faces, "face"), counted(without, "image"));
        let [p, r, o] = timings.networks.map(|time| time.as_secs_f64());
        let (resampling, suppression) = (timings.resampling.as_secs_f64(), timings.suppression.as_secs_f64());
        say!(
            "time      resampling {resampling:.2} s, P-Net {p:.2} s, R-Net {r:.2} s, O-Net {o:.2} s, suppression \
             {suppression:.2} s"
        );
        if failed > 0 {
            let verb = if failed == 1 { "was" } else { "were" };
            hint!("warning: {} {verb} not searched: the rows say why", counted(failed, "image"));
        }
        let out = self.out.as_ref().map(|out| out.display().to_string());
        if let Some(out) = &out {
            say!("rows      {out}");
        }
        if let Some(folder) = &self.draw {
            say!("pictures  {}", folder.display());
        }
        output::json(&json!({
            "event": "end", "images": all, "rows": images, "faces": faces, "without": without, "failed": failed,
            "complete": images == all, "seconds": seconds, "out": out, "time": {
                "resampling": resampling, "pnet": p, "rnet": r, "onet": o, "suppression": suppression,
            },
        }));
    }
}

impl Done {
    fn count(&mut self, found: &Found<'_>) {
        self.images += 1;
        match &found.outcome {
            Ok((_, faces)) => {
                self.faces += faces.len();
                self.without += usize::from(faces.is_empty());
            }
            Err(_) => self.failed += 1,
        }
    }
}

/// Prints what was found in a file, for people.
fn say_row(found: &Found<'_>) {
    let path = found.path.display();
    match &found.outcome {
        Err(reason) => say!("{path}  {reason}"),
        Ok((_, faces)) if faces.is_empty() => say!("{path}  no face"),
        Ok((_, faces)) => {
            say!("{path}  {}", counted(faces.len(), "face"));
            for Detection { bounds: [left, top, right, bottom], probability, .. } in faces {
                let (width, height) = (right - left, bottom - top);
                say!("    {width:>5.0} x {height:<5.0} at {left:>6.1}, {top:>6.1}   {:.1} %", 100.0 * probability);
            }
        }
    }
}

/// Pictures with the faces marked, for `--draw`.
struct Drawings<'a> {
    folder: Option<&'a Path>,
    /// Folders that were given: below them the layout is kept.
    roots: Vec<&'a Path>,
    names: HashSet<PathBuf>,
}

impl<'a> Drawings<'a> {
    fn new(verb: &'a Detect) -> Self {
        let roots = verb.inputs.iter().map(PathBuf::as_path).filter(|path| path.is_dir());
        Self { folder: verb.draw.as_deref(), roots: roots.collect(), names: HashSet::new() }
    }

    fn add(&mut self, found: Found<'_>) -> Result<()> {
        let (Some(folder), Ok((mut picture, faces))) = (self.folder, found.outcome) else { return Ok(()) };
        draw(&mut picture, &faces);
        let inside = self.roots.iter().find_map(|root| found.path.strip_prefix(root).ok());
        let inside =
            inside.map_or_else(|| found.path.file_name().map(PathBuf::from).unwrap_or_default(), Path::to_path_buf);
        // Names may come twice, from different folders or with different endings.
        let name = (1..).map(|n| match n {
            1 => inside.with_extension("jpg"),
            n => inside.with_file_name(format!("{}-{n}.jpg", inside.file_stem().unwrap_or_default().to_string_lossy())),
        });
        let name = name.into_iter().find(|name| !self.names.contains(name)).expect("names do not end");
        let out = folder.join(&name);
        self.names.insert(name);
        save(&picture, &out)
    }
}

/// Writes a picture as JPEG, with its folder.
fn save(picture: &RgbImage, out: &Path) -> Result<()> {
    let folder = out.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90);
    picture.write_with_encoder(encoder).map_err(|e| Error::Data(format!("a picture cannot be encoded: {e}")))?;
    std::fs::write(out, bytes).map_err(Error::io("write", out))
}
