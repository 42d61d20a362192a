//! `facenet-gpu gallery list`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::add::counted_people;
use super::library;
use crate::Result;
use crate::cli::output::{self, Form};
use crate::cli::table;
use crate::gallery::{Face, Person, person_name};
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

    #[command(flatten)]
    form: Form,
}

impl List {
    pub(super) fn run(self) -> Result<()> {
        self.form.choose();
        let gallery = library::Gallery::open_read_only(&self.gallery)?;
        let mut people = gallery.people()?;
        let everybody = people.len();
        if !self.names.is_empty() {
            // A name that the gallery does not have is an error.
            self.names.iter().try_for_each(|name| gallery.faces(name).map(drop))?;
            let wanted = self.names.iter().map(|name| person_name(name)).collect::<Result<Vec<_>>>()?;
            people.retain(|person| wanted.contains(&person.name));
        }
        let mut faces = Vec::new();
        if self.faces {
            for person in &people {
                faces.extend(gallery.faces(&person.name)?);
            }
        }
        if self.faces {
            output::csv(["id", "person", "path"]);
            faces.iter().for_each(|face| output::csv([&face.id.to_string(), &face.person, &face.source]));
        } else {
            output::csv(["person", "faces"]);
            people.iter().for_each(|person| output::csv([&person.name, &person.faces.to_string()]));
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
            "event": "end", "gallery": self.gallery.display().to_string(), "model": model, "vectors": kind,
            "faces": gallery.len()?, "people": people.iter().map(person).collect::<Vec<_>>(),
        });
        if self.faces {
            told["list"] = faces.iter().map(face).collect();
        }
        output::json(&told);
        Ok(())
    }
}
