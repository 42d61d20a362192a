//! Files of choices: JSON that people can read, one file for each device.

use std::collections::BTreeMap;
use std::fs::{self, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, System};

use super::Device;
use super::shapes::Candidates;
use crate::digest::Digest;
use crate::gpu::Precision;
use crate::{Error, Result};

/// Changes with what the file holds.
const FORMAT: u32 = 2;

/// The choice for one shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Name of the chosen candidate.
    pub(super) choice: String,
    /// The code of the kernel that was chosen for: see [`Candidates`].
    code: String,
    /// Milliseconds of each candidate by name.
    pub(super) times_ms: BTreeMap<String, f64>,
}

impl Entry {
    /// The candidate at a place, with the milliseconds of each of them; none, where nothing was measured.
    pub(super) fn new(candidates: &Candidates, choice: usize, times_ms: BTreeMap<String, f64>) -> Self {
        Self { choice: candidates.names[choice].to_string(), code: candidates.code.clone(), times_ms }
    }

    /// Whether these are the candidates that it chose among, with the same code. A choice without times chose among nothing.
    pub(super) fn is_of(&self, Candidates { names, code }: &Candidates) -> bool {
        let timed = self.times_ms.len() == names.len() && names.iter().all(|name| self.times_ms.contains_key(*name));
        self.code == *code && (timed || self.times_ms.is_empty()) && names.contains(&self.choice.as_str())
    }
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct File {
    format: u32,
    version: String,
    device: String,
    pub(super) choices: BTreeMap<String, Entry>,
}

/// The version, which older and newer files have in common.
#[derive(Deserialize)]
struct Format {
    format: u32,
    version: String,
}

impl File {
    pub(super) fn new(device: &str, choices: BTreeMap<String, Entry>) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_string();
        Self { format: FORMAT, version, device: device.to_string(), choices }
    }

    /// Reads a file. One that is not there, or of another version, is none.
    ///
    /// # Errors
    /// It cannot be read or is damaged; in words.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        let text = match fs::read(path) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            text => text.map_err(|e| e.to_string())?,
        };
        let damaged = |e: serde_json::Error| format!("the file is damaged ({e})");
        let Format { format, version } = serde_json::from_slice(&text).map_err(damaged)?;
        if format != FORMAT || version != env!("CARGO_PKG_VERSION") {
            return Ok(None);
        }
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    /// Whether it is about this device.
    pub(super) fn is_of(&self, identity: &str) -> bool {
        self.device == identity
    }

    /// Writes the file so that it appears whole or not at all. It need not outlive a power cut.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let text = serde_json::to_vec_pretty(self).expect("choices are plain data");
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(".facenet-gpu-").suffix(".tmp").tempfile_in(folder)?;
            file.write_all(&text)?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(Error::io("write", path))
    }
}

/// The file of a device.
pub(super) fn file_of(folder: &Path, identity: &str) -> PathBuf {
    let mut digest = Digest::default();
    digest.text(identity);
    let name: String =
        identity.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).take(6).collect();
    folder.join(format!("choices-{}-{}.json", words.join("-"), &digest.finish().trim_start_matches("sha256:")[..8]))
}

/// How often, and after how long each time, a lock that another program holds is tried again.
const LOCK_TRIES: u32 = 100;
/// See there.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Adds a choice to a device's file, beside what other programs have written to it meanwhile. Gives what is kept from now on:
/// where another program has chosen among the same candidates already, all take its choice.
///
/// # Errors
/// The folder or the file cannot be written.
pub(super) fn add(folder: &Path, identity: &str, key: &str, candidates: &Candidates, entry: &Entry) -> Result<Entry> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let path = folder.join("lock");
    let lock = fs::File::create(&path).map_err(Error::io("create", &path))?;
    // Where there are no locks, or another program holds on to this one, a choice may get lost and be measured again.
    for _ in 0..LOCK_TRIES {
        if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            break;
        }
        thread::sleep(LOCK_PAUSE);
    }
    let path = file_of(folder, identity);
    let found = File::read(&path).ok().flatten().filter(|file| file.is_of(identity));
    let mut file = found.unwrap_or_else(|| File::new(identity, BTreeMap::new()));
    if let Some(theirs) = file.choices.get(key).filter(|theirs| theirs.is_of(candidates)) {
        return Ok(theirs.clone());
    }
    file.choices.insert(key.to_string(), entry.clone());
    file.write(&path)?;
    Ok(entry.clone())
}

impl Device {
    /// What choices depend on beside the version: the adapter and its driver, or the processor, what it is used of, and the
    /// threads.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Gpu(gpu) => {
                let info = gpu.info();
                // Other kernels are candidates.
                let precision = if info.precision == Precision::F16 { ", f16" } else { "" };
                format!("{}, {}, {}{precision}", info.name, info.backend, info.driver)
            }
            Self::Cpu => {
                let mut system = System::new();
                system.refresh_cpu_list(CpuRefreshKind::nothing());
                let model = system.cpus().first().map_or("processor", |cpu| cpu.brand().trim());
                format!("CPU {model}, {}, {} threads", crate::cpu::instruction_set(), rayon::current_num_threads())
            }
        }
    }
}
