//! The small lexical rules of RFC 3261 §25.1 that several headers share: tokens, quoted strings, comma lists that
//! respect quotes and angle brackets, percent escapes. Works on bytes; knows no header.

use std::borrow::Cow;

/// `token` characters.
pub fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

/// Is it a token (not empty)?
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_token_byte(b))
}

/// White space within a line, once unfolded.
pub fn is_space(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// Without the white space around it.
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        if !is_space(*first) {
            break;
        }
        bytes = rest;
    }
    while let [rest @ .., last] = bytes {
        if !is_space(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Text for people and for typed values: UTF-8, or else Latin-1.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&b| char::from(b)).collect()),
    }
}

/// Splits at the first `separator` that is neither in quotes nor in angle brackets.
/// `Err` where a quote or bracket is not closed.
pub fn split_once(bytes: &[u8], separator: u8) -> Result<(&[u8], Option<&[u8]>), &'static str> {
    let mut quoted = false;
    let mut angle = false;
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        if quoted {
            match b {
                b'\\' => at += 1,
                b'"' => quoted = false,
                _ => {}
            }
        } else {
            match b {
                b'"' => quoted = true,
                b'<' if angle => return Err("'<' within '<'"),
                b'<' => angle = true,
                b'>' => angle = false,
                _ if b == separator && !angle => {
                    let rest = bytes.get(at + 1..).unwrap_or_default();
                    return Ok((bytes.get(..at).unwrap_or_default(), Some(rest)));
                }
                _ => {}
            }
        }
        at += 1;
    }
    if quoted {
        return Err("a quote is not closed");
    }
    if angle {
        return Err("'<' is not closed");
    }
    Ok((bytes, None))
}

/// Splits at every `separator` outside quotes and angle brackets; parts are trimmed.
pub fn split_all(bytes: &[u8], separator: u8) -> Result<Vec<&[u8]>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    loop {
        let (part, more) = split_once(rest, separator)?;
        parts.push(trim(part));
        match more {
            Some(more) => rest = more,
            None => return Ok(parts),
        }
    }
}

/// Takes a quoted string off the front: its meaning (escapes resolved) and what follows the closing quote.
pub fn quoted_string(bytes: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    let Some((b'"', mut rest)) = bytes.split_first() else { return Err("a quoted string was expected") };
    let mut value = Vec::new();
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        match b {
            b'"' => return Ok((value, rest)),
            b'\\' => match rest.split_first() {
                Some((&escaped, after)) => {
                    value.push(escaped);
                    rest = after;
                }
                None => return Err("a quote is not closed"),
            },
            _ => value.push(b),
        }
    }
    Err("a quote is not closed")
}

/// Writes text as a quoted string; line ends become spaces, other control characters are escaped.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\r' | '\n' => out.push(' '),
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_ascii_control() && c != '\t' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A decimal number of digits only, no sign, no space; `None` where it does not fit.
pub fn number<N: std::str::FromStr>(bytes: &[u8]) -> Option<N> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Are all `%` followed by two hexadecimal digits?
pub fn escapes_are_whole(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        if b == b'%' {
            match rest {
                [a, b, after @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest = after,
                _ => return false,
            }
        }
    }
    true
}

/// Resolves percent escapes; a `%` that starts none stays.
pub fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        if b == b'%'
            && let [a, c, after @ ..] = rest
            && let (Some(high), Some(low)) = (char::from(*a).to_digit(16), char::from(*c).to_digit(16))
        {
            out.push((high * 16 + low) as u8);
            rest = after;
        } else {
            out.push(b);
        }
    }
    out
}

/// Escapes every byte that `plain` does not let through.
pub fn escape(bytes: &[u8], plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &b in bytes {
        if b.is_ascii() && plain(b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// RFC 2396 `unreserved`.
pub fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
}
