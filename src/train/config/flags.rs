//! How the program reads settings that are no plain number or name.

use super::{RateFrom, Seconds, read_rates};

/// `96x96`, or `96` for both.
pub(crate) fn image_size(text: &str) -> Result<[u32; 2], String> {
    let (height, width) = text.split_once(['x', 'X']).unwrap_or((text, text));
    let side = |text: &str| text.parse().ok().filter(|side| (1..=8192).contains(side));
    match (side(height), side(width)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err("give height and width from 1 to 8192 pixels, such as 96x96 or 96".to_string()),
    }
}

/// A number of images, or `auto`.
pub(super) fn chunk(text: &str) -> Result<Option<u32>, String> {
    match (text, text.parse()) {
        ("auto", _) => Ok(None),
        (_, Ok(chunk)) if chunk > 0 => Ok(Some(chunk)),
        _ => Err("give a number of images, at least 1, or auto".to_string()),
    }
}

/// A time such as `90m` or `6h`.
pub(super) fn duration(text: &str) -> Result<Seconds, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| time.as_secs() > 0);
    time.map(|time| Seconds(time.as_secs())).ok_or_else(|| "give a time such as 90m, 6h or 2days".to_string())
}

/// What random numbers begin with.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("give a whole number from 0 to {}", u64::MAX))
}

/// A number of epochs; none at all is for [`Config::check`](super::Config::check) to refuse.
pub(super) fn epochs(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "give a whole number, at least 1".to_string())
}

/// A file of learning rates; the empty name stands for none.
pub(super) fn rates(path: &str) -> Result<Vec<RateFrom>, String> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read it: {e}"))?;
    read_rates(&text).map_err(|e| e.to_string())
}

/// `0.9,0.999`.
pub(super) fn betas(text: &str) -> Result<[f32; 2], String> {
    let parts = text.split_once(',').and_then(|(a, b)| Some([a.trim().parse().ok()?, b.trim().parse().ok()?]));
    parts.ok_or_else(|| "give two numbers such as 0.9,0.999".to_string())
}
