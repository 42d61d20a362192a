//! The machine on pickles that were written by hand.

use super::*;

#[test]
fn long_histories_and_large_arrays_are_passed_over() {
    // {"loss": [1.2 million floats], "notes": 20,000 characters, "random": 16,800 bytes}
    let mut bytes = b"\x80\x02}(X\x04\0\0\0loss](".to_vec();
    for _ in 0..1_200_000 {
        bytes.extend(b"G?\xb9\x99\x99\x99\x99\x99\x9a");
    }
    bytes.extend(b"eX\x05\0\0\0notesX\x20\x4e\0\0");
    bytes.resize(bytes.len() + 20_000, b'x');
    bytes.extend(b"X\x06\0\0\0randomB\xa0\x41\0\0");
    bytes.resize(bytes.len() + 16_800, 0);
    bytes.extend(b"u.");
    let pickle = load(&mut &bytes[..], false).unwrap();
    assert_eq!(pickle.kind(), "dict without tensors");
    assert!(matches!(pickle.object(pickle.root), Some(Object::Dict(pairs)) if pairs.len() == 1));
    assert_eq!(pickle.met, Met::default());
}

#[test]
fn broken_pickles_are_refused() {
    for (bytes, part) in [
        (&b""[..], "has no end"),
        (b"N", "has no end"),
        (b".", "takes what it did not make"),
        (b"(.", "takes what it did not make"),
        (b"t.", "lacks a mark"),
        (b"h\x05.", "recalls what it did not make"),
        (b"a.", "takes what it did not make"),
        (b"NNa.", "fills what is no object"),
        (b"\xff.", "the unknown operation 0xff"),
        (b"(X\x07\0\0\0storageNNNNtQ.", "refers to something that is no storage"),
        (b"Pkey\n.", "keeps its tensors elsewhere"),
        (b"NN\x93.", "looks up what is no name"),
    ] {
        let text = load(&mut &bytes[..], false).unwrap_err();
        assert!(text.contains(part), "{bytes:?}: {text}");
    }
}

#[test]
fn objects_that_contain_themselves_or_one_another_a_billion_times_do_no_harm() {
    // A list in itself, and 60 lists, each with the one before twice.
    let mut bytes = b"](]q\x00h\x00a".to_vec();
    bytes.extend([b']', b'q', 1]);
    for _ in 0..60 {
        bytes.extend([b']', b'(', b'h', 1, b'h', 1, b'e', b'q', 1]);
    }
    bytes.extend(b"l.");
    let pickle = load(&mut &bytes[..], false).unwrap();
    assert!(crate::weights::pytorch::tensors::tensors(&pickle).is_empty());
}
