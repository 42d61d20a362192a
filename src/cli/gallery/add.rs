//! `facenet-gpu gallery add`: images of people into a gallery.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rayon::prelude::*;
use serde_json::json;

use super::{library, model_of};
use crate::cli::embed::{hint_inputs, progress};
use crate::cli::output::{self, Form};
use crate::cli::signals::stop_on_signals;
use crate::cli::view::{Finding, View};
use crate::cli::{DeviceFlag, INTERRUPTED, models, table};
use crate::data::folder::{FaceFolder, Layout};
use crate::digest::sha256_of;
use crate::embed::{Embedded, Input, Row, collect};
use crate::gallery::{Added, Conflict, NewFace, person_name};
use crate::text::{counted, shown};
use crate::{Error, Result, Session};

/// Add people: a folder for each, or images of one
#[derive(Debug, Args)]
#[command(override_usage = "facenet-gpu gallery add [OPTIONS] <GALLERY> [WEIGHTS] <FOLDER|IMAGE>...")]
pub(super) struct Add {
    /// Gallery
    gallery: PathBuf,

    /// Weights file, that with which the gallery was made, or the name of a model in the folder of models [default: the only one
    /// there]; a folder with a folder for each person, or with --name images and folders of images
    #[arg(required = true, value_name = "WEIGHTS|FOLDER|IMAGE")]
    arguments: Vec<PathBuf>,

    /// The person who is on all of the images
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// How the folders are laid out
    #[arg(long, value_enum, default_value_t, conflicts_with = "name")]
    layout: Layout,

    #[command(flatten)]
    finding: Finding,

    #[command(flatten)]
    form: Form,

    #[command(flatten)]
    device: DeviceFlag,
}

/// Images and who is on them.
#[derive(Default)]
struct Images {
    inputs: Vec<Input>,
    people: Vec<String>,
    /// SHA-256 of each file; of those that cannot be read it does not matter.
    contents: Vec<[u8; 32]>,
}

impl Images {
    fn push(&mut self, input: Input, person: &str) {
        self.inputs.push(input);
        self.people.push(person.to_string());
    }
}

impl Add {
    pub(super) fn run(self) -> Result<ExitCode> {
        self.form.choose();
        let mut gallery = library::Gallery::open(&self.gallery)?;
        let (path, inputs) = models::split(&self.arguments)?;
        let view = View::of(gallery.model(), &self.finding);
        let (weights, model) = model_of(&path, &view)?;
        gallery.check_model(&model)?;
        let images = self.find(inputs)?;
        let (total, people) = (images.inputs.len(), images.people.iter().collect::<BTreeSet<_>>().len());
        let mut report = Added::default();
        let images = leave_out_known(images, &gallery, &mut report)?;
        say!(
            "images    {} of {}, {} in the gallery already",
            table::count(total as u64),
            counted_people(people),
            table::count((total - images.inputs.len()) as u64)
        );
        let mut done = Embedded::default();
        let mut failures: Vec<(PathBuf, String)> = Vec::new();
        if !images.inputs.is_empty() {
            let engine = self.device.open_told()?;
            let mut eyes = view.eyes(&engine, &path, &weights.metadata.preprocess)?;
            hint_inputs(&images.inputs, &eyes, &weights.metadata.preprocess);
            let mut session = Session::with_weights(&engine, &weights, &path)?;
            let stop = stop_on_signals("stopping: the faces that were added are kept (Ctrl-C again to end at once)");
            let bar = progress(images.inputs.len(), 0);
            let mut take = |rows: &[Row<'_>]| {
                let sources: Vec<_> = rows.iter().map(|row| row.path.to_string_lossy()).collect();
                let mut faces = Vec::new();
                for (row, source) in rows.iter().zip(&sources) {
                    match &row.outcome {
                        Ok(embedding) => faces.push(NewFace {
                            person: &images.people[row.index],
                            source,
                            content: Some(images.contents[row.index]),
                            embedding,
                        }),
                        Err(reason) => failures.push((row.path.to_path_buf(), reason.clone())),
                    }
                }
                let part = gallery.add(&model, &faces)?;
                bar.inc(rows.len() as u64);
                report.added += part.added;
                report.known += part.known;
                report.conflicts.extend(part.conflicts);
                output::json(&json!({ "event": "added", "added": report.added }));
                Ok(())
            };
            let outcome = eyes.embed_files(&mut session, &images.inputs, 0, &stop, &mut take);
            bar.finish_and_clear();
            done = outcome?;
            eyes.tell();
        }
        self.say(&gallery, &report, &failures, &done, total)?;
        Ok(match () {
            () if done.stopped => ExitCode::from(INTERRUPTED),
            () if failures.len() == total => ExitCode::FAILURE,
            () => ExitCode::SUCCESS,
        })
    }

    /// The images that were asked for.
    fn find(&self, inputs: &[PathBuf]) -> Result<Images> {
        let mut images = Images::default();
        if let Some(name) = &self.name {
            let name = person_name(name)?;
            collect(inputs)?.into_iter().for_each(|input| images.push(input, &name));
            if images.inputs.is_empty() {
                return Err(Error::Data("there are no images in what was given".to_string()));
            }
            return Ok(images);
        }
        if inputs.is_empty() {
            return Err(Error::Data("no images are given; give a folder with a folder for each person".to_string()));
        }
        for folder in inputs {
            if folder.is_file() && image::ImageFormat::from_path(folder).is_ok() {
                let message = "is no folder of people; give `name` for images of one person";
                return Err(Error::Data(format!("{} {message}", folder.display())));
            }
            let found = FaceFolder::scan_as(folder, self.layout)?;
            for remark in found.understood.iter().chain(&found.remarks()) {
                hint!("note: {remark}");
            }
            for person in found.people {
                person.images.into_iter().for_each(|image| images.push(Input::new(image), &person.name));
            }
            for row in found.skipped {
                hint!("warning: {} {}", row.path.display(), row.reason);
            }
        }
        Ok(images)
    }

    /// Says what was done.
    fn say(
        &self,
        gallery: &library::Gallery,
        report: &Added,
        failures: &[(PathBuf, String)],
        done: &Embedded,
        total: usize,
    ) -> Result<()> {
        let count = |n: usize| table::count(n as u64);
        for conflict in report.conflicts.iter().take(MOST_LINES) {
            hint!(
                "warning: {} was added as {} before, and not as {} now",
                shown(&conflict.source),
                shown(&conflict.known_as),
                shown(&conflict.person)
            );
        }
        for (path, reason) in failures.iter().take(MOST_LINES) {
            hint!("warning: {}: {reason}", path.display());
        }
        let left = report.conflicts.len().saturating_sub(MOST_LINES) + failures.len().saturating_sub(MOST_LINES);
        if left > 0 {
            hint!("warning: {} more images were not added", count(left));
        }
        let (faces, people) = (gallery.len()?, gallery.people()?);
        say!(
            "added     {}; {} there already, {} of another person, {} unusable",
            counted(report.added, "face"),
            count(report.known),
            count(report.conflicts.len()),
            count(failures.len())
        );
        say!("gallery   {} of {}", counted_u64(faces, "face"), counted_people(people.len()));
        if done.stopped {
            say!("resume    the same command adds the rest");
        }
        let mut end = json!({
            "event": "end", "images": total, "added": report.added, "known": report.known,
            "conflicts": report.conflicts.len(), "failed": failures.len(), "faces": faces, "people": people.len(),
            "complete": !done.stopped,
        });
        output::table(&end);
        let conflict = |c: &Conflict| json!({ "path": c.source, "person": c.person, "known_as": c.known_as });
        end["conflict_list"] = report.conflicts.iter().map(conflict).collect();
        let failure =
            |(path, reason): &(PathBuf, String)| json!({ "path": path.display().to_string(), "reason": reason });
        end["failures"] = failures.iter().map(failure).collect();
        output::json(&end);
        Ok(())
    }
}

/// Most lines of warnings of a kind.
const MOST_LINES: usize = 5;

fn counted_u64(n: u64, what: &str) -> String {
    counted(usize::try_from(n).unwrap_or(usize::MAX), what)
}

/// A count of people.
pub(super) fn counted_people(n: usize) -> String {
    if n == 1 { "1 person".to_string() } else { format!("{} people", table::count(n as u64)) }
}

/// Reads the files' digests, and leaves out those that are in the gallery. So an addition that was ended goes on where it was.
fn leave_out_known(images: Images, gallery: &library::Gallery, report: &mut Added) -> Result<Images> {
    let Images { inputs, people, .. } = images;
    let digest = |input: &Input| match &input.fault {
        Some(_) => Ok([0; 32]),
        None => sha256_of(&input.path),
    };
    let digests: Vec<Result<[u8; 32]>> = inputs.par_iter().map(digest).collect();
    let known: Vec<[u8; 32]> = digests.iter().map(|digest| *digest.as_ref().unwrap_or(&[0; 32])).collect();
    let known = gallery.known(&known)?;
    let mut left = Images::default();
    for (((mut input, person), digest), owner) in inputs.into_iter().zip(people).zip(digests).zip(known) {
        match owner {
            Some(owner) if person_name(&person).is_ok_and(|name| name == owner) => report.known += 1,
            Some(known_as) => {
                let source = input.path.to_string_lossy().into_owned();
                report.conflicts.push(Conflict { source, person, known_as });
            }
            None => {
                left.contents.push(match digest {
                    Ok(digest) => digest,
                    Err(e) => {
                        input.fault.get_or_insert(e.without_path());
                        [0; 32]
                    }
                });
                left.push(input, &person);
            }
        }
    }
    Ok(left)
}
