//! Faces in many image files, in their order, with a row for each, also for those that cannot be read.
//!
//! Files are read and decoded while the device works on those before; memory does not grow with their number.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use image::RgbImage;
use rayon::prelude::*;

use super::{Detection, Detector};
use crate::data::decode::{decode_picture, dimensions};
use crate::data::inputs::Input;
use crate::{Error, Result};

/// Images that are decoded and searched together, and pixels that they have together unless it is one.
const BLOCK: usize = 64;
const BLOCK_PIXELS: u64 = 16_000_000;

/// An upright picture with its faces, or a sentence that follows the file's name and says why there is none.
pub type Searched = Result<(RgbImage, Vec<Detection>), String>;

/// What was found in a file.
#[derive(Debug)]
pub struct Found<'a> {
    /// Place among all inputs.
    pub index: usize,
    /// The file.
    pub path: &'a Path,
    /// The picture and its faces.
    pub outcome: Searched,
}

/// Searches `inputs` for faces and hands blocks of rows, in order, to `take`. Setting `stop` ends it after a block. Gives the
/// number of rows that were handed on.
///
/// # Errors
/// `take` fails, or the device is lost or lacks memory. What is wrong with an image is in its row.
pub fn detect_files(
    detector: &mut Detector,
    inputs: &[Input],
    stop: &AtomicBool,
    take: &mut dyn FnMut(Vec<Found<'_>>) -> Result<()>,
) -> Result<usize> {
    let mut done = 0;
    pictures(inputs, stop, &mut |block, pictures| {
        let images: Vec<&RgbImage> = pictures.iter().flatten().collect();
        let mut faces = detector.detect_all(&images)?.into_iter();
        let rows = (done..).zip(block).zip(pictures).map(|((index, input), picture)| {
            let outcome = picture.map(|picture| (picture, faces.next().expect("one for each picture")));
            Found { index, path: &input.path, outcome }
        });
        take(rows.collect())?;
        done += block.len();
        Ok(())
    })?;
    Ok(done)
}

/// The pictures of a block, or why there are none.
pub(crate) type Pictures = Vec<Result<RgbImage, String>>;

/// Decodes `inputs` ahead of `take`, which gets blocks of them in order.
pub(crate) fn pictures<'a>(
    inputs: &'a [Input],
    stop: &AtomicBool,
    take: &mut dyn FnMut(&'a [Input], Pictures) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        // One block is ready while the device works on another.
        let (sender, receiver) = sync_channel(0);
        scope.spawn(move || decode(inputs, &sender));
        while let Ok((block, pictures)) = receiver.recv() {
            take(block, pictures)?;
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        // Without a receiver the thread's next block goes nowhere, and it ends.
        drop(receiver);
        Ok(())
    })
}

fn decode<'a>(mut inputs: &'a [Input], sender: &SyncSender<(&'a [Input], Pictures)>) {
    let decode = |input: &Input| match &input.fault {
        Some(fault) => Err(fault.clone()),
        None => decode_picture(&input.path).map(image::DynamicImage::into_rgb8).map_err(Error::without_path),
    };
    while !inputs.is_empty() {
        let (block, rest) = inputs.split_at(block(inputs));
        inputs = rest;
        if sender.send((block, block.par_iter().map(decode).collect())).is_err() {
            return;
        }
    }
}

/// How many of the next images make a block, by what their headers say.
fn block(inputs: &[Input]) -> usize {
    let mut pixels = 0;
    let pixels_of =
        |input: &Input| dimensions(&input.path).map_or(0, |(width, height)| u64::from(width) * u64::from(height));
    let fits = |input: &&Input| {
        pixels += pixels_of(input);
        pixels <= BLOCK_PIXELS
    };
    inputs.iter().take(BLOCK).take_while(fits).count().max(1)
}
