//! The second and third stage: R-Net and O-Net look at the windows of all images, cut out and brought to their size.

use std::collections::VecDeque;
use std::ops::Range;

use image::RgbImage;
use rayon::prelude::*;

use super::Detection;
use super::area::View;
use super::stage::{Outputs, Stage};
use super::suppress::{Overlap, suppress};
use super::window::{Window, moved, pixels, square};
use crate::net::mtcnn::{LANDMARKS, PROBABILITIES, REGRESSION};
use crate::{Error, Result};

/// Batches that may be under way on a device.
const AHEAD: usize = 3;
/// Overlap above which windows suppress each other.
const MOST: f32 = 0.7;

/// A window of an image, and the pixels that it shows.
#[derive(Debug, Clone)]
struct Cut {
    image: usize,
    bounds: [f32; 4],
    columns: Range<usize>,
    rows: Range<usize>,
}

/// What a network says of a window.
#[derive(Debug, Clone)]
struct Judged {
    bounds: [f32; 4],
    score: f32,
    regression: [f32; 4],
    landmarks: [f32; 10],
}

/// The second stage: what R-Net lets pass of the windows of each image.
///
/// # Errors
/// The device is lost or lacks memory.
pub(super) fn refine(
    stage: &mut Stage,
    images: &[&RgbImage],
    windows: Vec<Vec<Window>>,
    threshold: f32,
) -> Result<Vec<Vec<Window>>> {
    let judged = judge(stage, images, &windows, threshold, &[PROBABILITIES, REGRESSION])?;
    let finish = |judged: Vec<Judged>| {
        let (bounds, scores) = bounds_and_scores(&judged);
        let stay = suppress(&bounds, &scores, MOST, Overlap::Union).into_iter();
        let refined = |at: usize| square(moved(bounds[at], judged[at].regression, 1.0));
        stay.map(|at| Window { bounds: refined(at), score: scores[at] }).collect()
    };
    Ok(stage.suppressing(|| judged.into_iter().map(finish).collect()))
}

/// The third stage: what O-Net lets pass, with landmarks, the largest first.
///
/// # Errors
/// The device is lost or lacks memory.
pub(super) fn finish(
    stage: &mut Stage,
    images: &[&RgbImage],
    windows: Vec<Vec<Window>>,
    threshold: f32,
) -> Result<Vec<Vec<Detection>>> {
    let judged = judge(stage, images, &windows, threshold, &[PROBABILITIES, REGRESSION, LANDMARKS])?;
    let finish = |judged: Vec<Judged>| {
        let found: Vec<Detection> = judged.iter().map(detection).collect();
        let bounds: Vec<[f32; 4]> = found.iter().map(|face| face.bounds).collect();
        let scores: Vec<f32> = found.iter().map(|face| face.probability).collect();
        let stay = suppress(&bounds, &scores, MOST, Overlap::Smaller);
        let mut faces: Vec<Detection> = stay.into_iter().map(|at| found[at]).collect();
        faces.sort_by(|a, b| b.area().total_cmp(&a.area()));
        faces
    };
    Ok(stage.suppressing(|| judged.into_iter().map(finish).collect()))
}

/// The face in a window.
fn detection(judged: &Judged) -> Detection {
    let [left, top, right, bottom] = judged.bounds;
    let (width, height) = (right - left + 1.0, bottom - top + 1.0);
    // The window's edges count from 1, landmarks from 0.
    let point = |i: usize| {
        let [x, y] = [judged.landmarks[i], judged.landmarks[i + 5]];
        [width * x + left - 1.0, height * y + top - 1.0]
    };
    Detection {
        bounds: moved(judged.bounds, judged.regression, 1.0),
        probability: judged.score,
        landmarks: std::array::from_fn(point),
    }
}

fn bounds_and_scores(judged: &[Judged]) -> (Vec<[f32; 4]>, Vec<f32>) {
    judged.iter().map(|window| (window.bounds, window.score)).unzip()
}

/// What a network says of the windows of each image, as far as it holds them for faces.
fn judge(
    stage: &mut Stage,
    images: &[&RgbImage],
    windows: &[Vec<Window>],
    threshold: f32,
    outputs: &[&str],
) -> Result<Vec<Vec<Judged>>> {
    let cut = |image: usize, window: &Window| {
        let [columns, rows] = pixels(window.bounds, images[image])?;
        Some(Cut { image, bounds: window.bounds, columns, rows })
    };
    let all = windows.iter().enumerate().flat_map(|(image, of)| of.iter().filter_map(move |w| cut(image, w)));
    let cuts: Vec<Cut> = all.collect();
    let mut judged: Vec<Vec<Judged>> = vec![Vec::new(); images.len()];
    let mut take = |stage: &mut Stage, (cuts, batch): (&[Cut], Outputs)| {
        let values = stage.wait(batch)?;
        for (at, cut) in cuts.iter().enumerate() {
            let score = values[0][2 * at + 1];
            if score > threshold {
                let regression = values[1].as_chunks().0[at];
                let landmarks = values.get(2).map_or([0.0; 10], |points| points.as_chunks().0[at]);
                judged[cut.image].push(Judged { bounds: cut.bounds, score, regression, landmarks });
            }
        }
        Result::Ok(())
    };
    let mut under_way = VecDeque::new();
    let mut left = &cuts[..];
    while !left.is_empty() {
        let (now, rest) = left.split_at(left.len().min(stage.most(stage.input())));
        match submit(stage, images, now, outputs) {
            Err(Error::Memory(_)) if now.len() > 1 => {}
            batch => {
                under_way.push_back((now, batch?));
                left = rest;
                if under_way.len() >= AHEAD {
                    take(stage, under_way.pop_front().expect("it holds some"))?;
                }
            }
        }
    }
    under_way.into_iter().try_for_each(|batch| take(stage, batch))?;
    Ok(judged)
}

/// Sends windows through the network. The batch is filled up, so that few plans serve any number.
fn submit(stage: &mut Stage, images: &[&RgbImage], cuts: &[Cut], outputs: &[&str]) -> Result<Outputs> {
    let size @ [height, width] = stage.input();
    let most = u32::try_from(stage.most(size)).unwrap_or(u32::MAX);
    let count = u32::try_from(cuts.len()).expect("a batch is small").next_power_of_two().min(most);
    stage.submit(count, size, outputs, |floats| {
        let len = (height * width * 3) as usize;
        floats.par_chunks_exact_mut(len).zip(cuts).for_each(|(floats, cut)| {
            let view = View::part(images[cut.image], cut.columns.clone(), cut.rows.clone());
            view.resample(size, 0..height, 0..width, floats);
        });
    })
}
