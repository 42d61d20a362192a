//! Files that grow at their end, and that lose nothing where the disk is full for a while.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::{Error, Result};

/// A file that is appended to. What cannot be written stays in memory until it can. The file is made with the first bytes.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    file: Option<File>,
    /// Bytes that are not in the file yet.
    pending: Vec<u8>,
}

impl Appender {
    /// Goes on behind what the file has, if there is one.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, pending: Vec::new() }
    }

    /// Adds bytes, which the next [`flush`](Self::flush) writes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Writes what is pending.
    ///
    /// # Errors
    /// It cannot be written; the next call tries again.
    pub(super) fn flush(&mut self) -> Result<()> {
        while !self.pending.is_empty() {
            match self.write_some() {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("write", &self.path)(e)),
            }
        }
        Ok(())
    }

    fn write_some(&mut self) -> io::Result<usize> {
        if self.file.is_none() {
            self.file = Some(OpenOptions::new().create(true).append(true).open(&self.path)?);
        }
        match self.file.as_mut().map_or(Ok(0), |file| file.write(&self.pending))? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }
}
