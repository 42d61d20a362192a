//! `facenet-gpu gallery list`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::add::counted_people;
use super::library;
use crate::Result;
use crate::cli::output::{self, Audience};
use crate::cli::table;
use crate::gallery::{Face, Person};
use crate::text::shown;

/// Show who is in a gallery
#[derive(Debug, Args)]
pub(super) struct List {
    /// Gallery
    gallery: PathBuf,

    /// Only these people
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// A line for each face: its number, its person, its file
    #[arg(long)]
    faces: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

impl List {
    pub(super) fn run(self) -> Result<()> {
        output::speak_to(match (self.json, self.csv) {
            (true, _) => Audience::Programs,
            (_, true) => Audience::Nobody,
            _ => Audience::People,
        });
        let gallery = library::Gallery::open_read_only(&self.gallery)?;
        let mut people = gallery.people()?;
        let everybody = people.len();
        if !self.names.is_empty() {
            // A name that the gallery does not have is an error.
            self.names.iter().try_for_each(|name| gallery.faces(name).map(drop))?;
            people.retain(|person| self.names.iter().any(|name| name.trim() == person.name));
        }
        let mut faces = Vec::new();
        if self.faces {
            for person in &people {
                faces.extend(gallery.faces(&person.name)?);
            }
        }
        if self.csv {
            output::bytes(&self.csv(&people, &faces));
            return Ok(());
        }
        let (model, kind) = (gallery.model(), gallery.vectors());
        say!("gallery   {}", self.gallery.display());
        say!("model     {model}, {} dimensions", model.dimensions);
        say!("vectors   {}, {} bytes a face", kind.name(), kind.size(model.dimensions));
        say!("faces     {} of {}", table::count(gallery.len()?), counted_people(everybody));
        if self.faces {
            for face in &faces {
                say!("{:>8}  {}  {}", face.id, shown(&face.person), shown(&face.source));
            }
        } else {
            for person in &people {
                say!("{:>8}  {}", table::count(person.faces), shown(&person.name));
            }
        }
        let person = |p: &Person| json!({ "name": p.name, "faces": p.faces });
        let face = |f: &Face| json!({ "id": f.id, "person": f.person, "path": f.source });
        let mut told = json!({
            "gallery": self.gallery.display().to_string(), "model": model, "vectors": kind,
            "faces": gallery.len()?, "people": people.iter().map(person).collect::<Vec<_>>(),
        });
        if self.faces {
            told["list"] = faces.iter().map(face).collect();
        }
        output::json(&told);
        Ok(())
    }

    fn csv(&self, people: &[Person], faces: &[Face]) -> Vec<u8> {
        let mut out = csv::Writer::from_writer(Vec::new());
        let mut row = |cells: &[&str]| out.write_record(cells).expect("memory takes every row");
        if self.faces {
            row(&["id", "person", "path"]);
            faces.iter().for_each(|face| row(&[&face.id.to_string(), &face.person, &face.source]));
        } else {
            row(&["person", "faces"]);
            people.iter().for_each(|person| row(&[&person.name, &person.faces.to_string()]));
        }
        out.into_inner().expect("memory takes every row")
    }
}
