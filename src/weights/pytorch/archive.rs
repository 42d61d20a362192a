//! PyTorch's files since 1.6: an archive with a pickle and a file for each storage, none of them compressed. TorchScript's are
//! archives of the same kind, with code, which is passed over.

use std::fs::File;
use std::io::{BufReader, Read as _};

use zip::{CompressionMethod, ZipArchive};

use super::super::entry::damaged;
use super::{Place, Places, Read, machine};

/// Reads the pickle of an archive, and where its storages lie.
pub(super) fn read(file: BufReader<File>) -> Read {
    let broken = |e: &dyn ToString| damaged(&e.to_string());
    let mut archive = ZipArchive::new(file).map_err(|e| broken(&e))?;
    let mut files = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(|e| broken(&e))?;
        let stored = entry.compression() == CompressionMethod::Stored && entry.size() == entry.compressed_size();
        let begin = entry.data_start().ok_or_else(|| damaged("an archive without data"))?;
        let name = entry.name().map_err(|e| broken(&e))?.into_owned();
        files.push((name, stored, Place { begin, length: entry.size() }));
    }
    let Some(at) = files.iter().position(|(name, ..)| name == "data.pkl" || name.ends_with("/data.pkl")) else {
        let keras = files.iter().any(|(name, ..)| name == "model.weights.h5");
        return Err(if keras {
            super::super::kinds::KERAS.to_owned()
        } else {
            "is an archive without data.pkl, so torch.save did not write it; unpack it, or give a file that it wrote"
                .into()
        });
    };
    let prefix = files[at].0.trim_end_matches("data.pkl").to_owned();
    let ours = |name: &str| name.strip_prefix(&prefix).map(str::to_owned);
    if files.iter().any(|(name, stored, _)| !stored && ours(name).is_some_and(|name| !name.starts_with("code/"))) {
        let remedy = "load it with torch.load and save it again with torch.save";
        return Err(format!("is a compressed archive, which torch.save does not write; {remedy}"));
    }
    let script = files.iter().any(|(name, ..)| ours(name).is_some_and(|name| name == "constants.pkl"));
    let mut places = Places::default();
    for (i, (name, _, place)) in files.iter().enumerate() {
        let name = ours(name).unwrap_or_default();
        if let Some(key) = name.strip_prefix("data/") {
            places.storages.insert(key.to_owned(), *place);
        }
        if name == "byteorder" {
            let mut order = String::new();
            let entry = archive.by_index(i).map_err(|e| broken(&e))?;
            entry.take(16).read_to_string(&mut order).map_err(|e| broken(&e))?;
            places.big_endian = order == "big";
        }
    }
    let mut pickle = BufReader::new(archive.by_index(at).map_err(|e| broken(&e))?);
    Ok((machine::load(&mut pickle, script)?, places))
}
