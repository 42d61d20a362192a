//! PyTorch's files before 1.6: five pickles (a magic number, the version, the machine, the data, the keys of the storages), and
//! then the storages.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek, SeekFrom};

use super::super::entry::{damaged, width};
use super::object::{Object, Pickle};
use super::{Place, Places, Read, machine};

/// The magic number 0x1950a86a20f9469cfc6c, as a pickle has it behind the number of its protocol.
const MAGIC: [u8; 13] = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// Reads the pickles of a file, and where its storages lie.
pub(super) fn read(mut file: BufReader<File>) -> Read {
    let broken = |e: std::io::Error| damaged(&e.to_string());
    let mut start = Vec::new();
    file.by_ref().take(2 + MAGIC.len() as u64).read_to_end(&mut start).map_err(broken)?;
    if start.get(2..) != Some(&MAGIC[..]) {
        let whole = start.len() == 2 + MAGIC.len() || !MAGIC.starts_with(start.get(2..).unwrap_or_default());
        return Err(if whole {
            "is a pickle that torch.save did not write; load it in Python and save its tensors with \
             torch.save(state_dict, ...)"
                .into()
        } else {
            damaged("it ends within its magic number")
        });
    }
    for _ in 0..2 {
        machine::load(&mut file, false)?;
    }
    let pickle = machine::load(&mut file, false)?;
    let keys = machine::load(&mut file, false)?;
    let Some(Object::List(_, keys_in_order)) = keys.object(keys.root) else {
        return Err(damaged("the keys of its values are no list"));
    };
    let dtypes = dtypes(&pickle);
    let mut places = Places::default();
    let mut begin = file.stream_position().map_err(broken)?;
    for &(_, key) in keys_in_order {
        let Some(Object::Text(key)) = keys.object(key) else { return Err(damaged("a key of its values is no text")) };
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| damaged("values are missing"))?;
        let length =
            u64::from_le_bytes(length).checked_mul(width(dtypes.get(key.as_str()).copied().unwrap_or("U8")) as u64);
        begin += 8;
        let end =
            length.and_then(|length| begin.checked_add(length)).ok_or_else(|| damaged("odd lengths of values"))?;
        places.storages.insert(key.clone(), Place { begin, length: end - begin });
        file.seek(SeekFrom::Start(end)).map_err(broken)?;
        begin = end;
    }
    let end = file.seek(SeekFrom::End(0)).map_err(broken)?;
    if begin > end {
        return Err(damaged("values are missing"));
    }
    Ok((pickle, places))
}

/// The type of the values of each storage.
fn dtypes(pickle: &Pickle) -> HashMap<&str, &'static str> {
    let storages = pickle.objects.iter().filter_map(|object| match object {
        Object::Storage(storage) => Some((&*storage.key, storage.dtype)),
        _ => None,
    });
    storages.collect()
}
