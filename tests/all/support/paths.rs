//! Every path in a Rust file, read from its tokens: grouped imports are taken apart, comments and strings are not code.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The paths of `code`, the text of the module `module` (its names from the crate's root): one for every leaf of a
/// `use`, and one for every path elsewhere, bodies of macros included. Those that begin with `self` or `super` are told
/// from the root, with `crate` before them.
pub fn paths(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let tokens = code.parse().unwrap_or_else(|e| panic!("{}: {e}", module.join("::")));
    let mut reader = Reader { module: module.to_vec(), found: Vec::new() };
    reader.read(tokens);
    reader.found
}

/// Keywords that may stand right before a path that begins with two colons.
const BEFORE_PATHS: [&str; 14] =
    ["as", "break", "dyn", "else", "for", "if", "impl", "in", "match", "mut", "return", "unsafe", "use", "while"];

struct Reader {
    module: Vec<String>,
    found: Vec<Vec<String>>,
}

impl Reader {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at..] {
                [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body), ..] if word == "mod" => {
                    self.module.push(name.to_string());
                    self.read(body.stream());
                    self.module.pop();
                    at += 3;
                }
                [TokenTree::Ident(word), ..] if BEFORE_PATHS.iter().any(|keyword| word == keyword) => at += 1,
                [TokenTree::Ident(_), ..] => at += self.path(&tokens[at..], &[]),
                [TokenTree::Group(group), ..] => {
                    self.read(group.stream());
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    /// Reads the path with which `tokens` begin, behind `prefix`; gives the number of its tokens.
    fn path(&mut self, tokens: &[TokenTree], prefix: &[String]) -> usize {
        let mut path = prefix.to_vec();
        let mut at = 0;
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(name)) => path.push(name.to_string()),
                Some(TokenTree::Punct(star)) if star.as_char() == '*' && at > 0 => path.push("*".into()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace && at > 0 => {
                    self.group(group.stream(), &path);
                    return at + 1;
                }
                // Two colons before something else: the arguments of a type, which are read as what follows.
                _ => break,
            }
            at += 1;
            if !is_separator(&tokens[at..]) {
                break;
            }
            at += 2;
        }
        let path = self.absolute(path);
        self.found.push(path);
        at
    }

    /// The paths of a group, `{a, b::{c, d as e}}`, behind `prefix`.
    fn group(&mut self, tokens: TokenStream, prefix: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for element in tokens.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',')) {
            let path = if is_separator(element) { &element[2..] } else { element };
            match path {
                [] => {}
                [TokenTree::Group(inner), ..] => self.group(inner.stream(), prefix),
                [TokenTree::Punct(_), ..] => {
                    let path = self.absolute([prefix, &["*".into()]].concat());
                    self.found.push(path);
                }
                _ => {
                    self.path(path, prefix);
                }
            }
        }
    }

    fn absolute(&self, path: Vec<String>) -> Vec<String> {
        let up = path.iter().take_while(|name| *name == "super" || *name == "self").count();
        if up == 0 {
            return path;
        }
        let supers = path[..up].iter().filter(|name| *name == "super").count();
        let above = &self.module[..self.module.len().saturating_sub(supers)];
        [&["crate".to_string()], above, &path[up..]].concat()
    }
}

fn is_separator(tokens: &[TokenTree]) -> bool {
    let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(colon) if colon.as_char() == ':');
    tokens.len() >= 2 && tokens[..2].iter().all(is_colon)
}

/// The paths of `code` in the module `train::step` that begin with `crate`, without it.
fn of_crate(code: &str) -> Vec<String> {
    let module = ["train".to_string(), "step".into()];
    paths(code, &module).iter().filter(|p| p[0] == "crate").map(|p| p[1..].join("::")).collect()
}

#[test]
fn grouped_imports_are_taken_apart_over_lines_and_levels() {
    let code =
        "use crate::{\n  Error, gpu::{self, Gpu as Card}, // train::no\n  train::{step::*, config::{Config}},\n};";
    let expected = ["Error", "gpu::self", "gpu::Gpu", "train::step::*", "train::config::Config"];
    assert_eq!(of_crate(code), expected);
    assert_eq!(of_crate("use {std::fs, crate::{cli::Cli}};\nuse crate::op;"), ["cli::Cli", "op"]);
    assert_eq!(paths("use ::{wgpu::Device}; use ::wgpu::Queue;", &[]), [["wgpu", "Device"], ["wgpu", "Queue"]]);
    assert_eq!(of_crate("use crate::*; use crate::{*};"), ["*", "*"]);
    assert_eq!(of_crate("pub(crate) use crate::net as networks; pub(in crate::data) fn f() {}"), ["", "net", "data"]);
}

#[test]
fn paths_in_code_are_found_where_they_stand() {
    let code =
        "fn f(x: Vec<crate::a::B>) { let y = vec![crate::c::D::<crate::e::F>::new(\"crate::g\")]; /* crate::h */ }";
    assert_eq!(of_crate(code), ["a::B", "c::D", "e::F"]);
    assert_eq!(of_crate("macro_rules! m { () => { $crate::plan::kernel() } }"), ["plan::kernel"]);
    assert_eq!(of_crate("/// See [`crate::cli`].\nstruct S;"), [""; 0]);
}

#[test]
fn relative_paths_are_told_from_the_root() {
    assert_eq!(
        of_crate("use super::{Config, super::cli}; use self::a::B;"),
        ["train::Config", "cli", "train::step::a::B"]
    );
    assert_eq!(
        of_crate("mod tests { use super::*; use super::super::run::{train}; }"),
        ["train::step::*", "train::run::train"]
    );
}
