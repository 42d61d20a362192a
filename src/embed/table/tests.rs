//! Tests of tables: every format, cut off anywhere.

use std::fs;
use std::path::Path;

use super::*;
use crate::data::preprocess::{Normalise, Preprocess};
use crate::embed::Row;

const DIM: u32 = 3;
const FORMATS: [(Format, &str); 4] = [
    (Format::Csv, "t.csv"),
    (Format::Jsonl, "t.jsonl"),
    (Format::Npy, "t.npy"),
    (Format::Safetensors, "t.safetensors"),
];

fn about(rows: usize) -> About {
    About {
        network: "zf64".into(),
        model_id: "sha256:1".into(),
        dimensions: DIM,
        unit_length: true,
        preprocess: Preprocess { height: 8, width: 8, normalise: Normalise::Fixed, crop: None, alignment: None },
        inputs: "sha256:2".into(),
        rows,
        failed: 0,
        complete: false,
    }
}

/// Names with what CSV and JSON must quote; every third image fails.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("a \"b\", {i}\n.jpg")).collect()
}

fn rows(names: &[String]) -> Vec<Row<'_>> {
    let row = |(index, name)| {
        let x = 0.1 + index as f32 / 7.0;
        let outcome = if index % 3 == 1 { Err("is \"empty\", so".to_string()) } else { Ok(vec![x, -x, 1e-9 * x]) };
        Row { index, path: Path::new(name), outcome }
    };
    names.iter().enumerate().map(row).collect()
}

#[test]
fn every_format_gives_back_names_numbers_to_the_bit_and_reasons() {
    for (format, name) in FORMATS {
        let dir = tempfile::tempdir().unwrap();
        let (path, names) = (dir.path().join(name), names(5));
        let all = rows(&names);
        let mut writer = TableWriter::open(&path, format, about(5), false).unwrap();
        writer.add(&all[..2]).unwrap();
        assert!(!path.exists() && EmbeddingTable::read(&path).unwrap_err().to_string().contains("is not complete"));
        writer.add(&all[2..]).unwrap();
        assert_eq!(writer.failed().unwrap(), 2);
        writer.finish(2).unwrap();
        let table = EmbeddingTable::read(&path).unwrap();
        let good: Vec<&Row<'_>> = all.iter().filter(|row| row.outcome.is_ok()).collect();
        assert_eq!(table.embeddings.len(), good.len(), "{format:?}");
        for (i, row) in good.iter().enumerate() {
            assert_eq!(table.embeddings.id(i), row.path.to_str().unwrap());
            assert_eq!(table.embeddings.row(i), row.outcome.as_deref().unwrap());
        }
        assert_eq!(table.failed[1], (names[4].clone(), "is \"empty\", so".to_string()));
        assert_eq!(table.about, Some(About { failed: 2, complete: true, ..about(5) }));
        let text = TableWriter::open(&path, format, about(5), false).unwrap_err().to_string();
        assert!(text.contains("exists already") && text.contains("`overwrite`"), "{text}");
    }
}

#[test]
fn two_programs_never_write_one_table_and_an_old_one_stays_until_the_new_one_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let (path, names) = (dir.path().join("t.npy"), names(5));
    let all = rows(&names);
    let mut first = TableWriter::open(&path, Format::Npy, about(5), false).unwrap();
    first.add(&all).unwrap();
    let text = TableWriter::open(&path, Format::Npy, about(5), true).unwrap_err().to_string();
    assert!(text.contains("another program is writing"), "{text}");
    first.finish(2).unwrap();
    let old = EmbeddingTable::read(&path).unwrap();
    let mut second = TableWriter::open(&path, Format::Npy, about(4), true).unwrap();
    second.add(&all[..1]).unwrap();
    assert_eq!(EmbeddingTable::read(&path).unwrap(), old);
    assert!(second.finish(0).unwrap_err().to_string().contains("1 of 4 rows"));
    assert_eq!(EmbeddingTable::read(&path).unwrap(), old);
}

#[test]
fn a_table_that_was_cut_off_anywhere_goes_on_to_the_bytes_of_a_whole_one() {
    for (format, name) in FORMATS {
        let dir = tempfile::tempdir().unwrap();
        let (path, names) = (dir.path().join(name), names(6));
        let (all, part, list) = (rows(&names), beside(&path, ".part"), beside(&path, ".rows.csv.part"));
        let mut writer = TableWriter::open(&path, format, about(6), false).unwrap();
        writer.add(&all).unwrap();
        drop(writer);
        let (whole, whole_list) = (fs::read(&part).unwrap(), fs::read(&list).ok());
        let cuts = whole_list.as_ref().map_or(1, |list| list.len());
        for cut in 0..whole.len() {
            fs::write(&part, &whole[..cut]).unwrap();
            if let Some(text) = &whole_list {
                fs::write(&list, &text[..(cut * 31) % (cuts + 1)]).unwrap();
            }
            let mut writer = TableWriter::open(&path, format, about(6), false).unwrap();
            let from = writer.rows();
            writer.add(&all[from..]).unwrap();
            assert!(fs::read(&part).unwrap() == whole && fs::read(&list).ok() == whole_list, "{format:?}, {cut} bytes");
        }
        fs::write(&part, &whole).unwrap();
        if let Some(text) = &whole_list {
            fs::write(&list, text).unwrap();
        }
        assert_eq!(TableWriter::open(&path, format, about(6), false).unwrap().rows(), 6, "{format:?}");
        // Rows of other weights do not belong there.
        let other = About { model_id: "sha256:3".into(), ..about(6) };
        let text = TableWriter::open(&path, format, other.clone(), false).unwrap_err().to_string();
        assert!(text.contains("other weights"), "{text}");
        assert_eq!(TableWriter::open(&path, format, other, true).unwrap().rows(), 0);
    }
}

#[test]
fn tables_of_other_programs_are_read_and_what_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str, bytes: &[u8]| {
        fs::write(dir.path().join(name), bytes).unwrap();
        EmbeddingTable::read(&dir.path().join(name)).map_err(|e| e.to_string())
    };
    // numpy.save of [[1.5, 2], [3, 4]] as float64.
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }";
    let npy = |header: &str, data: &[f64]| {
        let data: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &data].concat()
    };
    let table = read("n.npy", &npy(header, &[1.5, 2.0, 3.0, 4.0])).unwrap();
    assert_eq!((table.embeddings.as_slice(), table.embeddings.id(1).as_ref()), (&[1.5, 2.0, 3.0, 4.0][..], "1"));
    assert_eq!(read("c.csv", b"file,d0,d1\nx,1,2\n").unwrap().embeddings.row(0), [1.0, 2.0]);
    assert_eq!(read("j.jsonl", b"{\"path\":\"x\",\"embedding\":[1,2]}\n").unwrap().embeddings.id(0), "x");
    for (name, bytes, said) in [
        ("a.npy", npy(header, &[1.0]), "is cut short"),
        ("b.npy", npy(&header.replace("False", "True"), &[1.0; 4]), "column by column"),
        ("c.npy", npy(&header.replace("(2, 2)", "(4,)"), &[1.0; 4]), "has the shape (4,)"),
        ("d.npy", npy(&header.replace("<f8", "<i8"), &[1.0; 4]), "values of type <i8"),
        ("e.npy", npy(header, &[f64::NAN; 4]), "holds no embedding without NaN"),
        ("f.npy", b"PK".to_vec(), "is no file of NumPy"),
        ("g.csv", b"path,x\na,1\n".to_vec(), "has no columns d0"),
        ("h.csv", b"path,d0\na,one\n".to_vec(), "line 2 holds something that is no number"),
        (
            "i.jsonl",
            b"{\"path\":\"x\",\"embedding\":[1]}\n{\"path\":\"y\",\"embedding\":[1,2]}\n".to_vec(),
            "row 2 has 2",
        ),
        ("k.safetensors", vec![9; 40], "is no safetensors file"),
        ("l.txt", Vec::new(), "names no table of embeddings"),
    ] {
        let text = read(name, &bytes).unwrap_err();
        assert!(text.contains(said), "{name}: {text}");
    }
}

#[test]
fn what_lies_beside_a_table_and_is_damaged_is_named_without_a_parsers_words() {
    let dir = tempfile::tempdir().unwrap();
    let (path, names) = (dir.path().join("t.npy"), names(5));
    let mut writer = TableWriter::open(&path, Format::Npy, about(5), false).unwrap();
    writer.add(&rows(&names)).unwrap();
    writer.finish(1).unwrap();
    for (file, text) in [("t.npy.json", "{\"network\": 1"), ("t.npy.rows.csv", "path,reason\na,b,c\n")] {
        let file = dir.path().join(file);
        let whole = fs::read(&file).unwrap();
        fs::write(&file, text).unwrap();
        let said = EmbeddingTable::read(&path).unwrap_err().to_string();
        assert!(
            said.starts_with(&format!("{} is damaged", file.display())) && said.ends_with("make the table again"),
            "{said}"
        );
        assert!(!["line", "column", "CSV", "expected"].iter().any(|word| said.contains(word)), "{said}");
        fs::write(&file, whole).unwrap();
    }
    EmbeddingTable::read(&path).unwrap();
}
