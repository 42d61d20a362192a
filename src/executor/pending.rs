//! What a device has promised to deliver: a future, with a way to wait for it where nothing drives futures.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::Result;

/// Moves the work of a device along.
pub(crate) trait Drive: Send + Sync {
    /// Hands over what the device has finished. With `wait` it returns once everything submitted so far is finished.
    ///
    /// # Errors
    /// The device is lost.
    fn advance(&self, wait: bool) -> Result<()>;
}

/// A device without work of its own: what it delivers is there at once.
struct Idle;

impl Drive for Idle {
    fn advance(&self, _wait: bool) -> Result<()> {
        Ok(())
    }
}

type BoxedFuture<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// A download or a fence that is under way. It can be awaited where an executor of futures polls the device, and waited
/// for with [`wait`](Self::wait) elsewhere.
pub struct Pending<T> {
    future: BoxedFuture<T>,
    device: Arc<dyn Drive>,
}

impl<T: Send + 'static> Pending<T> {
    pub(crate) fn new(device: Arc<dyn Drive>, future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self { future: Box::pin(future), device }
    }

    /// Something that is there already.
    pub(crate) fn ready(value: T) -> Self {
        Self::new(Arc::new(Idle), std::future::ready(Ok(value)))
    }

    /// Changes what arrives.
    pub fn map<U: Send + 'static>(self, change: impl FnOnce(T) -> U + Send + 'static) -> Pending<U> {
        let Self { future, device } = self;
        Pending::new(device, async move { future.await.map(change) })
    }

    /// This and another one of the same device as one, once both have arrived.
    pub fn join<U: Send + 'static>(self, other: Pending<U>) -> Pending<(T, U)> {
        let (first, second) = (self.future, other.future);
        Pending::new(self.device, async move { Ok((first.await?, second.await?)) })
    }

    /// What was promised if it has arrived; never waits. After it has arrived, asking again is an error of the caller.
    ///
    /// # Errors
    /// The device is lost.
    pub fn try_take(&mut self) -> Result<Option<T>> {
        self.device.advance(false)?;
        self.poll_once()
    }

    /// Waits for it.
    ///
    /// # Errors
    /// The device is lost.
    pub fn wait(mut self) -> Result<T> {
        loop {
            if let Some(value) = self.poll_once()? {
                return Ok(value);
            }
            self.device.advance(true)?;
        }
    }

    fn poll_once(&mut self) -> Result<Option<T>> {
        match self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value.map(Some),
            Poll::Pending => Ok(None),
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.future.as_mut().poll(context)
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Delivers once it was advanced so often.
    struct Slow(AtomicUsize);

    impl Drive for Slow {
        fn advance(&self, _wait: bool) -> Result<()> {
            self.0.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        }
    }

    fn after(times: usize) -> Pending<u32> {
        let slow = Arc::new(Slow(AtomicUsize::new(times)));
        let device = slow.clone();
        Pending::new(
            device,
            std::future::poll_fn(move |_| match slow.0.load(Ordering::Relaxed) {
                0 => Poll::Ready(Ok(7)),
                _ => Poll::Pending,
            }),
        )
    }

    #[test]
    fn what_has_not_arrived_is_not_taken_and_waiting_drives_the_device() {
        let mut pending = after(3);
        assert_eq!(pending.try_take().unwrap(), None);
        assert_eq!(pending.wait().unwrap(), 7);
        assert_eq!(Pending::ready(5).map(|x| x + 1).join(Pending::ready("b")).wait().unwrap(), (6, "b"));
    }
}
