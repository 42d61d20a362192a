//! The library's words for the program's user: it names settings as fields of [`Config`](crate::train::Config), in
//! backticks; here they become flags.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use clap::CommandFactory;

use super::Cli;

/// Flags by what the library calls them: the names of clap's arguments, which are those of the fields.
static FLAGS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let program = Cli::command();
    let flags = program.get_subcommands().flat_map(|verb| verb.get_arguments()).filter_map(|arg| {
        let short = arg.get_short().map(|short| format!("-{short}"));
        let flag = short.or_else(|| arg.get_long().map(|long| format!("--{long}")))?;
        Some((arg.get_id().to_string(), flag))
    });
    flags.collect()
});

/// `text` with every setting in backticks as its flag. Backticks inside a word are a name's own.
pub(super) fn with_flags(text: &str) -> Cow<'_, str> {
    if !text.contains('`') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('`') {
        out.push_str(before);
        let begins = !out.ends_with(|c: char| c.is_alphanumeric() || "/\\.-_".contains(c));
        let ends = |behind: &&str| !behind.starts_with(|c: char| c.is_alphanumeric() || "/\\-_".contains(c));
        let found = after.split_once('`').filter(|(_, behind)| begins && ends(behind));
        match found.and_then(|(name, behind)| Some((FLAGS.get(name)?, behind))) {
            Some((flag, behind)) => {
                out.push_str(flag);
                rest = behind;
            }
            None => {
                out.push('`');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out.into()
}

/// `text` with what could steer a terminal or forge another line written out: names in files are not ours. Ends of lines
/// stay if they are `ours`.
pub(super) fn printable(text: &str, ours: bool) -> String {
    let steers = |c: char| {
        let turns_direction = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c.is_control() && !(ours && c == '\n') || turns_direction
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests;
