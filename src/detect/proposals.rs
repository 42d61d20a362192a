//! The first stage: P-Net on every level of a pyramid proposes windows.

use std::collections::VecDeque;

use image::RgbImage;
use rayon::prelude::*;

use super::area::View;
use super::pyramid::{Level, NETWORK, STRIDE};
use super::stage::{Outputs, Stage};
use super::suppress::{Overlap, suppress};
use super::window::{Window, moved, square};
use crate::net::mtcnn::{PROBABILITIES, REGRESSION};
use crate::{Error, Result};

/// Batches that may be under way on a device.
const AHEAD: usize = 4;
/// Overlap above which windows of one level, and of all levels, suppress each other.
const ONE_LEVEL: f32 = 0.5;
const ALL_LEVELS: f32 = 0.7;

/// One tile of one image's level.
#[derive(Debug, Clone, Copy)]
struct Tile {
    image: usize,
    row: usize,
    column: usize,
}

/// A window that P-Net proposes.
#[derive(Debug, Clone, Copy)]
struct Proposal {
    image: usize,
    /// Which row and column of the level's windows.
    at: [u32; 2],
    score: f32,
    regression: [f32; 4],
}

/// The windows of each of several images of one size that P-Net holds for faces, squares, the likeliest first.
///
/// # Errors
/// The device is lost or lacks memory.
pub(super) fn propose(
    stage: &mut Stage,
    pyramid: &[Level],
    images: &[&RgbImage],
    threshold: f32,
) -> Result<Vec<Vec<Window>>> {
    let mut levels: Vec<Vec<Proposal>> = vec![Vec::new(); pyramid.len()];
    let mut under_way: VecDeque<(usize, Vec<Tile>, Outputs)> = VecDeque::new();
    let mut take = |stage: &mut Stage, (at, tiles, outputs): (usize, Vec<Tile>, Outputs)| {
        let values = stage.wait(outputs)?;
        stage.suppressing(|| levels[at].extend(passed(&pyramid[at], &tiles, &values, threshold)));
        Result::Ok(())
    };
    for (at, level) in pyramid.iter().enumerate() {
        let mut tiles = tiles(level, images.len());
        while !tiles.is_empty() {
            // Batches as even as can be, so that few plans serve.
            let batches = tiles.len().div_ceil(stage.most(level.tile()));
            let rest = tiles.split_off(tiles.len().div_ceil(batches));
            match submit(stage, level, images, &tiles) {
                Err(Error::Memory(_)) if tiles.len() > 1 => tiles.extend(rest),
                outputs => {
                    under_way.push_back((at, std::mem::replace(&mut tiles, rest), outputs?));
                    if under_way.len() >= AHEAD {
                        take(stage, under_way.pop_front().expect("it holds some"))?;
                    }
                }
            }
        }
    }
    under_way.into_iter().try_for_each(|batch| take(stage, batch))?;
    Ok(stage.suppressing(|| joined(pyramid, levels, images.len())))
}

/// All tiles of a level, of each image in turn.
fn tiles(level: &Level, images: usize) -> Vec<Tile> {
    let [rows, columns] = [0, 1].map(|axis| level.tiles[axis].starts.len());
    let of_image = |image| (0..rows).flat_map(move |row| (0..columns).map(move |column| Tile { image, row, column }));
    (0..images).flat_map(of_image).collect()
}

/// Sends tiles through the network.
fn submit(stage: &mut Stage, level: &Level, images: &[&RgbImage], tiles: &[Tile]) -> Result<Outputs> {
    let [height, width] = level.tile();
    let count = u32::try_from(tiles.len()).expect("a batch is small");
    stage.submit(count, [height, width], &[PROBABILITIES, REGRESSION], |floats| {
        let len = height as usize * width as usize * 3;
        floats.par_chunks_exact_mut(len).zip(tiles).for_each(|(floats, tile)| {
            let [top, left] = [level.tiles[0].starts[tile.row], level.tiles[1].starts[tile.column]].map(|w| w * STRIDE);
            View::whole(images[tile.image]).resample(level.size, top..top + height, left..left + width, floats);
        });
    })
}

/// The windows of tiles whose probability is high enough.
fn passed(level: &Level, tiles: &[Tile], values: &[Vec<f32>], threshold: f32) -> Vec<Proposal> {
    let [rows, columns] = level.tile().map(|len| (len - 2).div_ceil(STRIDE) - 4);
    let per_tile = (rows * columns) as usize;
    let mut found = Vec::new();
    for (at, tile) in tiles.iter().enumerate() {
        let [down, across] = &level.tiles;
        let (top, left) = (down.starts[tile.row], across.starts[tile.column]);
        for row in down.own[tile.row].clone() {
            let line = at * per_tile + ((row - top) * columns) as usize;
            for column in across.own[tile.column].clone() {
                let window = line + (column - left) as usize;
                let score = values[0][2 * window + 1];
                if score >= threshold {
                    let regression = values[1].as_chunks().0[window];
                    found.push(Proposal { image: tile.image, at: [row, column], score, regression });
                }
            }
        }
    }
    found
}

/// Suppresses overlapping windows on each level and on all together, and moves those that stay.
fn joined(pyramid: &[Level], levels: Vec<Vec<Proposal>>, images: usize) -> Vec<Vec<Window>> {
    let mut by_image: Vec<Vec<(Window, [f32; 4])>> = vec![Vec::new(); images];
    for (level, mut proposals) in pyramid.iter().zip(levels) {
        // As they lie on the whole level, whatever tile they come from: equal scores keep this order.
        proposals.sort_by_key(|p| (p.image, p.at));
        for proposals in proposals.chunk_by(|a, b| a.image == b.image) {
            let bounds: Vec<[f32; 4]> = proposals.iter().map(|p| on_the_image(p.at, level.scale)).collect();
            let scores: Vec<f32> = proposals.iter().map(|p| p.score).collect();
            let stay = suppress(&bounds, &scores, ONE_LEVEL, Overlap::Union).into_iter();
            let stay = stay.map(|at| (Window { bounds: bounds[at], score: scores[at] }, proposals[at].regression));
            by_image[proposals[0].image].extend(stay);
        }
    }
    let finish = |windows: Vec<(Window, [f32; 4])>| {
        let bounds: Vec<[f32; 4]> = windows.iter().map(|(window, _)| window.bounds).collect();
        let scores: Vec<f32> = windows.iter().map(|(window, _)| window.score).collect();
        let stay = suppress(&bounds, &scores, ALL_LEVELS, Overlap::Union).into_iter();
        let squared = |at: usize| square(moved(bounds[at], windows[at].1, 0.0));
        stay.map(|at| Window { bounds: squared(at), score: scores[at] }).collect()
    };
    by_image.into_par_iter().map(finish).collect()
}

/// The edges on the image of the window in this row and column of a level, whole pixels.
fn on_the_image([row, column]: [u32; 2], scale: f64) -> [f32; 4] {
    #[expect(clippy::cast_possible_truncation, reason = "PyTorch divides in single precision")]
    let scale = scale as f32;
    let edge = |window: u32, more: u32| ((STRIDE * window + more) as f32 / scale).floor();
    [edge(column, 1), edge(row, 1), edge(column, NETWORK), edge(row, NETWORK)]
}
