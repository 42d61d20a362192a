//! Weights files that the user names.

use std::path::Path;

use crate::{Error, Result};

/// Fails where `result`, which is about weights in `path`, has; with what to give instead if that lies nearby: a run's folder
/// has weights in it, and another program's checkpoint can be imported.
pub(super) fn from_user<T>(path: &Path, result: Result<T>) -> Result<T> {
    result.map_err(|e| {
        let fail = |message: String| Error::Weights { path: path.to_path_buf(), message };
        let best = ["weights/best.safetensors", "weights/last.safetensors", "best.safetensors", "last.safetensors"].map(|inside| path.join(inside));
        if let Some(best) = best.iter().find(|file| file.is_file()) {
            return fail(format!("is the folder of a run; give its weights, {}", best.display()));
        }
        let of_state = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("step-");
        if let Some(run) = path.parent().filter(|folder| folder.ends_with("state")).and_then(Path::parent)
            && path.file_name().is_some_and(of_state)
        {
            let weights = run.join("weights");
            return fail(format!("is the training state of a run; give weights, which are in {}", weights.display()));
        }
        let checkpoint = path.extension().is_some_and(|x| ["pt", "pth", "t7", "bin", "dat"].iter().any(|pt| x == *pt));
        match e {
            Error::Weights { message, .. } if checkpoint && message.starts_with("is not a safetensors file") => fail(format!(
                "{message}; if it holds weights of another program, `facenet-gpu import {} --out WEIGHTS.safetensors` makes a \
                 weights file of it",
                path.display()
            )),
            e => e,
        }
    })
}
