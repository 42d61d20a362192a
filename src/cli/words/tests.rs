use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;

use super::*;

#[test]
fn settings_become_flags_and_other_words_in_backticks_stay() {
    for (text, expected) in [
        ("a lower `learning_rate` than 1", "a lower --learning-rate than 1"),
        ("(`people`), `images`, `offline.every`", "(-P), -K, --offline-every"),
        ("`network` and `augment.no_flip` and `device` gpu", "--net and --no-flip and --device gpu"),
        ("one `` ` `torch.save` ``, `seed`", "one `` ` `torch.save` ``, --seed"),
        ("an open ` and `seed`", "an open ` and --seed"),
        ("/data/x`people`y/`seed`/1.jpg", "/data/x`people`y/`seed`/1.jpg"),
        ("nothing", "nothing"),
    ] {
        assert_eq!(with_flags(text), expected);
    }
}

#[test]
fn what_steers_a_terminal_is_written_out() {
    assert_eq!(printable("é 人 \u{1b}[2J\u{7}\r\u{202e}\n", false), "é 人 \\u{1b}[2J\\u{7}\\r\\u{202e}\\n");
    assert_eq!(printable("kernel:\n  line", true), "kernel:\n  line");
}

/// The verbs share one table of flags, so one name must be one flag.
#[test]
fn a_name_is_the_same_flag_in_every_verb() {
    let program = Cli::command();
    let flags = |verb: &Command| -> Vec<(String, String)> {
        let named =
            verb.get_arguments().filter_map(|arg| Some((arg.get_id().to_string(), arg.get_long()?.to_string())));
        named.collect()
    };
    let mut seen = BTreeMap::new();
    for (name, flag) in verbs(&program).into_iter().flat_map(flags) {
        assert_eq!(seen.entry(name.clone()).or_insert_with(|| flag.clone()), &flag, "{name}");
    }
    assert_eq!(seen["people"], "people");
}

/// Every source file of the library.
fn library() -> Vec<PathBuf> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut open) = (Vec::new(), vec![src.clone()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path != src.join("cli") {
                open.push(path);
            } else if path.extension().is_some_and(|x| x == "rs") && path != src.join("main.rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The string literals of Rust source, with their lines; comments and characters are passed over.
fn strings(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let bytes = code.as_bytes();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        match bytes[at] {
            b'\n' => line += 1,
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                while bytes.get(at + 1).is_some_and(|&b| b != b'\n') {
                    at += 1;
                }
            }
            // A quote as a character.
            b'\'' if code[at..].starts_with("'\"'") => at += 2,
            b'\'' if code[at..].starts_with("'\\\"'") => at += 3,
            b'"' => {
                let begin = (line, at + 1);
                at += 1;
                while bytes[at] != b'"' {
                    line += usize::from(bytes[at] == b'\n');
                    at += if bytes[at] == b'\\' && bytes[at + 1] != b'\n' { 2 } else { 1 };
                }
                found.push((begin.0, code[begin.1..at].to_string()));
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// A flag in a text, as in `--seed`, `(-P)` or ` -K`.
fn flag(text: &str) -> Option<&str> {
    text.split([' ', '(', '"', '\n']).find(|word| {
        let name = word.trim_start_matches('-');
        let begins = |f: fn(&u8) -> bool| name.as_bytes().first().is_some_and(f);
        match word.len() - name.len() {
            2 => begins(u8::is_ascii_lowercase),
            1 => begins(u8::is_ascii_uppercase) && !name[1..].starts_with(|c: char| c.is_alphanumeric()),
            _ => false,
        }
    })
}

#[test]
fn the_library_names_settings_and_never_flags() {
    assert_eq!(strings("let a = \"x\\\"y\"; // \"no\"\nf('\"', \"z\")"), [(1, "x\\\"y".into()), (2, "z".into())]);
    assert_eq!(
        [flag("give --seed 1"), flag("(-P)"), flag("a - b -1 --"), flag("x-y")],
        [Some("--seed"), Some("-P)"), None, None]
    );
    let mut failures = Vec::new();
    let mut named = 0;
    for path in library() {
        for (line, text) in strings(&fs::read_to_string(&path).unwrap()) {
            let place = || format!("{}:{line}", path.display());
            if let Some(flag) = flag(&text) {
                failures.push(format!("{} names the flag {flag}: \"{text}\"", place()));
            }
            for name in text.split('`').skip(1).step_by(2) {
                named += 1;
                if !FLAGS.contains_key(name) && !name.starts_with("facenet-gpu ") {
                    failures.push(format!(
                        "{} sets `{name}` in backticks, which is neither a setting nor a command: \"{text}\"",
                        place()
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert!(named > 10, "only {named} settings were found");
}
