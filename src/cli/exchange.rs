//! `facenet-gpu import` and `facenet-gpu export`: weights from and for other programs.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{table, weights as files};
use crate::data::preprocess::Normalise;
use crate::net;
use crate::text::{listed, printable, shown};
use crate::weights::{Origin, Weights, check_writable, export, guess_network, holds_detector, import, import_detector};
use crate::{Error, Result};

/// Turn weights of facenet-pytorch, OpenFace or dlib into a weights file
///
/// Reads a state dict from safetensors or from what `torch.save` or `torch.jit.save` wrote (.pt, .pth), without Python and
/// without running what is pickled in it; OpenFace's own files for Torch (.t7); and dlib's
/// `dlib_face_recognition_resnet_model_v1.dat`.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file to read
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The other files of a face detector: MTCNN's are pnet.pt, rnet.pt and onet.pt
    #[arg(value_name = "FILE", conflicts_with = "network")]
    more: Vec<PathBuf>,

    /// Network that the weights are for [default: told from the file's names, if only one has them]
    #[arg(long = "net", value_name = "NAME")]
    network: Option<String>,

    /// Key of the state dict, where the file holds several, such as `model_ema`
    #[arg(long)]
    key: Option<String>,

    /// The weights file to write
    #[arg(long, value_name = "OUT.safetensors")]
    out: PathBuf,

    /// Licence of the weights, kept in the file
    #[arg(long, value_name = "TEXT")]
    license: Option<String>,

    /// Images that they were trained on, kept in the file
    #[arg(long, value_name = "TEXT")]
    dataset: Option<String>,

    /// Where they come from, kept in the file [default: the name of FILE and the program]
    #[arg(long, value_name = "TEXT")]
    provenance: Option<String>,
}

/// Turn a weights file into a state dict of facenet-pytorch or OpenFace
///
/// Writes safetensors with the names and layouts of the program that has the network;
/// `load_state_dict(safetensors.torch.load_file(OUT))` reads it.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The weights file to read
    #[arg(value_name = "WEIGHTS")]
    weights: PathBuf,

    /// The file to write
    #[arg(long, value_name = "OUT.safetensors")]
    out: PathBuf,
}

impl Import {
    /// Reads the file, writes the weights, and says what was in it.
    ///
    /// # Errors
    /// The network is unknown, the file does not hold it, or the output cannot be written.
    pub(super) fn run(self) -> Result<()> {
        // One file may hold a whole detector.
        let alone = || self.network.is_none() && self.key.is_none() && holds_detector(&self.file).unwrap_or(false);
        if !self.more.is_empty() || alone() {
            return self.run_detector();
        }
        let network = self.network.as_deref().map(net::find).transpose()?;
        check_out(&self.out, &self.file)?;
        let network = network.map_or_else(|| guess_network(&self.file, self.key.as_deref()), Ok)?;
        let origin = Origin { provenance: self.provenance, license: self.license, dataset: self.dataset };
        let imported = import(&self.file, network, self.key.as_deref(), origin)?;
        let weights = &imported.weights;
        weights.save(&self.out)?;
        let ignored = match imported.ignored {
            0 => String::new(),
            n => format!("; {} others are not needed", table::count(n as u64)),
        };
        say!("read {}, {}'s names: {}{ignored}", self.file.display(), imported.program, size(weights));
        if !imported.heads.is_empty() {
            say!("left out {}: layers that the network does not have", listed(&imported.heads));
        }
        if !imported.passed.is_empty() {
            say!("passed over {}: data beside the weights", listed(&imported.passed));
        }
        if !imported.foreign.is_empty() {
            hint!(
                "warning: {} asks Python to call {}; nothing was called here, but torch.load may do it: load this file in \
                 Python only if you trust whoever made it",
                self.file.display(),
                listed(&imported.foreign)
            );
        }
        about(weights);
        say!("wrote {}", self.out.display());
        Ok(())
    }
}

impl Import {
    /// Reads the files of a face detector and writes one.
    fn run_detector(self) -> Result<()> {
        let files = [vec![self.file], self.more].concat();
        files.iter().try_for_each(|file| check_out(&self.out, file))?;
        let origin = Origin { provenance: self.provenance, license: self.license, dataset: self.dataset };
        let weights = import_detector(&files, origin)?;
        weights.save(&self.out)?;
        let values: u64 = weights.tensors.iter().map(|(.., data)| data.len() as u64).sum();
        let tensors = table::count(weights.tensors.len() as u64);
        say!("read MTCNN's three networks: {tensors} tensors, {} values", table::count(values));
        let known = [("provenance", &weights.origin.provenance), ("licence", &weights.origin.license)];
        let known = known.into_iter().filter_map(|(name, text)| Some((name, printable(text.as_ref()?).into_owned())));
        table::rows(&known.collect::<Vec<_>>());
        say!("wrote {}: a face detector, for --detector", self.out.display());
        Ok(())
    }
}

impl Export {
    /// Reads the weights, writes the state dict, and says what is in it.
    ///
    /// # Errors
    /// The weights are damaged, no other program has their network, or the output cannot be written.
    pub(super) fn run(self) -> Result<()> {
        check_out(&self.out, &self.weights)?;
        let weights = files::from_user(&self.weights, Weights::load(&self.weights))?;
        let exported = export(&weights, &self.weights, &self.out)?;
        say!("read {}: {}", self.weights.display(), size(&weights));
        about(&weights);
        let tensors = table::count(exported.tensors as u64);
        say!("wrote {}: {tensors} tensors with the names of {}", self.out.display(), exported.program);
        if !exported.prepares_alike {
            hint!(
                "warning: {} turns bytes into floats in another way than these weights need; prepare its images as said \
                 above",
                exported.program
            );
        }
        Ok(())
    }
}

/// Checks that `out` can be written and is not the file that is read.
fn check_out(out: &Path, input: &Path) -> Result<()> {
    if out.extension().is_none_or(|x| x != "safetensors") {
        return Err(Error::Setting(format!(
            "--out {} does not end in .safetensors, the only format that is written; name such a file",
            out.display()
        )));
    }
    let same = || Some(out.canonicalize().ok()? == input.canonicalize().ok()?);
    if same() == Some(true) {
        return Err(Error::Setting(format!("--out {} is the file that is read; give it another name", out.display())));
    }
    check_writable(out.parent().unwrap_or(Path::new("")))
}

/// Tensors and values of weights.
fn size(weights: &Weights) -> String {
    let values: u64 = weights.tensors.iter().map(|(.., data)| data.len() as u64).sum();
    format!("{} tensors, {} values", table::count(weights.tensors.len() as u64), table::count(values))
}

/// What weights say of themselves.
fn about(weights: &Weights) {
    let m = &weights.metadata;
    let scale = match m.preprocess.normalise {
        Normalise::Unit => "x / 255",
        Normalise::Fixed => "(x - 127.5) / 128",
        Normalise::PerImage => "mean 0 and standard deviation 1 for each image",
        Normalise::Dlib => "(x - mean of its colour) / 256, dlib's means",
    };
    let length = if m.unit_length { "" } else { " and any length" };
    let mut rows = vec![
        ("network", format!("{}, embeddings of {} dimensions{length}", shown(&m.network), m.embedding)),
        ("images", format!("{}x{} RGB, {scale}", m.preprocess.height, m.preprocess.width)),
    ];
    rows.extend(m.threshold.map(|threshold| ("threshold", format!("{threshold}, a squared distance"))));
    let origin = [("provenance", &m.origin.provenance), ("licence", &m.origin.license), ("dataset", &m.origin.dataset)];
    rows.extend(origin.into_iter().filter_map(|(name, text)| Some((name, printable(text.as_ref()?).into_owned()))));
    table::rows(&rows);
}
