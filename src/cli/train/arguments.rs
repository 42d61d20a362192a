//! What a run keeps of how it was begun: `args.toml` and `env.json`.

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::source::Source;
use crate::data::faces::FaceSet;
use crate::train::Config;
use crate::{DeviceChoice, Engine, Error, Result};

/// What `args.toml` holds: enough to begin the same run again with `--config`, and to go on with it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Arguments {
    pub(super) version: String,
    pub(super) device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) threads: Option<u16>,
    /// Kernels were chosen by measurement.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) tune: bool,
    #[serde(flatten)]
    pub(super) source: Source,
    #[serde(flatten)]
    pub(super) config: Config,
}

/// What stands in `args.toml` beside the settings.
#[derive(Deserialize)]
struct Beside {
    #[serde(default)]
    version: String,
    #[serde(default)]
    device: Option<String>,
    #[serde(default)]
    threads: Option<u16>,
    #[serde(default)]
    tune: bool,
    #[serde(flatten)]
    source: Source,
}

impl Arguments {
    /// Reads a file; a setting that is missing has its default.
    ///
    /// # Errors
    /// It cannot be read, or holds something that is no setting.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let config = Config::load(path)?;
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let fail = |e: toml::de::Error| Error::Data(format!("{}: {}", path.display(), e.message()));
        let Beside { version, device, threads, tune, source } = toml::from_str(&text).map_err(fail)?;
        let device = device.unwrap_or_else(|| DeviceChoice::Auto.to_string());
        Ok(Self { version, device, threads, tune, source, config })
    }

    /// The device that it names.
    ///
    /// # Errors
    /// It names none.
    pub(super) fn device(&self) -> Result<DeviceChoice> {
        self.device.parse().map_err(|e| Error::Data(format!("args.toml names the device \"{}\": {e}", self.device)))
    }
}

/// What `env.json` holds: where and with what a run was made.
#[derive(Debug, Serialize)]
pub(super) struct Environment {
    command: Vec<String>,
    folder: String,
    version: &'static str,
    device: String,
    os: &'static str,
    arch: &'static str,
    begun: String,
    data: DataFacts,
}

/// What a run was trained on.
#[derive(Debug, Serialize)]
struct DataFacts {
    from: String,
    people: usize,
    images: usize,
    skipped: usize,
    digest: String,
}

impl Environment {
    /// As it is now.
    ///
    /// # Errors
    /// An image can no longer be read.
    pub(super) fn now(engine: &Engine, source: &Source, set: &FaceSet) -> Result<Self> {
        let folder = std::env::current_dir().unwrap_or_default();
        Ok(Self {
            command: std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect(),
            folder: folder.display().to_string(),
            version: env!("CARGO_PKG_VERSION"),
            device: engine.describe(),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            begun: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            data: DataFacts {
                from: source.in_words(),
                people: set.people().len(),
                images: set.len(),
                skipped: set.skipped().len(),
                digest: set.digest()?,
            },
        })
    }
}
