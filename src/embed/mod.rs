//! Embeddings of many image files, in their order, with a row for each, also for those that cannot be used.
//!
//! Files are read and decoded while the device works on those before; memory does not grow with their number.

mod photographs;
#[cfg(feature = "program")]
pub mod table;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rayon::prelude::*;

pub use photographs::embed_photographs;

pub use crate::data::inputs::{Input, collect, read_list};

use crate::data::decode::decode_face;
use crate::data::preprocess::{Face, Preprocess};
use crate::session::fault_of;
use crate::{Result, Session};

/// Images that are decoded and embedded together.
const BLOCK: usize = 64;
/// Blocks that may be decoded ahead.
const AHEAD: usize = 2;

/// The embedding of an image, or the reason why it has no embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    /// Place among all inputs.
    pub index: usize,
    /// The file.
    pub path: &'a Path,
    /// The embedding, or a sentence that follows the file's name.
    pub outcome: Result<Vec<f32>, String>,
}

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Embedded {
    /// Rows that were handed on.
    pub rows: usize,
    /// Those of them without an embedding.
    pub failed: usize,
    /// All of the time.
    pub time: Duration,
    /// Time that the device waited for images, those of the first block apart.
    pub waited: Duration,
    /// Time that finding and aligning faces took; none without a detector.
    pub detected: Duration,
    /// It was asked to stop before the end.
    pub stopped: bool,
}

/// Embeds `inputs` from place `first` on and hands blocks of rows, in order, to `take`. Setting `stop` ends it after a block.
///
/// # Errors
/// `take` fails, or the device is lost or lacks memory. What is wrong with an image is in its row.
pub fn embed_files(
    session: &mut Session,
    inputs: &[Input],
    first: usize,
    stop: &AtomicBool,
    take: &mut dyn FnMut(&[Row<'_>]) -> Result<()>,
) -> Result<Embedded> {
    let (begin, preprocess) = (Instant::now(), session.model().preprocess().clone());
    let inputs_left = inputs.get(first..).unwrap_or_default();
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(AHEAD);
        scope.spawn(move || decode_blocks(inputs_left, &preprocess, &sender));
        let mut done = Embedded::default();
        for block in inputs_left.chunks(BLOCK) {
            if stop.load(Ordering::Relaxed) {
                done.stopped = true;
                break;
            }
            let waiting = Instant::now();
            let Ok(faces) = receive(&receiver) else { break };
            if done.rows > 0 {
                done.waited += waiting.elapsed();
            }
            let rows = rows_of(session, block, first + done.rows, faces)?;
            done.rows += rows.len();
            done.failed += rows.iter().filter(|row| row.outcome.is_err()).count();
            take(&rows)?;
        }
        done.time = begin.elapsed();
        // Without a receiver the thread's next block goes nowhere, and it ends.
        drop(receiver);
        Ok(done)
    })
}

/// The faces of a block, or why there are none.
type Decoded = Vec<Result<Face, String>>;

fn receive(receiver: &Receiver<Decoded>) -> Result<Decoded, std::sync::mpsc::RecvError> {
    receiver.recv()
}

fn decode_blocks(inputs: &[Input], preprocess: &Preprocess, sender: &SyncSender<Decoded>) {
    let decode = |input: &Input| match &input.fault {
        Some(fault) => Err(fault.clone()),
        None => decode_face(&input.path, preprocess).map_err(crate::Error::without_path),
    };
    for block in inputs.chunks(BLOCK) {
        if sender.send(block.par_iter().map(decode).collect()).is_err() {
            return;
        }
    }
}

fn rows_of<'a>(session: &mut Session, block: &'a [Input], first: usize, faces: Decoded) -> Result<Vec<Row<'a>>> {
    let good: Vec<&Face> = faces.iter().flatten().collect();
    let embeddings = session.embed_rows(&good)?;
    let mut embedded = embeddings.rows();
    let mut outcome = |face: Result<Face, String>| {
        let row = face.map(|_| embedded.next().expect("a row for each face"))?;
        match fault_of(row, embeddings.unit_length()) {
            None => Ok(row.to_vec()),
            Some(fault) => Err(format!("has an embedding that {fault}")),
        }
    };
    let rows = (first..).zip(block).zip(faces);
    Ok(rows.map(|((index, input), face)| Row { index, path: &input.path, outcome: outcome(face) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Engine;
    use crate::data::testing::write_face;
    use crate::net::find;
    use crate::session::initial_weights;
    use crate::weights::Metadata;

    fn session() -> Session {
        let model = find("zf64").unwrap().model().unwrap();
        let weights = initial_weights(&model, Metadata::of(&model).unwrap(), 1);
        Session::new(&Engine::Cpu, model, &weights, "start").unwrap()
    }

    /// `count` images, of which every tenth is not an image.
    fn images(dir: &Path, count: u8) -> Vec<Input> {
        let file = |i: u8| {
            let path = dir.join(format!("{i:03}.jpg"));
            match i % 10 {
                3 => std::fs::write(&path, "no image").unwrap(),
                _ => write_face(&path, i),
            }
            Input::new(path)
        };
        (0..count).map(file).collect()
    }

    #[test]
    fn there_is_a_row_for_every_file_in_order_and_the_reason_for_those_without_an_embedding() {
        let dir = tempfile::tempdir().unwrap();
        let mut inputs = images(dir.path(), 140);
        inputs.push(Input::new(dir.path().join("gone.jpg")));
        let mut session = session();
        let mut rows: Vec<(usize, Result<Vec<f32>, String>)> = Vec::new();
        let mut take = |block: &[Row<'_>]| {
            assert!(block.iter().all(|row| row.path == inputs[row.index].path));
            rows.extend(block.iter().map(|row| (row.index, row.outcome.clone())));
            Ok(())
        };
        let done = embed_files(&mut session, &inputs, 0, &AtomicBool::new(false), &mut take).unwrap();
        assert_eq!((done.rows, done.failed, done.stopped), (141, 15, false));
        assert!(rows.iter().map(|row| row.0).eq(0..141));
        assert!(rows[13].1.as_ref().unwrap_err().contains("no image of a known format"));
        assert!(rows[140].1.as_ref().unwrap_err().contains("no such file"));
        let alone = session.embed_files(&[&inputs[139].path]).unwrap();
        assert_eq!(rows[139].1.as_deref(), Ok(&alone[0]));
    }

    #[test]
    fn it_begins_anywhere_and_ends_after_a_block_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let inputs = images(dir.path(), 150);
        let (mut session, stop) = (session(), AtomicBool::new(false));
        let mut seen = Vec::new();
        let mut take = |block: &[Row<'_>]| {
            seen.extend(block.iter().map(|row| row.index));
            stop.store(true, Ordering::Relaxed);
            Ok(())
        };
        let done = embed_files(&mut session, &inputs, 20, &stop, &mut take).unwrap();
        assert!(done.stopped && seen.iter().copied().eq(20..20 + BLOCK), "{seen:?}");
        let failing = &mut |_: &[Row<'_>]| Err(crate::Error::Data("full".into()));
        let failed = embed_files(&mut session, &inputs, 0, &AtomicBool::new(false), failing);
        assert_eq!(failed.unwrap_err().to_string(), "full");
    }
}
