//! Text that stays on one line: what may be put into a header, a log or a table without beginning a line of its own
//! there. SIP knows CR and LF (RFC 3261 §25.1), people's readers know more line ends.

use std::borrow::Cow;

/// Is there nothing in it that could end a line, or steer whoever shows it: no control characters (C0, DEL, C1), no
/// Unicode line or paragraph separators?
pub fn is_one_line(text: &str) -> bool {
    !text.chars().any(breaks)
}

/// The text with such characters written as escapes of JSON and Rust: `\r`, `\n`, `\u{…}` as `\u0000`.
pub fn as_one_line(text: &str) -> Cow<'_, str> {
    if is_one_line(text) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\r' => line.push_str("\\r"),
            '\n' => line.push_str("\\n"),
            // None of them is beyond four digits.
            c if breaks(c) => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.into()
}

fn breaks(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_ends_a_line_is_seen_and_escaped() {
        for hostile in
            ["\r", "\n", "\r\n", "\0", "\t", "\u{b}", "\u{1b}[2J", "\u{7f}", "\u{85}", "\u{2028}", "\u{2029}"]
        {
            let text = format!("a{hostile}b");
            assert!(!is_one_line(&text), "{text:?}");
            let line = as_one_line(&text);
            assert!(is_one_line(&line) && line.starts_with("a\\") && line.ends_with('b'), "{line:?}");
        }
        for plain in ["", "Ä b", "日本 \u{1f600}", "a\\nb"] {
            assert!(is_one_line(plain) && matches!(as_one_line(plain), Cow::Borrowed(text) if text == plain));
        }
        assert_eq!(as_one_line("a\r\nb\u{2028}\0"), "a\\r\\nb\\u2028\\u0000");
    }
}
