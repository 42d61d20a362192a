//! `facenet-gpu verify`: are two images of one person?

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{self, Form};
use super::threshold::{Source, ThresholdFlag};
use super::view::View;
use super::{DeviceFlag, models, table};
use crate::weights::Far;
use crate::{Error, Result, Session};

/// Say whether two images show one person
#[derive(Debug, Args)]
#[command(override_usage = "facenet-gpu verify [OPTIONS] [WEIGHTS] <IMAGE> <IMAGE>")]
pub(super) struct Verify {
    /// Weights file, or the name of a model in the folder of models [default: the only one there]; and two images
    #[arg(value_name = "WEIGHTS|IMAGE", required = true, num_args = 2..=3)]
    arguments: Vec<PathBuf>,

    #[command(flatten)]
    threshold: ThresholdFlag,

    #[command(flatten)]
    view: View,

    #[command(flatten)]
    form: Form,

    #[command(flatten)]
    device: DeviceFlag,
}

impl Verify {
    pub(super) fn run(self) -> Result<()> {
        self.form.choose();
        let (path, images) = match &self.arguments[..] {
            [weights, images @ ..] if images.len() == 2 => (models::named(weights)?, images),
            arguments => models::split(arguments)?,
        };
        let [a, b] = images else {
            return Err(Error::setting("only one image is given; give two"));
        };
        let weights = self.view.weights(&path)?;
        let metadata = &weights.metadata;
        let threshold = self.threshold.of(metadata)?;
        let (engine, _) = self.device.open()?;
        let mut session = Session::with_weights(&engine, &weights, &path)?;
        let mut eyes = self.view.eyes(&engine, &path, &metadata.preprocess)?;
        let faces = eyes.faces(images, &metadata.preprocess, &mut |_| {})?.into_iter().collect::<Result<Vec<_>>>()?;
        let distance = session.embed_faces(&faces)?.squared_distance(0, 1);
        eyes.hint_sizes(images, &metadata.preprocess);
        let same = threshold.accepts(distance);
        let range = if metadata.unit_length { "squared, 0 to 4" } else { "squared" };
        say!("distance  {distance:.3} ({range})");
        say!(
            "decision  {}: the threshold is {:.3}, {}",
            if same { "one person" } else { "different people" },
            threshold.value,
            threshold.origin()
        );
        let calibration = metadata.calibration.as_ref();
        let far = calibration.map(|calibration| calibration.far_at(distance));
        if let (Some(far), Some(calibration)) = (far, calibration) {
            let rate = match far {
                Far::About(rate) => format!("about {}", percent(rate)),
                Far::Below(rate) => format!("less than {}", percent(rate)),
                Far::Above(rate) => format!("more than {}", percent(rate)),
            };
            say!(
                "rate      {rate} of the pairs of different people are this close (FAR), by {} pairs of {}",
                table::count(calibration.different),
                calibration.data
            );
        } else if threshold.source != Source::Flag {
            say!("rate      not known: how often different people are this close is what calibrate measures");
        }
        let (about, bound) = match far {
            Some(Far::About(rate)) => (Some(rate), "about"),
            Some(Far::Below(rate)) => (Some(rate), "below"),
            Some(Far::Above(rate)) => (Some(rate), "above"),
            None => (None, "unknown"),
        };
        output::record(&json!({
            "event": "end",
            "a": a.display().to_string(), "b": b.display().to_string(), "weights": path.display().to_string(),
            "distance": output::number(distance), "same": same, "threshold": output::number(threshold.value),
            "threshold_source": threshold.source(), "far": about, "far_is": bound,
        }));
        Ok(())
    }
}

/// A rate, which may be small.
fn percent(rate: f64) -> String {
    match 100.0 * rate {
        p if p >= 1.0 => format!("{p:.0} %"),
        p if p >= 0.1 => format!("{p:.1} %"),
        _ => format!("1 in {:.0}", 1.0 / rate),
    }
}
