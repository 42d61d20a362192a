//! A batch on the host: bytes until the moment that they go to the device.

use rayon::prelude::*;

use super::augment::View;
use super::faces::FaceSet;
use super::preprocess::Preprocess;
use super::sampler::Batch;
use crate::{Error, Result};

/// The images of a batch, augmented.
#[derive(Clone, Debug, PartialEq)]
pub enum Images {
    /// `height * width * 3` bytes an image, and how floats are made of them: a quarter of the floats' memory.
    Bytes {
        /// The images, one behind the other.
        faces: Vec<u8>,
        /// How bytes become floats.
        preprocess: Preprocess,
    },
    /// NHWC floats, preprocessed.
    Floats(Vec<f32>),
}

impl Images {
    /// Values of all images.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes { faces, .. } => faces.len(),
            Self::Floats(floats) => floats.len(),
        }
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the images `rows` as floats, one behind the other, in parallel.
    ///
    /// # Errors
    /// [`Error::Shape`] where `out` is not a whole number of images, one for each row, or there is no such image.
    pub fn write(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        let len = out.len() / rows.len().max(1);
        if len == 0 || !out.len().is_multiple_of(rows.len()) {
            let message = format!("{} images do not fill {} floats", rows.len(), out.len());
            return Err(Error::shape("batch", message));
        }
        out.par_chunks_exact_mut(len).zip(rows).try_for_each(|(out, &row)| {
            let range = row * len..(row + 1) * len;
            let lacks = || Error::shape("batch", format!("it has no image {row} of {len} values"));
            match self {
                Self::Bytes { faces, preprocess } => preprocess.write_f32(faces.get(range).ok_or_else(lacks)?, out),
                Self::Floats(floats) => {
                    out.copy_from_slice(floats.get(range).ok_or_else(lacks)?);
                    Ok(())
                }
            }
        })
    }
}

/// A batch ready for the device. All lists but the last have the same length.
#[derive(Clone, Debug, PartialEq)]
pub struct HostBatch {
    /// The images.
    pub images: Images,
    /// Person on each of the images.
    pub labels: Vec<u32>,
    /// Index of each image in the set.
    pub indices: Vec<usize>,
    /// Random changes of each image, already made.
    pub views: Vec<View>,
    /// Triplets that were chosen before: see [`Batch::triplets`].
    pub triplets: Vec<[u32; 3]>,
}

impl HostBatch {
    /// Images that come from no set, as NHWC floats.
    pub fn of_floats(images: Vec<f32>, labels: Vec<u32>) -> Self {
        let (indices, views) = ((0..labels.len()).collect(), vec![View::default(); labels.len()]);
        Self { images: Images::Floats(images), labels, indices, views, triplets: Vec::new() }
    }

    /// What this batch was made from: enough to make it again. Its pixels are let go.
    pub fn into_description(self) -> Batch {
        let Self { labels, indices, views, triplets, .. } = self;
        Batch { images: indices, labels, views, triplets }
    }
}

/// Reads and augments the images of `batch`, in parallel. Where no image of a person can be read any more, another person's
/// of the batch takes its place, with its label; [`FaceSet::vanished`] tells of it, and triplets with it are left out.
///
/// # Errors
/// Those of [`FaceSet::face_or_other`], where no image of the batch can be read.
pub fn host_batch(set: &FaceSet, batch: &Batch) -> Result<HostBatch> {
    let preprocess = set.preprocess();
    let len = preprocess.face_len();
    let mut faces = vec![0; batch.images.len() * len];
    let outcomes: Vec<Result<()>> = faces
        .par_chunks_exact_mut(len)
        .zip(batch.images.par_iter().zip(&batch.views))
        .map(|(out, (&index, view))| {
            let face = set.face_or_other(index)?;
            if view.is_identity() {
                out.copy_from_slice(&face);
            } else {
                out.copy_from_slice(&view.apply(&face, preprocess.width));
            }
            Ok(())
        })
        .collect();
    let Batch { images: mut indices, mut labels, mut views, mut triplets } = batch.clone();
    let read: Vec<usize> = (0..outcomes.len()).filter(|&row| outcomes[row].is_ok()).collect();
    for (row, outcome) in outcomes.into_iter().enumerate() {
        let Err(error) = outcome else { continue };
        // The one behind it, or the first.
        let Some(&other) = read.get(read.partition_point(|&other| other < row)).or(read.first()) else {
            return Err(error);
        };
        set.lose(indices[row], error, "nor can another image of the person; another person took its place");
        faces.copy_within(other * len..(other + 1) * len, row * len);
        (indices[row], labels[row], views[row]) = (indices[other], labels[other], views[other]);
        triplets.retain(|triplet| triplet.iter().all(|&place| place as usize != row));
    }
    Ok(HostBatch { images: Images::Bytes { faces, preprocess: preprocess.clone() }, labels, indices, views, triplets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_a_batch_lacks_and_floats_that_they_do_not_fill_are_refused() {
        let images = Images::Floats(vec![1.0; 6]);
        let refused =
            |rows: &[usize], floats: usize| images.write(rows, &mut vec![0.0; floats]).unwrap_err().to_string();
        assert!(images.write(&[1, 0], &mut [0.0; 6]).is_ok());
        assert!(refused(&[0, 2], 6).contains("no image 2 of 3 values"));
        assert!(refused(&[0, 1], 5).contains("2 images do not fill 5 floats"));
        assert!(refused(&[], 5).contains("0 images do not fill"));
    }
}
