//! What is clustered: images, which are embedded, or a table of embeddings.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::{Cluster, stopped};
use crate::cli::embed::hint_inputs;
use crate::cli::view::View;
use crate::cli::{models, progress, table};
use crate::data::folder::FaceFolder;
use crate::data::preprocess::Crop;
use crate::embed::table::EmbeddingTable;
use crate::embed::{Row, collect, read_list};
use crate::text::{beginning, counted, shown};
use crate::weights::Metadata;
use crate::{Embeddings, Engine, Error, Result, Session, Weights};

/// Embeddings, and what is known of them.
#[derive(Debug)]
pub(super) struct Source {
    /// The embeddings, two at least, with the names of their files.
    pub(super) embeddings: Embeddings,
    /// The files.
    pub(super) files: Vec<PathBuf>,
    /// The person on each image, where that is known; none where the folders tell no people apart.
    pub(super) people: Option<Vec<Option<String>>>,
    /// Images without an embedding, and why.
    pub(super) failed: Vec<(String, String)>,
    /// What part of an image the network sees.
    pub(super) crop: Option<Crop>,
}

/// What the command line gives.
#[derive(Debug)]
pub(super) struct Given {
    /// Weights; a table alone needs none.
    pub(super) weights: Option<PathBuf>,
    /// Images, folders, or a table.
    pub(super) data: Vec<PathBuf>,
}

impl Given {
    /// # Errors
    /// Images are given without weights, and there are none in the folder of models.
    pub(super) fn of(verb: &Cluster) -> Result<Self> {
        if let ([table], [], []) = (&verb.arguments[..], &verb.data[..], &verb.list[..])
            && is_table(table)
        {
            return Ok(Self { weights: None, data: vec![table.clone()] });
        }
        let (weights, data) = models::split(&verb.arguments)?;
        Ok(Self { weights: Some(weights), data: data.iter().chain(&verb.data).cloned().collect() })
    }
}

/// A source, with what was opened for it.
pub(super) struct Opened {
    pub(super) source: Source,
    /// Of the weights, if there are any.
    pub(super) metadata: Option<Metadata>,
    /// The device, if one was needed.
    pub(super) engine: Option<Engine>,
}

impl Source {
    /// Reads or computes the embeddings.
    pub(super) fn open(verb: &Cluster, given: &Given, stop: &AtomicBool) -> Result<Opened> {
        let table = match (&given.data[..], &verb.list[..]) {
            ([one], []) if is_table(one) => Some(one),
            _ => None,
        };
        let mut loaded = given.weights.as_ref().map(|weights| verb.view.weights(weights)).transpose()?;
        let mut engine = None;
        if let (Some(_), Some(flag)) = (table, verb.view.changed()) {
            return Err(Error::setting(format!(
                "the embeddings of a table are made already; `{flag}` belongs to `facenet-gpu embed`"
            )));
        }
        match &loaded {
            // A threshold that is missing is missed before the work.
            Some(loaded) => drop(verb.threshold.find(&loaded.metadata)?),
            None if verb.threshold.threshold.is_none() => {
                return Err(Error::setting(
                    "a table has no threshold; give `threshold`, or the weights before it: cluster WEIGHTS TABLE",
                ));
            }
            None => {}
        }
        let source = match (table, &mut loaded) {
            (Some(table), loaded) => {
                if verb.device.threads.is_some() {
                    engine = Some(verb.open_device()?);
                }
                Self::of_table(table, loaded.as_mut())?
            }
            (None, loaded) => {
                let loaded = loaded.as_ref().expect("images come with weights");
                let device = engine.insert(verb.open_device()?);
                Self::of_images(verb, given, device, loaded, stop)?
            }
        };
        source.check()?;
        Ok(Opened { source, metadata: loaded.map(|loaded| loaded.metadata), engine })
    }

    fn of_table(path: &Path, loaded: Option<&mut Weights>) -> Result<Self> {
        let EmbeddingTable { mut embeddings, failed, about, .. } = EmbeddingTable::read(path)?;
        if loaded.as_ref().is_some_and(|loaded| !loaded.metadata.unit_length) {
            embeddings = embeddings.of_any_length();
        }
        if let (Some(about), Some(loaded)) = (&about, loaded) {
            // The images of the table were seen so.
            View::taken(&about.preprocess).apply(path, &mut loaded.metadata.preprocess)?;
            let id = loaded.model_id();
            if about.model_id != id {
                return Err(Error::Data(format!(
                    "{} holds embeddings of other weights ({}, {}) than these ({}, {}); thresholds of one do not suit the other",
                    path.display(),
                    about.network,
                    beginning(&about.model_id),
                    loaded.metadata.network,
                    beginning(&id)
                )));
            }
        }
        say!("table     {}, {} dimensions", counted(embeddings.len(), "embedding"), embeddings.dim());
        let files: Vec<PathBuf> = (0..embeddings.len()).map(|at| PathBuf::from(embeddings.id(at).as_ref())).collect();
        let people = people_of_parents(&files);
        let crop = about.and_then(|about| about.preprocess.crop);
        Ok(Self { embeddings, files, people, failed, crop })
    }

    fn of_images(verb: &Cluster, given: &Given, engine: &Engine, loaded: &Weights, stop: &AtomicBool) -> Result<Self> {
        let mut paths = given.data.clone();
        for list in &verb.list {
            paths.extend(read_list(list)?);
        }
        if let Some(gone) = given.data.iter().find(|path| !path.exists()) {
            return Err(Error::io("read", gone)(std::io::ErrorKind::NotFound.into()));
        }
        if let Some(table) = given.data.iter().find(|path| is_table(path)) {
            return Err(Error::setting(format!(
                "{} is a table of embeddings, and something else is given beside it; give one table alone, or images",
                table.display()
            )));
        }
        let inputs = collect(&paths)?;
        let names = || paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
        if inputs.len() < 2 {
            let found = if inputs.is_empty() { "no image" } else { "only one image" };
            return Err(Error::Data(format!("there is {found} in {}; give two or more", shown(&names()))));
        }
        let metadata = &loaded.metadata;
        say!("weights   {}, {} dimensions", metadata.network, metadata.embedding);
        let path = given.weights.as_deref().unwrap_or(Path::new("weights"));
        let mut eyes = verb.view.eyes(engine, path, &metadata.preprocess)?;
        hint_inputs(&inputs, &eyes, &metadata.preprocess);
        let mut session = Session::with_weights(engine, loaded, path)?;
        let (mut data, mut files, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        let bar = progress::bar(inputs.len(), "embedding  {bar:40} {human_pos}/{human_len} images  {eta} left");
        let mut take = |rows: &[Row<'_>]| {
            for row in rows {
                match &row.outcome {
                    Ok(embedding) => {
                        data.extend(embedding);
                        files.push(row.path.to_path_buf());
                    }
                    Err(reason) => failed.push((row.path.display().to_string(), reason.clone())),
                }
            }
            bar.inc(rows.len() as u64);
            Ok(())
        };
        let done = eyes.embed_files(&mut session, &inputs, 0, stop, &mut take);
        bar.finish_and_clear();
        if done?.stopped {
            return Err(stopped());
        }
        say!("images    {}", table::count(inputs.len() as u64));
        eyes.tell();
        let people = match &given.data[..] {
            [folder] if verb.list.is_empty() && folder.is_dir() => people_of_folder(folder, &files),
            _ => None,
        };
        let ids = files.iter().map(|file| file.display().to_string()).collect();
        let embeddings = Embeddings::new(metadata.embedding as usize, data)?.with_ids(ids)?;
        let embeddings = if metadata.unit_length { embeddings } else { embeddings.of_any_length() };
        Ok(Self { embeddings, files, people, failed, crop: metadata.preprocess.crop })
    }

    /// Warns of what is missing, and refuses what is too little.
    fn check(&self) -> Result<()> {
        let first = self.failed.first().map(|(file, reason)| format!("{} {}", shown(file), shown(reason)));
        let all = self.failed.len() + self.embeddings.len();
        match (first, self.embeddings.len()) {
            (Some(first), 0 | 1) => Err(Error::Data(format!(
                "{} of {} cannot be used, so that there is nothing to cluster; the first: {first}",
                table::count(self.failed.len() as u64),
                counted(all, "image")
            ))),
            (None, 0 | 1) => Err(Error::Data("there is only one embedding; clusters need two or more".into())),
            (Some(first), _) => {
                let failed = table::count(self.failed.len() as u64);
                hint!("warning: {failed} of {} cannot be used; the first: {first}", counted(all, "image"));
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }
}

/// Whether a file is a table of embeddings by its name.
fn is_table(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    path.is_file() && ["npy", "csv", "jsonl", "safetensors"].contains(&extension.as_str())
}

/// The person of each file, if the folder has a folder for each of several people.
fn people_of_folder(folder: &Path, files: &[PathBuf]) -> Option<Vec<Option<String>>> {
    let root = folder;
    let folder = FaceFolder::scan(root).ok()?;
    if let [one] = &folder.people[..] {
        // All images in the folder itself are nobody's.
        if one.images.iter().all(|image| image.parent() != Some(root)) {
            hint!(
                "note: {} has a folder of one person, {}, against whom nothing can be measured",
                root.display(),
                shown(&one.name)
            );
        }
        return None;
    }
    let of_person = |person: &'_ crate::data::folder::PersonFolder| {
        let name = person.name.clone();
        person.images.iter().map(move |image| (image.clone(), name.clone())).collect::<Vec<_>>()
    };
    let names: HashMap<PathBuf, String> = folder.people.iter().flat_map(of_person).collect();
    Some(files.iter().map(|file| names.get(file).cloned()).collect())
}

/// The folder that each file is in, if there are several folders and one of them holds several files.
fn people_of_parents(files: &[PathBuf]) -> Option<Vec<Option<String>>> {
    let parents: Vec<&Path> = files.iter().map(|file| file.parent()).collect::<Option<_>>()?;
    let distinct = parents.iter().collect::<BTreeSet<_>>().len();
    let several = distinct > 1 && distinct < files.len();
    several.then(|| parents.iter().map(|parent| Some(parent.display().to_string())).collect())
}
