//! Signals: the first one asks for a clean end, the second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::INTERRUPTED;

/// Whether a signal has asked for a clean end.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Whether a signal has asked for a clean end, for what begins before anyone listens.
pub(super) fn stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// What the first signal does. The second one ends the program.
fn asked(stop: &AtomicBool, message: &str) {
    if stop.swap(true, Ordering::Relaxed) {
        std::process::exit(i32::from(INTERRUPTED));
    }
    STOPPED.store(true, Ordering::Relaxed);
    hint!("\n{message}");
}

/// The first Ctrl-C (or SIGTERM or SIGHUP) prints `message` and asks for a clean end, the second one ends at once. What was
/// ignored when the program began, such as SIGHUP under `nohup`, stays ignored.
pub(super) fn stop_on_signals(message: &'static str) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    if let Err(e) = listen(stop.clone(), message) {
        hint!("warning: Ctrl-C will end the program at once ({e})");
    }
    stop
}

#[cfg(unix)]
fn listen(stop: Arc<AtomicBool>, message: &'static str) -> std::io::Result<()> {
    use signal_hook::iterator::Signals;

    let wanted = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].into_iter().filter(|&signal| !is_ignored(signal));
    let mut signals = Signals::new(wanted)?;
    std::thread::Builder::new()
        .name("signals".to_string())
        .spawn(move || signals.forever().for_each(|_| asked(&stop, message)))
        .map(drop)
}

/// Whether a signal is ignored now.
#[cfg(unix)]
fn is_ignored(signal: libc::c_int) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action, sigaction only writes the present one, as a whole, if it returns 0.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(not(unix))]
fn listen(stop: Arc<AtomicBool>, message: &'static str) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || asked(&stop, message))
}

/// Makes a write beyond the largest file that the system allows (`ulimit -f`) an error of that write; it would end the
/// program.
pub(super) fn survive_large_files() {
    #[cfg(unix)]
    // Where it cannot be done, such a write ends the program as before.
    let _ = signal_hook::flag::register(libc::SIGXFSZ, Arc::default());
}
