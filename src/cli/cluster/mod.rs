//! `facenet-gpu cluster`: which images show the same person, where nobody is known.

mod folders;
mod page;
mod report;
mod source;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use self::report::Found;
use self::source::{Given, Opened, Source};
use super::files::{check_apart, check_replaceable};
use super::output::Form;
use super::signals::stop_on_signals;
use super::threshold::{self, ThresholdFlag};
use super::view::View;
use super::{DeviceFlag, progress};
use crate::cluster::{Clusters, Linkage, agglomerative, graph, matrix_bytes, neighbours};
use crate::cpu::available_memory;
use crate::text::shown;
use crate::{Engine, Error, Result};

/// Sort images by person, without knowing anybody: a cluster of images for each
#[derive(Debug, Args)]
#[command(override_usage = "facenet-gpu cluster [OPTIONS] [WEIGHTS] <IMAGE|FOLDER|TABLE>...")]
pub(super) struct Cluster {
    /// Weights file, or the name of a model in the folder of models [default: the only one there]; images, folders with images in
    /// them and below, or one table of embeddings that `embed` or another program wrote, which needs no weights. With a folder per
    /// person the result is measured
    #[arg(value_name = "WEIGHTS|IMAGE|FOLDER|TABLE", required_unless_present_any = ["data", "list"])]
    arguments: Vec<PathBuf>,

    /// The same as images, folders or a table behind the weights
    #[arg(long, value_name = "DIR|FILE", num_args = 1..)]
    data: Vec<PathBuf>,

    /// A list of images, a path a line; - is the standard input. May be given several times
    #[arg(long, value_name = "FILE")]
    list: Vec<PathBuf>,

    #[command(flatten)]
    threshold: ThresholdFlag,

    /// How clusters are found
    #[arg(long, value_enum, default_value_t)]
    method: Method,

    /// Distance of two clusters
    #[arg(long, value_enum, default_value_t)]
    linkage: Linkage,

    /// Nearest images that the graph joins with each image
    #[arg(long, value_name = "K", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    neighbours: u32,

    /// New folder with a folder for each cluster, the largest first, and links to its images
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Copy the images instead of linking them
    #[arg(long, requires = "out")]
    copy: bool,

    /// Write a page with the faces of each cluster
    #[arg(long, value_name = "PAGE.html")]
    html: Option<PathBuf>,

    #[command(flatten)]
    view: View,

    #[command(flatten)]
    form: Form,

    #[command(flatten)]
    device: DeviceFlag,
}

/// How clusters are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Method {
    /// Agglomerative where half of the free memory holds all distances, else on the graph
    #[default]
    Auto,
    /// The paper's: the two closest clusters become one, until none are within the threshold
    Agglomerative,
    /// The same with average linkage, for clusters alone that hold nearest neighbours of each other
    Graph,
}

impl Cluster {
    pub(super) fn run(self) -> Result<()> {
        self.form.choose();
        if let Some(out) = &self.out {
            folders::check_new(out)?;
        }
        let given = Given::of(&self)?;
        let inputs: Vec<&Path> =
            given.weights.iter().chain(&given.data).chain(&self.list).map(|path| path.as_path()).collect();
        check_apart(&[self.html.as_deref()], &inputs)?;
        if let Some(file) = &self.html {
            check_replaceable(file, "<!DOCTYPE html>", "html")?;
        }
        let stop = stop_on_signals("stopping (Ctrl-C again to end at once)");
        let Opened { source, metadata, mut engine } = Source::open(&self, &given, &stop)?;
        let threshold = match &metadata {
            Some(metadata) => self.threshold.of(metadata)?,
            // `Source::open` has refused a table without either.
            None => threshold::Threshold {
                value: self.threshold.threshold.unwrap_or_default(),
                source: threshold::Source::Flag,
            },
        };
        if (self.out.is_some() || self.html.is_some()) && !source.files.iter().any(|file| file.exists()) {
            return Err(Error::Data(format!(
                "none of the {} images is there, such as {}; bring them back, or leave out `out` and `html`",
                source.files.len(),
                source.files.first().map_or(String::new(), |file| shown(&file.to_string_lossy()))
            )));
        }
        say!("threshold {:.3}, {}", threshold.value, threshold.origin());
        let begin = Instant::now();
        let agglomerative = self.is_agglomerative(source.embeddings.len())?;
        let memory = self.memory(&source, agglomerative);
        self.say_method(&source, agglomerative, memory);
        if matches!(threshold.source, threshold::Source::Training | threshold::Source::Makers) {
            hint!(
                "hint: this threshold judges single pairs rightly as often as may be, and joins too many of a large set; \
                 `facenet-gpu calibrate` finds one for a rate of false accepts"
            );
        }
        if !agglomerative && engine.is_none() {
            engine = Some(self.open_device()?);
        }
        let clusters = match engine.filter(|_| !agglomerative) {
            Some(engine) => self.by_graph(&engine, &source, threshold.value, &stop)?,
            None => self.agglomerative(&source, threshold.value)?,
        };
        let found = Found::new(&source, clusters, begin.elapsed().as_secs_f64(), memory)?;
        found.say();
        self.write(&source, &found, threshold, &stop)?;
        let method = if agglomerative { "agglomerative" } else { "graph" };
        found.json(&self, method, threshold);
        Ok(())
    }

    /// Opens the device and says which.
    fn open_device(&self) -> Result<Engine> {
        self.device.open_told()
    }

    /// Whether all distances are computed.
    fn is_agglomerative(&self, images: usize) -> Result<bool> {
        let average = self.linkage == Linkage::Average;
        if self.method == Method::Graph && !average {
            return Err(Error::setting("the method graph has average linkage alone; leave `linkage` out"));
        }
        // What asks for another linkage asks for this method; where memory is short that is said.
        let fits = !average || matrix_bytes(images) <= budget();
        Ok(self.method == Method::Agglomerative || self.method == Method::Auto && fits)
    }

    /// Bytes that the clustering needs beside the embeddings, about.
    fn memory(&self, source: &Source, agglomerative: bool) -> u64 {
        let (n, dim) = (source.embeddings.len(), source.embeddings.dim() as u64);
        let places = n as u64 * u64::from(self.neighbours).min(n as u64 - 1);
        // The device's gallery, the sums of clusters, and neighbours with their distances, as they come and as a graph.
        if agglomerative { matrix_bytes(n) } else { n as u64 * dim * 8 + places * 32 }
    }

    fn say_method(&self, source: &Source, agglomerative: bool, memory: u64) {
        let size = match memory as f64 / f64::from(1 << 20) {
            mib if mib < 1.0 => "less than 1 MiB".to_string(),
            mib => format!("about {mib:.0} MiB"),
        };
        if agglomerative {
            let linkage = self.linkage.to_possible_value().map_or(String::new(), |value| value.get_name().to_string());
            say!("method    agglomerative, {linkage} linkage; {size} for the distances of all pairs");
        } else {
            let k = self.neighbours.min(u32::try_from(source.embeddings.len() - 1).unwrap_or(u32::MAX));
            say!("method    graph of {k} nearest neighbours, average linkage; {size}");
        }
    }

    fn agglomerative(&self, source: &Source, threshold: f32) -> Result<Clusters> {
        let bar = progress::bar(0, "clustering {spinner} {elapsed}");
        bar.enable_steady_tick(Duration::from_millis(200));
        let clusters = agglomerative(&source.embeddings, self.linkage, threshold, budget());
        bar.finish_and_clear();
        clusters
    }

    fn by_graph(&self, engine: &Engine, source: &Source, threshold: f32, stop: &AtomicBool) -> Result<Clusters> {
        let bar =
            progress::bar(source.embeddings.len(), "neighbours {bar:40} {human_pos}/{human_len} images  {eta} left");
        let found = neighbours(engine, &source.embeddings, self.neighbours, |done, _| {
            bar.set_position(done as u64);
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        bar.finish_and_clear();
        let found = found?.ok_or_else(stopped)?;
        graph(&source.embeddings, &found, threshold)
    }

    fn write(
        &self,
        source: &Source,
        found: &Found,
        threshold: threshold::Threshold<'_>,
        stop: &AtomicBool,
    ) -> Result<()> {
        report::csv(source, found);
        if let Some(path) = &self.html {
            let shown = page::write(path, source, found, threshold)?;
            say!("page      {} ({shown})", path.display());
        }
        if let Some(out) = &self.out {
            let done = folders::write(out, source, &found.clusters, self.copy, stop)?;
            say!("folders   {} ({done})", out.display());
        }
        Ok(())
    }
}

/// Bytes that the distances of all pairs may take.
fn budget() -> u64 {
    available_memory() / 2
}

/// What is said after Ctrl-C.
fn stopped() -> Error {
    Error::Interrupted(
        "stopped before there were clusters; `facenet-gpu embed` keeps embeddings in a table as they come, and cluster takes it"
            .into(),
    )
}
