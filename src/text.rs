//! Text that comes from files, as messages show it: names of tensors and networks, what decoders quote, counts.

use std::borrow::Cow;

/// Most names that a message lists.
const NAMED: usize = 3;
/// Most characters of a name from a file that a message shows.
const SHOWN: usize = 200;

/// Whether a terminal obeys a character, or hides or moves others because of it, instead of showing it.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The text with control characters, line ends and changes of the writing direction escaped, so that a file cannot
/// control the terminal: `\u{1b}` for ESC, `\n` for a new line.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if is_hidden(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// A name from a file: [`printable`], and cut where it is longer than a message should be.
pub(crate) fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", printable(&name[..end])),
        None => printable(name).into_owned(),
    }
}

/// Names from a file as [`shown`]: `a, b, c and 1,997 more`.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let first: Vec<String> = names.iter().take(NAMED).map(|name| shown(name.as_ref())).collect();
    let first = first.join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {} more", count(more as u64)),
    }
}

/// The first digits of a digest such as `sha256:12ab...`, enough to tell some apart.
#[cfg(feature = "gallery")]
pub(crate) fn beginning(digest: &str) -> &str {
    let digits = digest.rsplit(':').next().unwrap_or(digest);
    digits.get(..12).unwrap_or(digits)
}

/// A count with thousands separated: `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of things: `1 epoch`, `2,000 epochs`.
pub(crate) fn counted(n: usize, what: &str) -> String {
    format!("{} {what}{}", count(n as u64), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_all_else_is_kept() {
        for plain in ["conv1/w", "Zoë Müller", "李娜", "a \\ b", "क्‍ष"] {
            assert!(matches!(printable(plain), Cow::Borrowed(text) if text == plain), "{plain}");
        }
        let hostile = "a\u{1b}[2K\r\n\t\u{7f}\u{9b}31m\u{202e}b\u{2066}\u{2028}";
        let text = printable(hostile);
        assert_eq!(text, "a\\u{1b}[2K\\r\\n\\t\\u{7f}\\u{9b}31m\\u{202e}b\\u{2066}\\u{2028}");
        assert!(!text.contains(is_hidden));
    }

    #[test]
    fn three_names_are_listed_and_none_is_long() {
        assert_eq!(listed(&["a", "b\n", "c"]), "a, b\\n, c");
        let many: Vec<String> = (0..2000).map(|i| format!("n{i}")).collect();
        assert_eq!(listed(&many), "n0, n1, n2 and 1,997 more");
        let long = "é".repeat(20_000);
        assert_eq!(listed(&[long]), format!("{}...", "é".repeat(200)));
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!([count(7), count(1234), count(1_234_567)], ["7", "1,234", "1,234,567"]);
        assert_eq!([0, 1, 2000].map(|n| counted(n, "step")), ["0 steps", "1 step", "2,000 steps"]);
    }
}
