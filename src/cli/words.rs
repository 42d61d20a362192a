//! The library's words for the program's user: it names settings as fields of [`Config`](crate::train::Config), in
//! backticks; here they become flags.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use clap::CommandFactory;

use super::Cli;
use crate::text;

/// Flags by what the library calls them: the names of clap's arguments, which are those of the fields.
static FLAGS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let program = Cli::command();
    let flags = verbs(&program).into_iter().flat_map(clap::Command::get_arguments).filter_map(|arg| {
        let short = arg.get_short().map(|short| format!("-{short}"));
        let flag = short.or_else(|| arg.get_long().map(|long| format!("--{long}")))?;
        Some((arg.get_id().to_string(), flag))
    });
    flags.collect()
});

/// All verbs, those below others, too.
fn verbs(program: &clap::Command) -> Vec<&clap::Command> {
    program.get_subcommands().flat_map(|verb| [vec![verb], verbs(verb)].concat()).collect()
}

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

/// `text` as [`text::printable`] makes it: names in files are not ours. Ends of lines stay if they are `ours`.
pub(super) fn printable(text: &str, ours: bool) -> Cow<'_, str> {
    match ours {
        true => text.split('\n').map(text::printable).collect::<Vec<_>>().join("\n").into(),
        false => text::printable(text),
    }
}

#[cfg(test)]
mod tests;
