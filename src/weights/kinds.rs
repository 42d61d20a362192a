//! Files of other kinds, by their first bytes: what somebody may take for weights, and the way out.

/// What is said of a file that Keras wrote.
pub(super) const KERAS: &str = "is a file of Keras, which is not read; load it in Python, copy its weights into the same network of \
                                facenet-pytorch, and save that one's state_dict()";

/// First bytes of a file that [`of`] looks at.
pub(super) const LOOKED_AT: usize = 1024;

/// What is said of a file with these first bytes, if it is of a known kind that holds no weights that can be read.
pub(super) fn of(start: &[u8]) -> Option<String> {
    // The length of a header of safetensors may be the beginning of anything else.
    if start.get(5..9) == Some(&[0, 0, 0, b'{']) {
        return None;
    }
    let magic = |bytes: &[u8]| start.starts_with(bytes);
    let compressed = [
        (&[0x1f, 0x8b][..], "gzip", "gunzip"),
        (b"BZh", "bzip2", "bunzip2"),
        (b"\xfd7zXZ\0", "xz", "unxz"),
        (b"\x28\xb5\x2f\xfd", "Zstandard", "unzstd"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip", "7z"),
        (b"Rar!", "RAR", "unrar"),
    ];
    if let Some((_, name, program)) = compressed.iter().find(|(bytes, ..)| magic(bytes)) {
        return Some(format!("is compressed with {name}; unpack it with {program} and import what is inside"));
    }
    let message = if is_html(start) {
        "is an HTML page, not weights: a site sent its page for a login, an error or a confirmation in their place; open the \
         link in a browser and download the file itself"
    } else if magic(b"version https://git-lfs.github.com/spec/") {
        "is a Git LFS pointer, which only says where the weights are; have Git LFS pull them in its repository, or download \
         the file from its site"
    } else if magic(b"\x89HDF\r\n\x1a\n") {
        KERAS
    } else if magic(b"\x93NUMPY") {
        "is a NumPy array, not a state dict; save all tensors of the network by their names, with safetensors or torch.save"
    } else if start.get(4..8) == Some(b"TFL3") || is_tensorflow(start) {
        "is a TensorFlow graph (.pb, .tflite), which is not read; facenet-pytorch has David Sandberg's weights as .pt, which can \
         be imported"
    } else if is_onnx(start) {
        "is an ONNX model, which is not read; import the state dict of PyTorch that it was exported from"
    } else if magic(b"4\n1\n3\nV ") || magic(b"3\n1\n") {
        "is a file of Torch in its text format; import the binary one, or load it in Torch and save it with \
         torch.save(name, network)"
    } else {
        return None;
    };
    Some(message.to_owned())
}

fn is_html(start: &[u8]) -> bool {
    let text = String::from_utf8_lossy(start).to_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    text.starts_with('<') && (text.contains("<html") || text.contains("<!doctype html"))
}

/// Protocol buffers have no magic number. A SavedModel begins with its version, 1, and then a graph; a frozen graph with a
/// node that has a name and an op.
fn is_tensorflow(start: &[u8]) -> bool {
    let field = |bytes: &[u8], tag: u8| -> Option<usize> {
        (bytes.first() == Some(&tag)).then(|| 1 + bytes[1..].iter().take(5).take_while(|&&b| b >= 0x80).count() + 1)
    };
    let node = || {
        let inside = start.get(field(start, 0x0a)?..)?;
        let text = inside.get(1..).filter(|_| inside[0] == 0x0a)?;
        let name = text.get(1..=usize::from(*text.first()?))?;
        let behind = text.get(1 + name.len()..)?;
        let op = behind.get(2..2 + usize::from(*behind.get(1)?)).filter(|_| behind[0] == 0x12)?;
        let plain = |text: &[u8]| !text.is_empty() && text.iter().all(|b| b.is_ascii_graphic());
        Some(plain(name) && plain(op) && op[0].is_ascii_uppercase())
    };
    start.starts_with(&[8, 1, 0x12]) || node() == Some(true)
}

/// ONNX begins with the version of its format, and then one of the few fields that follow it.
fn is_onnx(start: &[u8]) -> bool {
    matches!(start, [8, 2..=30, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_are_named_with_the_way_out() {
        let said = |start: &[u8], parts: [&str; 2]| {
            let text = of(start).unwrap_or_else(|| panic!("{start:?}"));
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        };
        said(b"\n<!DOCTYPE html><html><head>", ["an HTML page", "download the file itself"]);
        said(b"\xef\xbb\xbf<html lang=\"en\">", ["an HTML page", "browser"]);
        said(
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a",
            ["a Git LFS pointer", "have Git LFS pull them"],
        );
        said(b"\x1f\x8b\x08\0\0\0\0\0", ["compressed with gzip", "gunzip"]);
        said(b"BZh91AY&SY", ["compressed with bzip2", "bunzip2"]);
        said(b"\x89HDF\r\n\x1a\n\0\0", ["of Keras", "state_dict()"]);
        said(b"\x0a\x26\x0a\x05input\x12\x0bPlaceholder*", ["a TensorFlow graph", "facenet-pytorch"]);
        said(b"\x08\x01\x12\xb4\x8a\x05\x0a\x24", ["a TensorFlow graph", "facenet-pytorch"]);
        said(b"\x1c\0\0\0TFL3", ["a TensorFlow graph", "facenet-pytorch"]);
        said(b"\x08\x07\x12\x07pytorch\x1a\x051.9:", ["an ONNX model", "import the state dict"]);
        said(b"4\n1\n3\nV 1\n13\nnn.Sequential\n", ["Torch in its text format", "the binary one"]);
        said(b"\x93NUMPY\x01\0", ["a NumPy array", "safetensors"]);
    }

    #[test]
    fn files_that_hold_weights_are_of_no_other_kind() {
        for start in [
            &b"PK\x03\x04\0\0\x08\x08"[..],
            b"\x80\x02\x8a\x0a\x6c\xfc",
            b"\x58\x02\0\0\0\0\0\0{\"x\"",
            b"\x0a\x0a\x0a\0\0\0\0\0{\"x\"",
            b"\x08\x01\x12\0\0\0\0\0{\"x\"",
            b"\x1f\x8b\x08\0\0\0\0\0{\"x\"",
            b"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1",
            b"\x01\x01\x01\x0dloss_metric_2",
            b"",
            b"\x0a",
            b"\x0a\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(of(start), None, "{start:?}");
        }
    }
}
