//! Keys taken out of a message before anybody sees it: `a=crypto` (RFC 4568), `a=key-mgmt` (RFC 4567) and `k=`
//! (RFC 4566 §5.12). Whole messages go in, for the lines are looked for wherever they stand: in a body, in one part of
//! several, in a message that is not well-formed.
//!
//! What stands in a key's place is as long as the key and is written as a key is: other programs still read the message,
//! and its Content-Length holds.

/// What stands in the place of each character of a key: base64's zero.
const BLANK: u8 = b'A';

const INLINE: &[u8] = b"inline:";

/// The message without keys; none: there are none in it.
pub fn without_keys(message: &[u8]) -> Option<Vec<u8>> {
    let lines = || message.split_inclusive(|b| matches!(b, b'\n' | b'\r'));
    if !lines().any(|line| secret(line).is_some()) {
        return None;
    }
    let mut out = Vec::with_capacity(message.len());
    for line in lines() {
        let Some(at) = secret(line) else {
            out.extend_from_slice(line);
            continue;
        };
        let (shown, rest) = line.split_at(at);
        out.extend_from_slice(shown);
        let inline = shown.len().checked_sub(INLINE.len()).and_then(|from| shown.get(from..));
        let keys = match inline {
            Some(word) if word.eq_ignore_ascii_case(INLINE) => rest.iter().position(u8::is_ascii_whitespace),
            _ => Some(0),
        };
        let (keys, rest) = rest.split_at(keys.unwrap_or(rest.len()));
        blank_keys(keys, &mut out);
        out.extend(rest.iter().map(|b| if b.is_ascii_whitespace() { *b } else { BLANK }));
    }
    Some(out)
}

/// The key parameters of `a=crypto` (RFC 4568 §9.2): lifetimes and MKIs are shown.
fn blank_keys(keys: &[u8], out: &mut Vec<u8>) {
    for (number, key) in keys.split(|b| *b == b';').enumerate() {
        if number > 0 {
            out.push(b';');
        }
        let method = key.get(..INLINE.len()).filter(|word| word.eq_ignore_ascii_case(INLINE)).unwrap_or_default();
        out.extend_from_slice(method);
        for (number, part) in key.get(method.len()..).unwrap_or_default().split(|b| *b == b'|').enumerate() {
            if number > 0 {
                out.push(b'|');
                if part.iter().all(|b| b.is_ascii_digit() || matches!(b, b'^' | b':')) {
                    out.extend_from_slice(part);
                    continue;
                }
            }
            let padding = part.iter().rev().take(2).take_while(|b| **b == b'=').count();
            out.resize(out.len() + part.len() - padding, BLANK);
            out.resize(out.len() + padding, b'=');
        }
    }
}

/// Where in this line the secret begins. Of `a=crypto` tag and suite are shown.
fn secret(line: &[u8]) -> Option<usize> {
    let start = line.iter().position(|b| !b.is_ascii_whitespace())?;
    let text = line.get(start..)?;
    let (kind, rest) = text.split_first()?;
    let equals = rest.iter().position(|b| !b.is_ascii_whitespace())?;
    let value = rest.get(equals..)?.strip_prefix(b"=")?;
    let value_at = line.len() - value.len();
    match kind.to_ascii_lowercase() {
        b'k' => Some(value_at),
        b'a' => {
            let name = value.trim_ascii_start();
            let is = |wanted: &[u8]| name.get(..wanted.len()).is_some_and(|n| n.eq_ignore_ascii_case(wanted));
            if !is(b"crypto") && !is(b"key-mgmt") {
                return None;
            }
            let inline = value.windows(INLINE.len()).position(|w| w.eq_ignore_ascii_case(INLINE));
            let colon = value.iter().position(|b| *b == b':').map(|at| at + 1);
            let begin = inline.map(|at| at + INLINE.len()).or(colon).unwrap_or(value.len());
            (begin < value.trim_ascii_end().len()).then_some(value_at + begin)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_left_and_everything_else_is() {
        for (line, shown) in [
            (
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET|2^20|1:4",
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAA|2^20|1:4",
            ),
            ("a=crypto:1 X inline:U0VD/UkVU+A==|1:SECRET", "a=crypto:1 X inline:AAAAAAAAAAA==|AAAAAAAA"),
            ("a=CRYPTO:1 X INLINE:SECRET;inline:SECRET2 KDR=1", "a=CRYPTO:1 X INLINE:AAAAAA;inline:AAAAAAA AAAAA"),
            ("a = crypto:1 X SECRET", "a = crypto:A A AAAAAA"),
            (" A=crypto:2 SECRET", " A=crypto:A AAAAAA"),
            ("a=key-mgmt:mikey SECRET", "a=key-mgmt:AAAAA AAAAAA"),
            ("k=clear:SECRET", "k=AAAAAAAAAAAA"),
            ("k=prompt", "k=AAAAAA"),
        ] {
            for end in ["\r\n", "\n", ""] {
                let text = format!("INVITE x SIP/2.0\r\nSubject: k\r\n\r\nv=0\r\na=ptime:20{end}\n{line}{end}");
                let blanked = String::from_utf8(without_keys(text.as_bytes()).unwrap()).unwrap();
                assert_eq!(blanked, text.replace(line, shown));
                assert!(!blanked.contains("SECRET"));
                assert_eq!(blanked.len(), text.len(), "Content-Length holds");
            }
        }
        for harmless in ["a=crypto", "a=rtpmap:0 PCMU/8000", "kind of", "", "a", "a=", "Call-ID: a=crypto:1 x inline:y"]
        {
            assert_eq!(without_keys(harmless.as_bytes()), None, "{harmless}");
        }
    }
}
