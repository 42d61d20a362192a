//! How large the images of a set are, by their headers.

use std::path::Path;

use super::decode::dimensions;
use super::preprocess::Preprocess;

/// Images whose size is looked at.
const SAMPLE: usize = 25;
/// Images are much larger than the network's input from this factor on. A face that fills a third of a photograph's side
/// would leave the network a few dozen pixels.
const MUCH: f64 = 2.5;

/// Width and height of the image of medium size among some; `None` where none can be read.
pub(crate) fn medium<P: AsRef<Path>>(paths: &[P]) -> Option<(u32, u32)> {
    let chosen = paths.iter().step_by(paths.len().div_ceil(SAMPLE).max(1));
    let mut sizes: Vec<(u32, u32)> = chosen.filter_map(|path| dimensions(path.as_ref())).collect();
    sizes.sort_by_key(|&(width, height)| u64::from(width) * u64::from(height));
    sizes.get(sizes.len() / 2).copied()
}

/// Width and height of the image of medium size, where they are much larger than what the network sees and no crop is taken:
/// the faces may be small in them.
pub(crate) fn much_larger<P: AsRef<Path>>(paths: &[P], preprocess: &Preprocess) -> Option<(u32, u32)> {
    let (width, height) = medium(paths).filter(|_| preprocess.crop.is_none())?;
    let times = |side: u32, input: u32| f64::from(side) / f64::from(input);
    let much = times(width, preprocess.width).min(times(height, preprocess.height)) >= MUCH;
    much.then_some((width, height))
}

/// Width and height of the image of medium size, where a crop is to be taken that is larger in both: nothing is cut off.
pub(crate) fn smaller_than_crop<P: AsRef<Path>>(paths: &[P], preprocess: &Preprocess) -> Option<(u32, u32)> {
    let crop = preprocess.crop?;
    medium(paths).filter(|&(width, height)| crop.width > width && crop.height > height)
}
