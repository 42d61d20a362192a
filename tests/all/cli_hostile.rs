//! The program on files that were made to do harm.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::program::{NO_TUNE, TINY, refused, run};
use facenet_gpu::weights::Weights;
use tempfile::tempdir;

/// Runs the program with so many KiB of address space.
fn with_memory(dir: &Path, kib: u32, arguments: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_facenet-gpu");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {kib}; exec {program} {arguments}")]).current_dir(dir);
    // Otherwise glibc reserves 64 MiB of addresses for each thread.
    shell.env(NO_TUNE.0, NO_TUNE.1).env("MALLOC_ARENA_MAX", "1").output().unwrap()
}

fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
}

/// A zlib stream of `1 + 258 * copies` zeros: one of them, and then copies of the last 258 bytes.
fn zlib_of_zeros(copies: u32) -> Vec<u8> {
    let mut bits = vec![true, true, false];
    let mut code = |code: u32, length: u32| bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    code(0x30, 8);
    for _ in 0..copies {
        // Length 258, distance 1.
        code(0b1100_0101, 8);
        code(0, 5);
    }
    code(0, 7);
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
    let check = (((1 + 258 * copies) % 65_521) << 16) | 1;
    [vec![0x78, 0x01], bits.chunks(8).map(byte).collect(), check.to_be_bytes().to_vec()].concat()
}

#[test]
fn small_images_that_claim_much_memory_do_not_get_it() {
    const PER_GIB: u32 = (1 << 30) / 258;
    let dir = tempdir().unwrap();
    run(dir.path(), "synth --out faces --people 4 --images 4 --size 32").success();
    let people: Vec<_> = fs::read_dir(dir.path().join("faces")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let zeros = zlib_of_zeros(PER_GIB);
    let plain = fs::read(people[0].join("0001.png")).unwrap_or_else(|e| panic!("{e}: {:?}", people[0]));
    let bombs = [
        chunk(b"iCCP", &[b"profile\0\0", &zeros[..]].concat()),
        chunk(b"zTXt", &[b"text\0\0", &zeros[..]].concat()),
        chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\x01\0\0\0", &zeros[..]].concat()),
    ];
    for (bomb, person) in bombs.iter().zip(&people) {
        fs::write(person.join("bomb.png"), [&plain[..33], bomb, &plain[33..]].concat()).unwrap();
    }
    // A grey JPEG of 7900x7900 pixels, as it says, with the picture data of one of 8x8.
    let mut huge = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut huge);
    encoder.encode(&[0; 64], 8, 8, image::ExtendedColorType::L8).unwrap();
    let frame = huge.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    huge[frame + 5..frame + 9].copy_from_slice(&[0x1E, 0xDC, 0x1E, 0xDC]);
    fs::write(people[3].join("huge.jpg"), huge).unwrap();

    let train = "train --data faces --device cpu --threads 2 --epochs 1 -P 2 -K 2";
    let output = with_memory(dir.path(), 300_000, train);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("19 images of 4 people; 1 image skipped"), "{said}");
}

#[test]
fn a_name_in_a_weights_file_cannot_write_on_the_terminal() {
    let dir = tempdir().unwrap();
    run(dir.path(), TINY).success();
    let path = dir.path().join("runs/train/run/weights/last.safetensors");
    let mut weights = Weights::load(&path).unwrap();
    weights.metadata.network = "zf64\u{1b}[2K\r\nerror: all is well".into();
    weights.metadata.version = "\u{202e}1".into();
    weights.save(&path).unwrap();
    fs::write(dir.path().join("pairs.txt"), "1\na\t1\t2\na\t1\tb\t1\n").unwrap();
    let said = run(dir.path(), "eval pairs runs/train/run/weights/last.safetensors --data . --pairs pairs.txt");
    let text = String::from_utf8(said.get_output().stderr.clone()).unwrap();
    refused(said, 1, &[r"the network zf64\u{1b}[2K\r\nerror: all is well", r"version \u{202e}1)"]);
    assert!(!text.trim_end().contains(char::is_control), "{text:?}");
}
