//! Preparing batches ahead of the device in a thread of its own.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use super::host_batch::{HostBatch, Images, host_batch};

use super::faces::FaceSet;
use super::sampler::Batch;
use crate::{Error, Result};

/// Batches prepared ahead unless they are large.
const DEPTH: usize = 3;
/// Bytes prepared ahead at most, unless a single batch has more.
const BYTES_AHEAD: usize = 64 << 20;

/// How many batches of `images` images to prepare ahead: a few, but only one of those that fill tens of mebibytes.
pub fn depth(set: &FaceSet, images: usize) -> usize {
    (BYTES_AHEAD / (images * set.preprocess().face_len()).max(1)).clamp(1, DEPTH)
}

/// A thread that turns batch descriptions into [`HostBatch`]es, in their order, a few ahead of the consumer. Dropping
/// it ends the thread.
#[derive(Debug)]
pub struct Prefetcher {
    /// Taken only when dropped.
    receiver: Option<Receiver<Result<HostBatch>>>,
    thread: Option<JoinHandle<()>>,
    waited: Duration,
}

impl Prefetcher {
    /// Starts preparing `batches`, at most `depth` (at least 1) ahead of the consumer plus the one under way.
    ///
    /// # Errors
    /// [`Error::Data`] where the operating system gives no thread.
    pub fn start<I>(set: Arc<FaceSet>, batches: I, depth: usize) -> Result<Self>
    where
        I: IntoIterator<Item = Batch>,
        I::IntoIter: Send + 'static,
    {
        let (sender, receiver) = sync_channel(depth.max(1));
        let batches = batches.into_iter();
        let thread = std::thread::Builder::new()
            .name("prefetch".to_owned())
            .spawn(move || {
                let work = AssertUnwindSafe(|| produce(&set, batches, &sender));
                if let Err(panic) = catch_unwind(work) {
                    // No one is left to tell if this fails.
                    let _ = sender.send(Err(Error::Data(format!("preparing a batch failed: {}", text(&*panic)))));
                }
            })
            .map_err(|error| Error::Data(format!("no thread for reading images could be started: {error}")))?;
        Ok(Self { receiver: Some(receiver), thread: Some(thread), waited: Duration::ZERO })
    }

    /// The next batch, as soon as it is ready; `None` after the last one or after an error.
    ///
    /// # Errors
    /// Whatever stopped the preparation: an image that can no longer be read, or a panic.
    pub fn next_batch(&mut self) -> Option<Result<HostBatch>> {
        let start = Instant::now();
        let next = self.receiver.as_ref()?.recv().ok();
        self.waited += start.elapsed();
        next
    }

    /// Time that the consumer has spent in [`Self::next_batch`] so far: the data wait.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        // Without a receiver the thread's next send fails, so the join waits for one batch at most.
        drop(self.receiver.take());
        if let Some(thread) = self.thread.take() {
            // Panics were caught inside; dropping must not panic.
            let _ = thread.join();
        }
    }
}

/// Sends batches until they end, one fails or nobody listens.
fn produce(set: &FaceSet, batches: impl Iterator<Item = Batch>, sender: &SyncSender<Result<HostBatch>>) {
    for batch in batches {
        let ready = host_batch(set, &batch);
        let failed = ready.is_err();
        if sender.send(ready).is_err() || failed {
            return;
        }
    }
}

/// What a panic said.
fn text(panic: &(dyn Any + Send)) -> &str {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::data::augment::{Augment, View};
    use crate::data::folder::FaceFolder;
    use crate::data::preprocess::{Normalise, Preprocess};
    use crate::data::sampler::{PkConfig, PkSampler};
    use crate::data::testing::{flat_faces, write_people};

    fn batch(images: &[usize]) -> Batch {
        let labels = images.iter().map(|&image| u32::try_from(image).unwrap()).collect();
        Batch { images: images.to_vec(), labels, views: vec![View::default(); images.len()], triplets: Vec::new() }
    }

    #[test]
    fn batches_arrive_in_order_as_floats_and_then_end() {
        let set = Arc::new(flat_faces(&[3, 3]));
        let mut prefetcher = Prefetcher::start(set, vec![batch(&[5, 0]), batch(&[1])], 2).unwrap();
        let first = prefetcher.next_batch().unwrap().unwrap();
        assert_eq!((first.indices, first.labels), (vec![5, 0], vec![5, 0]));
        let mut floats = vec![f32::NAN; 2 * 192];
        first.images.write(&[0, 1], &mut floats).unwrap();
        assert_eq!(floats, [[5.0 / 255.0; 192], [0.0; 192]].concat());
        assert_eq!(prefetcher.next_batch().unwrap().unwrap().indices, [1]);
        assert!(prefetcher.next_batch().is_none());
    }

    #[test]
    fn memory_and_disk_give_the_same_augmented_batches() {
        let dir = tempfile::tempdir().unwrap();
        write_people(dir.path(), &[3; 4]);
        let folder = FaceFolder::scan(dir.path()).unwrap();
        let preprocess = Preprocess { height: 16, width: 16, normalise: Normalise::Fixed, crop: None, alignment: None };
        let config = PkConfig {
            people: 2,
            images: 2,
            negatives: Some(1),
            batch: None,
            seed: 1,
            augment: Augment { shift: Some(2), ..Augment::TRAINING },
        };
        let run = |budget| {
            let set = Arc::new(FaceSet::load(&folder, &preprocess, budget, &|_, _| {}).unwrap());
            let (sampler, _) = PkSampler::new(&set, &[0, 1, 2, 3], config).unwrap();
            let plain = host_batch(&set, &Batch { views: vec![View::default(); 5], ..sampler.epoch(0)[0].clone() });
            let mut prefetcher = Prefetcher::start(set, sampler.batches(0), 2).unwrap();
            let batches: Vec<HostBatch> = (0..6).map(|_| prefetcher.next_batch().unwrap().unwrap()).collect();
            assert_ne!(batches[0], plain.unwrap(), "augmentation changes the floats");
            batches
        };
        assert_eq!(run(u64::MAX), run(0));
    }

    #[test]
    fn another_image_of_the_person_takes_the_place_of_one_that_vanishes() {
        let dir = tempfile::tempdir().unwrap();
        write_people(dir.path(), &[3, 2]);
        let preprocess = Preprocess { height: 8, width: 8, normalise: Normalise::Unit, crop: None, alignment: None };
        let set = FaceSet::load(&FaceFolder::scan(dir.path()).unwrap(), &preprocess, 0, &|_, _| {}).unwrap();
        let expected = host_batch(&set, &batch(&[2, 1])).unwrap().images;
        std::fs::remove_file(dir.path().join("p0/1.png")).unwrap();
        assert!(set.vanished().is_empty());
        for _ in 0..2 {
            // The one behind it, which the batch has anyway here.
            let images = host_batch(&set, &batch(&[2, 1])).unwrap().images;
            let row = |images: &Images, row: usize| {
                let mut floats = vec![0.0; 192];
                images.write(&[row], &mut floats).unwrap();
                floats
            };
            assert_eq!((row(&images, 0), row(&images, 1)), (row(&expected, 0), row(&expected, 0)));
        }
        let told = set.vanished();
        assert!(told.len() == 1 && told[0].path.ends_with("p0/1.png"), "{told:?}");
        assert!(told[0].reason.contains("another image of the person took its place"), "{told:?}");
        assert!(set.vanished().is_empty(), "it is told once");
    }

    #[test]
    fn another_person_takes_the_place_of_one_whose_images_all_vanish() {
        let dir = tempfile::tempdir().unwrap();
        write_people(dir.path(), &[2, 2]);
        let preprocess = Preprocess { height: 8, width: 8, normalise: Normalise::Unit, crop: None, alignment: None };
        let set = FaceSet::load(&FaceFolder::scan(dir.path()).unwrap(), &preprocess, 0, &|_, _| {}).unwrap();
        std::fs::remove_dir_all(dir.path().join("p1")).unwrap();
        let with_triplets = Batch { triplets: vec![[0, 2, 1], [0, 2, 0]], ..batch(&[1, 2, 0]) };
        let batches = vec![batch(&[0, 1]), with_triplets, batch(&[2, 3]), batch(&[0])];
        let set = Arc::new(set);
        let mut prefetcher = Prefetcher::start(set.clone(), batches, 2).unwrap();
        assert!(prefetcher.next_batch().unwrap().is_ok());
        let filled = prefetcher.next_batch().unwrap().unwrap();
        assert_eq!((filled.indices, filled.labels), (vec![1, 0, 0], vec![1, 0, 0]));
        assert_eq!(filled.triplets, [[0, 2, 0]], "a triplet with the lost image is left out");
        let told = set.vanished();
        assert!(
            told[0].path.ends_with("p1/0.png") && told[0].reason.contains("another person took its place"),
            "{told:?}"
        );
        // A batch of which nothing is left ends it.
        let text = prefetcher.next_batch().unwrap().unwrap_err().to_string();
        assert!(text.starts_with("cannot read") && text.contains("p1/0.png"), "{text}");
        assert!(prefetcher.next_batch().is_none());
    }

    #[test]
    fn a_panic_reaches_the_consumer_as_an_error() {
        let set = Arc::new(flat_faces(&[2, 2]));
        let mut prefetcher = Prefetcher::start(set, vec![batch(&[0]), batch(&[99])], 2).unwrap();
        assert!(prefetcher.next_batch().unwrap().is_ok());
        let text = prefetcher.next_batch().unwrap().unwrap_err().to_string();
        assert!(text.starts_with("preparing a batch failed: "), "{text}");
        assert!(prefetcher.next_batch().is_none());
    }

    #[test]
    fn the_thread_stays_a_bounded_number_of_batches_ahead_and_ends_when_dropped() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let endless = std::iter::repeat_with(move || {
            counter.fetch_add(1, Ordering::SeqCst);
            batch(&[0])
        });
        let mut prefetcher = Prefetcher::start(Arc::new(flat_faces(&[2])), endless, 2).unwrap();
        for _ in 0..5 {
            prefetcher.next_batch().unwrap().unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
        // Five taken, two in the channel, one waiting to be sent.
        assert_eq!(made.load(Ordering::SeqCst), 8);
        // Drop joins the thread: this would hang if the thread did not end.
        drop(prefetcher);
        assert_eq!(Arc::strong_count(&made), 1);
    }

    #[test]
    fn few_large_batches_and_several_small_ones_are_prepared_ahead() {
        let set = flat_faces(&[2]);
        let fit = BYTES_AHEAD / set.preprocess().face_len();
        assert_eq!([1, fit / 3, fit / 2, fit, 9 * fit].map(|images| depth(&set, images)), [3, 3, 2, 1, 1]);
    }

    #[test]
    fn the_data_wait_is_measured() {
        let slow = std::iter::once_with(|| {
            std::thread::sleep(Duration::from_millis(60));
            batch(&[0])
        });
        let mut prefetcher = Prefetcher::start(Arc::new(flat_faces(&[2])), slow, 2).unwrap();
        prefetcher.next_batch().unwrap().unwrap();
        assert!(prefetcher.waited() >= Duration::from_millis(30), "{:?}", prefetcher.waited());
    }
}
