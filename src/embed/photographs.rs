//! Embeddings of photographs, on each of which a detector finds the face first.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::{Embedded, Row, rows_of};
use crate::align::FaceReader;
use crate::data::inputs::Input;
use crate::detect::pictures;
use crate::{Result, Session};

/// As [`embed_files`](super::embed_files), of the face that `reader` finds on each photograph. Photographs are decoded while the
/// device looks for faces on those before.
///
/// # Errors
/// As [`embed_files`](super::embed_files).
pub fn embed_photographs(
    session: &mut Session,
    reader: &mut FaceReader,
    inputs: &[Input],
    first: usize,
    stop: &AtomicBool,
    take: &mut dyn FnMut(&[Row<'_>]) -> Result<()>,
) -> Result<Embedded> {
    let inputs = inputs.get(first..).unwrap_or_default();
    let (begin, mut done) = (Instant::now(), Embedded::default());
    let mut waiting = Instant::now();
    pictures(inputs, stop, &mut |block, pictures| {
        if done.rows > 0 {
            done.waited += waiting.elapsed();
        }
        let begin = Instant::now();
        let faces = reader.of_pictures(pictures)?;
        done.detected += begin.elapsed();
        let rows = rows_of(session, block, first + done.rows, faces)?;
        done.rows += rows.len();
        done.failed += rows.iter().filter(|row| row.outcome.is_err()).count();
        take(&rows)?;
        waiting = Instant::now();
        Ok(())
    })?;
    done.stopped = done.rows < inputs.len();
    done.time = begin.elapsed();
    Ok(done)
}
