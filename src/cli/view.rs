//! How a verb sees images: its flags, and the weights that see so.

use std::path::{Path, PathBuf};

use clap::Args;

use super::eyes::Eyes;
use super::{models, weights};
use crate::align::{Alignment, FaceFinder, FaceReader, NoFace};
use crate::data::preprocess::{Crop, Preprocess};
use crate::detect::Detector;
use crate::gallery::EmbeddingModel;
use crate::{Engine, Error, Result, Weights};

/// What a network sees of an image: a part, or the face that a detector finds.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct View {
    /// Part of each image that is taken, such as center:144 [default: as the weights say]
    #[arg(long, value_name = "center:N", help_heading = "Faces")]
    pub(super) crop: Option<Crop>,

    /// Where the face that a detector finds comes to lie: facenet, arcface, dlib, openface, or a template's file [default: as the
    /// weights say, else facenet]
    #[arg(long, value_name = "NAME|FILE", help_heading = "Faces", conflicts_with = "aligned")]
    pub(super) alignment: Option<Alignment>,

    #[command(flatten)]
    pub(super) finding: Finding,
}

/// Whether faces are found in images first.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Finding {
    /// Face detector that finds the face on each image, by its file or its name in the folder of models [default: one that lies
    /// beside weights, or in that folder, where the weights expect aligned faces]
    #[arg(long, value_name = "FILE", help_heading = "Faces", conflicts_with = "aligned")]
    pub(super) detector: Option<PathBuf>,

    /// The images are aligned faces already: none are looked for
    #[arg(long, help_heading = "Faces")]
    pub(super) aligned: bool,

    /// What becomes of an image on which no face is found: skip it, or take its middle (crop), as the paper does [default: skip]
    #[arg(long, value_name = "skip|crop", help_heading = "Faces", hide_short_help = true)]
    pub(super) no_face: Option<NoFace>,
}

impl View {
    /// That of the embeddings in a gallery; faces are found as `finding` says.
    pub(super) fn of(model: &EmbeddingModel, finding: &Finding) -> Self {
        Self { crop: model.crop, alignment: model.alignment.clone(), finding: finding.clone() }
    }

    /// A flag that was given and changes what of an image is seen.
    pub(super) fn changed(&self) -> Option<&'static str> {
        let Finding { detector, no_face, .. } = &self.finding;
        let given =
            [("crop", self.crop.is_some()), ("alignment", self.alignment.is_some()), ("detector", detector.is_some())];
        given.into_iter().chain([("no_face", no_face.is_some())]).find_map(|(name, given)| given.then_some(name))
    }

    /// That of images that were prepared in this way before.
    pub(super) fn taken(preprocess: &Preprocess) -> Self {
        let finding = Finding { aligned: true, ..Finding::default() };
        Self { crop: preprocess.crop, alignment: preprocess.alignment.clone(), finding }
    }

    /// Images of which a part is taken, and none in which faces are looked for.
    pub(super) fn of_part(crop: Option<Crop>) -> Self {
        Self { crop, alignment: None, finding: Finding { aligned: true, ..Finding::default() } }
    }

    /// Reads weights, whose preprocessing becomes what the flags say. Their [`Weights::model_id`] follows: embeddings of another
    /// view cannot be compared.
    ///
    /// # Errors
    /// The weights cannot be read, or the flags contradict each other.
    pub(super) fn weights(&self, path: &Path) -> Result<Weights> {
        let mut weights = weights::from_user(path, Weights::load(path))?;
        self.apply(path, &mut weights.metadata.preprocess)?;
        Ok(weights)
    }

    /// Lets the preprocessing of the weights in `path` be what the flags say.
    ///
    /// # Errors
    /// The flags contradict each other.
    pub(super) fn apply(&self, path: &Path, preprocess: &mut Preprocess) -> Result<()> {
        if self.finding.aligned {
            preprocess.alignment = self.alignment.clone().or_else(|| preprocess.alignment.take());
        }
        if self.detector(path, preprocess)?.is_none() {
            let own = preprocess.alignment.as_ref();
            let other = self.alignment.as_ref().filter(|&alignment| !self.finding.aligned && own != Some(alignment));
            if let Some(alignment) = other {
                return Err(Error::setting(format!(
                    "faces are to be aligned as {alignment}, and there is no detector that finds them; give `detector`, or \
                     `aligned` for images that are aligned"
                )));
            }
            preprocess.crop = self.crop.or(preprocess.crop);
            return Ok(());
        }
        if self.crop.is_some() && self.finding.detector.is_some() {
            return Err(Error::setting(
                "`crop` takes the middle of an image and `detector` its face; give one of them",
            ));
        }
        let facenet = || Alignment::preset("facenet");
        preprocess.alignment = self.alignment.clone().or_else(|| preprocess.alignment.take()).or_else(facenet);
        preprocess.crop = None;
        Ok(())
    }

    /// The detector that finds the faces, if there is any: the one that was given, or the one beside weights that expect aligned
    /// faces, unless a crop is asked for instead.
    fn detector(&self, path: &Path, preprocess: &Preprocess) -> Result<Option<PathBuf>> {
        match &self.finding.detector {
            _ if self.finding.aligned => Ok(None),
            Some(given) => models::file_of(given).map(Some),
            None if self.crop.is_some() || preprocess.alignment.is_none() && self.alignment.is_none() => Ok(None),
            None => Ok(models::detector_beside(path)),
        }
    }

    /// Opens the detector, if there is one, for weights whose preprocessing is that of [`weights`](Self::weights), and says what
    /// is done with images.
    ///
    /// # Errors
    /// The detector cannot be opened.
    pub(super) fn eyes(&self, engine: &Engine, path: &Path, preprocess: &Preprocess) -> Result<Eyes> {
        let Some(file) = self.detector(path, preprocess)? else {
            let whole = !self.finding.aligned && self.crop.is_none();
            if let Some(alignment) = preprocess.alignment.as_ref().filter(|_| whole) {
                hint!(
                    "warning: the weights expect faces aligned as {alignment}, and no detector is given or lies beside them: images are \
                     taken whole; give --detector FILE, or --aligned for images that are aligned"
                );
            }
            return Ok(Eyes::plain());
        };
        let alignment = preprocess.alignment.clone().expect("`weights` has set it");
        say!("faces     found by {}, aligned as {alignment}", file.display());
        let mut finder = FaceFinder::new(Detector::open(engine, &file)?, alignment);
        finder.on_no_face = self.finding.no_face.unwrap_or_default();
        Ok(Eyes::finding(FaceReader::new(finder, preprocess)))
    }
}
