//! The one error type of the crate. Every sentence says what was found, what was expected and what to do about it. A setting
//! is named as a field of `Config`, in backticks; a program that shows the message can put a flag or a label there.

use std::path::{Path, PathBuf};

/// What can go wrong, grouped by who can mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting or an argument that makes no sense, alone or together with another one. Settings are named as the fields of
    /// [`Config`](crate::train::Config) in backticks, parts of parts as in `` `offline.subset` ``.
    #[error("{0}")]
    Setting(String),

    /// The operating system refused to read or write a file or folder.
    #[error("cannot {action} {}: {}", path.display(), explain(source))]
    Io {
        /// What was tried, as a verb: "read", "write", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },

    /// No adapter, an adapter without enough limits, a lost device, memory exhausted.
    #[error("{0}")]
    Device(String),

    /// A tensor does not fit the device: the sentence names the tensor and its size. What to do is added when it is shown,
    /// so that whoever knows a better remedy can tell that one.
    #[error("{0}; use a smaller batch or a smaller network")]
    Memory(String),

    /// Tensors whose shapes an op cannot take. Born while a graph is built, never while it runs.
    #[error("{op}: {message}")]
    Shape {
        /// The op, or the layer that holds it.
        op: String,
        /// What was expected and what was given.
        message: String,
    },

    /// A WGSL kernel that does not compile or does not match its Rust side. A bug of this crate.
    #[error("kernel {kernel}: {message}")]
    Kernel {
        /// Entry point of the kernel.
        kernel: String,
        /// What naga or the driver said.
        message: String,
    },

    /// A data set that cannot be used: an empty folder, one person only, no readable image.
    #[error("{0}")]
    Data(String),

    /// One image that cannot be used.
    #[error("{}: {message}", path.display())]
    Image {
        /// The image file.
        path: PathBuf,
        /// Why it cannot be used.
        message: String,
    },

    /// A weights file that is cut short, of another network, or of another format.
    #[error("{}: {message}", path.display())]
    Weights {
        /// The weights file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },

    /// A loss, a weight or an embedding is NaN or infinite.
    #[error("{0}")]
    NotFinite(String),

    /// Training no longer teaches anything, and was asked to stop then.
    #[error("{0}")]
    Collapsed(String),

    /// Somebody asked to stop before anything was finished.
    #[error("{0}")]
    Interrupted(String),
}

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an operating-system error with the path and what was being done to it ("read", "write", "create").
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// A shape error of `op`.
    pub fn shape(op: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Shape { op: op.into(), message: message.into() }
    }

    /// The message of an error about one image, for a table whose rows name the image.
    pub fn without_path(self) -> String {
        match self {
            Self::Image { message, .. } => message,
            Self::Io { source, .. } => format!("cannot be read: {}", explain(&source)),
            other => other.to_string(),
        }
    }

    /// A setting or an argument that makes no sense.
    pub fn setting(message: impl Into<String>) -> Self {
        Self::Setting(message.into())
    }
}

/// What the operating system said, with the remedy where it is known.
fn explain(source: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let plain = match source.kind() {
        ErrorKind::NotFound => "there is no such file or folder; check the path",
        ErrorKind::PermissionDenied => "no permission; change its permissions or give another path",
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => "a file is in the way of a folder; give another path",
        ErrorKind::IsADirectory => "it is a folder; give a file",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full; free some space or give another path",
        ErrorKind::ReadOnlyFilesystem => "the disk is read-only; give another path",
        _ => return source.to_string(),
    };
    plain.to_string()
}
