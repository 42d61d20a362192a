//! Files of other programs, mutated: whatever stands in them, reading one ends soon, takes no more memory than its size allows
//! for, and panics never. `FACENET_GPU_TEST_MUTANTS=1000000` tries so many of each kind instead of a few hundred.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::container::{Floats, save};
use super::tests::{file, network};
use super::*;
use crate::weights::state_dict::StateDict;

/// Mutants of a kind.
const MUTANTS: usize = 400;
/// Longest that one may take: a thousand times what it needs on a machine with other work to do.
const LONGEST: Duration = Duration::from_secs(10);
/// Most bytes of memory for each byte of a file, and for any file.
const PER_BYTE: usize = 128;
const ANY: usize = 4 << 20;

thread_local! {
    /// Bytes that this thread holds, and the most since [`measured`] began.
    static HELD: Cell<[isize; 2]> = const { Cell::new([0; 2]) };
}

/// The system's allocator, which counts by thread.
struct Counting;

fn count(bytes: isize) {
    // A thread that ends has nothing to count with.
    let _ = HELD.try_with(|cell| {
        let [held, most] = cell.get();
        cell.set([held + bytes, most.max(held + bytes)]);
    });
}

// SAFETY: all is done by the system's allocator; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs something, and gives the memory that it held at most.
fn measured(run: impl FnOnce()) -> usize {
    let before = HELD.get()[0];
    HELD.set([before; 2]);
    run();
    (HELD.get()[1] - before).try_into().unwrap_or(0)
}

/// Changes some places of a file; `others` are files of its kind, parts of which may come into it.
fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut ChaCha8Rng) {
    // What a pickle or a header of Torch may do most harm with.
    const OPS: &[u8] =
        b"(.012FGIJKLMNPQRSTUVX]abcdehijloqrstu})\x80\x81\x85\x8a\x8b\x8c\x8d\x8e\x8f\x90\x93\x94\x95\x01\x03\x04";
    for _ in 0..rng.random_range(1..6) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..9) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
            2 => bytes[at] = OPS[rng.random_range(0..OPS.len())],
            3 | 4 => {
                let numbers = [
                    0,
                    1,
                    -1,
                    i64::from(i32::MAX),
                    i64::from(i32::MIN),
                    i64::MAX,
                    i64::MIN,
                    1 << 20,
                    bytes.len() as i64,
                ];
                let number = numbers[rng.random_range(0..numbers.len())].to_le_bytes();
                let size = [2, 4, 8][rng.random_range(0..3)].min(bytes.len() - at);
                bytes[at..at + size].copy_from_slice(&number[..size]);
            }
            5 => bytes.truncate(at),
            6 => drop(bytes.drain(at..(at + rng.random_range(1..64)).min(bytes.len()))),
            7 => {
                let part = bytes[at..(at + rng.random_range(1..64)).min(bytes.len())].to_vec();
                let part = part.repeat(rng.random_range(1..40));
                bytes.splice(at..at, part);
            }
            _ => {
                let other = &others[rng.random_range(0..others.len())];
                let from = rng.random_range(0..other.len());
                let part = other[from..(from + rng.random_range(1..256)).min(other.len())].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

/// All that may be read of a file.
fn read_all(path: &Path) {
    let Ok(dict) = StateDict::open(path, None) else { return };
    let names: Vec<String> = dict.entries().map(|(name, _)| name.to_owned()).collect();
    for name in names.iter().filter(|name| dict.check_size(name).is_ok()) {
        drop(dict.values(name));
    }
    drop(read(&dict, Family::FacenetPytorch, &network));
    drop(guess_network(path, None));
    drop(Weights::load(path));
    drop(crate::weights::DetectorWeights::load(path));
    crate::weights::kind_of(path);
}

/// Reads mutants of `seeds`; says how the worst of them fared.
fn hold(kind: &str, seed: u64, seeds: &[Vec<u8>]) {
    let mutants = std::env::var("FACENET_GPU_TEST_MUTANTS").map_or(MUTANTS, |count| count.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mutant");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut worst = (Duration::ZERO, 0);
    for number in 0..mutants {
        let mut bytes = seeds[number % seeds.len()].clone();
        mutate(&mut bytes, seeds, &mut rng);
        std::fs::write(&path, &bytes).unwrap();
        let begin = Instant::now();
        let mut whole = Ok(());
        let memory = measured(|| whole = catch_unwind(AssertUnwindSafe(|| read_all(&path))));
        let time = begin.elapsed();
        let size = bytes.len();
        if whole.is_err() || time > LONGEST || memory > ANY + PER_BYTE * size {
            let kept = std::env::temp_dir().join(format!("facenet-gpu-mutant-{kind}-{number}"));
            std::fs::write(&kept, &bytes).unwrap();
            let how = if whole.is_err() { "a panic" } else { "too much" };
            panic!(
                "{kind} {number}, {size} bytes: {how}, {time:?}, {memory} bytes of memory; {} is it",
                kept.display()
            );
        }
        worst = (worst.0.max(time), worst.1.max(memory));
    }
    println!("{kind}: {mutants} mutants, at most {:?} and {} bytes of memory", worst.0, worst.1);
}

fn files(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| std::fs::read(file(name)).unwrap()).collect()
}

#[test]
fn mutants_of_pytorchs_files_do_no_harm() {
    hold(
        "zip",
        1,
        &files(&["zip.pt", "script.pt", "strided.pt", "big-endian.pt", "beside.pt", "tree.pt", "call-state.pt"]),
    );
    hold("legacy", 2, &files(&["legacy.pt", "beside-legacy.pt", "module-legacy.pt", "call-legacy.pt"]));
}

#[test]
fn mutants_of_torchs_files_do_no_harm() {
    hold("torch", 3, &files(&["openface.t7", "openface-2015.t7"]));
}

#[test]
fn mutants_of_safetensors_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.safetensors");
    let model = net::find("zf64").unwrap().model().unwrap();
    let metadata = Metadata::of(&model).unwrap();
    Weights { metadata, tensors: tests::expected() }.save(&path).unwrap();
    let own = std::fs::read(&path).unwrap();
    let info = [("format", "facenet-gpu-detector/1"), ("detector", "mtcnn")];
    let info = info.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let tensors = [("pnet/conv1/b".to_owned(), Floats { dims: &[2], data: &[1.0, 2.0] })];
    save(&path, &tensors.into(), &info.into()).unwrap();
    let detector = std::fs::read(&path).unwrap();
    let values = [0_u8; 24];
    let view = |shape: &[usize]| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), &values).unwrap()
    };
    let theirs = safetensors::serialize([("last_linear.weight", view(&[2, 3])), ("x", view(&[6]))], None).unwrap();
    hold("safetensors", 4, &[own, detector, theirs]);
}

/// A file of dlib's format: the layers of its network, with tensors of a few values.
fn dlib() -> Vec<u8> {
    fn ints(bytes: &mut Vec<u8>, all: &[u8]) {
        all.iter().for_each(|&n| bytes.extend([1, n]));
    }
    fn name(bytes: &mut Vec<u8>, name: &str) {
        ints(bytes, &[u8::try_from(name.len()).unwrap()]);
        bytes.extend(name.as_bytes());
    }
    fn tensor(bytes: &mut Vec<u8>, values: u8) {
        ints(bytes, &[2, values, 1, 1, 1]);
        bytes.extend([0; 4].repeat(values.into()));
    }
    let mut bytes = vec![1, 1];
    name(&mut bytes, "loss_metric_2");
    name(&mut bytes, "input_rgb_image_sized");
    for mean in [122.782_f32, 117.001, 104.298] {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is small and positive")]
        let mantissa = (mean * 1_048_576.0) as u32;
        bytes.extend([&[4][..], &mantissa.to_le_bytes(), &[0x81, 20]].concat());
    }
    bytes.extend([1, 150, 1, 150]);
    let blocks = (0..14).flat_map(|block| match [3, 7, 10, 13].contains(&block) {
        true => &["con", "affine", "relu", "con", "affine", "avg_pool", "add_prev", "relu"][..],
        false => &["con", "affine", "relu", "con", "affine", "add_prev", "relu"][..],
    });
    let stem = ["con", "affine", "relu", "max_pool"];
    for layer in stem.iter().chain(blocks).chain(&["avg_pool", "fc"]) {
        name(&mut bytes, &format!("{layer}_2"));
        match *layer {
            "con" => {
                tensor(&mut bytes, 5);
                ints(&mut bytes, &[1, 2, 2, 1, 1, 0, 0, 1, 1, 1, 2, 2]);
            }
            "affine" => tensor(&mut bytes, 2),
            "fc" => {
                ints(&mut bytes, &[2, 2]);
                tensor(&mut bytes, 4);
            }
            _ => {}
        }
    }
    for _ in 0..2 {
        ints(&mut bytes, &[2, 0, 0, 0, 0]);
    }
    bytes
}

#[test]
fn mutants_of_dlibs_files_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("whole.dat");
    std::fs::write(&path, dlib()).unwrap();
    // The whole file has all layers, though they are too small.
    let dict = StateDict::open(&path, None).unwrap();
    assert_eq!((dict.entries().count(), dict.values("con29.filters").unwrap().len()), (29 * 6 + 1, 4));
    hold("dlib", 5, &[dlib()]);
}

/// Pickles of the older format, and the pieces that hostile ones are made of.
mod bomb {
    pub(super) fn text(letter: u8, len: u16) -> Vec<u8> {
        [&[b'X'][..], &u32::from(len).to_le_bytes(), &vec![letter; len.into()]].concat()
    }

    /// A file with this data and one storage, `k`. Version and machine come before the data.
    pub(super) fn pickle(parts: &[&[u8]]) -> Vec<u8> {
        let begin = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02";
        let keys = b".\x80\x02]X\x01\0\0\0ka.\x01\0\0\0\0\0\0\0\0\0\0\0";
        [&begin[..], &parts.concat(), keys].concat()
    }

    /// A storage, in memory at 5; the function that makes tensors at 6; and a tensor at 16.
    pub(super) fn tensor(key_len: u16) -> Vec<u8> {
        let storage = b"ctorch\nFloatStorage\nq\x02X\x07\0\0\0storageq\x03";
        let tensor =
            b"q\x04(h\x03h\x02h\x04h\x04K\x01tQq\x05ctorch._utils\n_rebuild_tensor_v2\nq\x06(h\x05K\0))tRq\x10";
        [&storage[..], &text(b'k', key_len), tensor].concat()
    }

    /// Dicts, each with the one before under two long names, and a tensor in the first.
    pub(super) fn deep() -> Vec<u8> {
        let dict = b"}(h\x20h\x10h\x21h\x10uq\x10".repeat(40);
        [&tensor(1)[..], &text(b'a', 9000), b"q\x20", &text(b'b', 9000), b"q\x21", &dict].concat()
    }

    fn word(n: i32) -> [u8; 4] {
        n.to_le_bytes()
    }

    fn table(number: i32, pairs: &[Vec<u8>]) -> Vec<u8> {
        [&word(3)[..], &word(number), &word(i32::try_from(pairs.len()).unwrap()), &pairs.concat()].concat()
    }

    fn list(number: i32, count: u8, item: impl Fn(u8) -> Vec<u8>) -> Vec<u8> {
        let pair = |i: u8| [&word(1)[..], &f64::from(i).to_le_bytes(), &item(i)].concat();
        table(number, &(0..count).map(pair).collect::<Vec<_>>())
    }

    /// A container of Torch with this list of parts.
    fn container(number: i32, class: &str, parts: &[u8]) -> Vec<u8> {
        let text = |text: &str| [&word(i32::try_from(text.len()).unwrap())[..], text.as_bytes()].concat();
        let fields = table(number + 1, &[[&word(2)[..], &text("modules"), parts].concat()]);
        [&word(4)[..], &word(number), &text("V 1"), &text(class), &fields].concat()
    }

    /// A network of Torch whose modules hold a sequence 128 times, which holds itself as often.
    pub(super) fn torch() -> Vec<u8> {
        // What has a number already is referred to by it.
        let again = |kind, number| [word(kind), word(number)].concat();
        let sequence = container(1000, "nn.Sequential", &again(3, 900));
        let part = |i: u8| if i == 0 { sequence.clone() } else { again(4, 1000) };
        let parts = |i: u8| if i == 0 { list(900, 128, part) } else { again(3, 900) };
        let module = |i: u8| container(10 + 2 * i32::from(i), "nn.Inception", &parts(i));
        container(1, "nn.Sequential", &list(3, 7, module))
    }
}

#[test]
fn small_files_that_were_made_to_take_much_do_not_get_it() {
    use bomb::{pickle, tensor, text};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bomb");
    let many = |op: &[u8]| op.repeat(200_000);
    let name = [&text(b'm', 16_000)[..], b"q\x20", &text(b'n', 16_000), b"q\x21"].concat();
    let sizes = [&tensor(1)[..], b"(", &b"K\x01".repeat(60_000), b"tq\x11"].concat();
    let long = [&b"]("[..], &b")".repeat(60_000), b"eq\x01cbuiltins\ndict\nq\x02"].concat();
    let much = "holds far more than a state dict";
    for (name, said, bytes) in [
        ("names of two texts", "looks up what is no name", pickle(&[&name, &many(b"h\x20h\x21\x930")])),
        ("short names", much, pickle(&[&text(b'm', 500), b"q\x20", &many(b"h\x20h\x20\x930")])),
        ("names of storages", "refers to something that is no storage", pickle(&[&tensor(16_000)])),
        ("sizes", "has a tensor without sizes", pickle(&[&sizes, &many(b"h\x06(h\x05K\0h\x11h\x11tR0")])),
        ("names within names", "lacks the tensor last_linear.weight", pickle(&[&bomb::deep()])),
        ("a list that is called", much, pickle(&[&long, &many(b"h\x02h\x01\x85R0")])),
        ("marks", much, pickle(&[&b"(".repeat(5_000_000)])),
        ("memories", much, pickle(&[b"N", &b"\x94".repeat(5_000_000)])),
        ("layers in themselves", "lacks the tensor last_linear.weight", bomb::torch()),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let begin = Instant::now();
        let memory = measured(|| {
            let open = StateDict::open(&path, None);
            let text = open.and_then(|dict| read(&dict, Family::FacenetPytorch, &network)).unwrap_err().to_string();
            assert!(text.contains(said), "{name}: {text}");
        });
        let time = begin.elapsed();
        println!("{name}: {} bytes, {time:?}, {memory} bytes of memory", bytes.len());
        assert!(memory < (256 << 20) && time < LONGEST, "{name}: {} bytes, {time:?}, {memory}", bytes.len());
    }
}

#[test]
fn a_memory_with_a_high_number_takes_no_more_than_one_with_a_low_number() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("high");
    // The highest numbers that were ever accepted, and that the format has.
    for number in [(1u32 << 22) - 1, u32::MAX] {
        std::fs::write(&path, bomb::pickle(&[b"Nr", &number.to_le_bytes()])).unwrap();
        let memory = measured(|| assert!(StateDict::open(&path, None).is_err()));
        assert!(memory < 1 << 20, "{number}: {memory} bytes");
    }
}
