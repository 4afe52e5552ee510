//! Keys taken out of a message before anybody sees it: `a=crypto` (RFC 4568), `a=key-mgmt` (RFC 4567) and `k=`
//! (RFC 4566 §5.12). Whole messages go in, for the lines are looked for wherever they stand: in a body, in one part of
//! several, in a message that is not well-formed.

/// What stands in the place of a key.
const BLANKED: &[u8] = b"(blanked)";

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
        let end = line.trim_ascii_end().len().max(at);
        let (shown, rest) = line.split_at(at);
        out.extend_from_slice(shown);
        out.extend_from_slice(BLANKED);
        out.extend_from_slice(rest.get(end - at..).unwrap_or_default());
    }
    Some(out)
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
            const INLINE: &[u8] = b"inline:";
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
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:(blanked)",
            ),
            ("a=CRYPTO:1 X INLINE:SECRET;inline:SECRET2 KDR=1", "a=CRYPTO:1 X INLINE:(blanked)"),
            ("a = crypto:1 X SECRET", "a = crypto:(blanked)"),
            (" A=crypto:2 SECRET", " A=crypto:(blanked)"),
            ("a=key-mgmt:mikey SECRET", "a=key-mgmt:(blanked)"),
            ("k=clear:SECRET", "k=(blanked)"),
            ("k=prompt", "k=(blanked)"),
        ] {
            for end in ["\r\n", "\n", ""] {
                let text = format!("INVITE x SIP/2.0\r\nSubject: k\r\n\r\nv=0\r\na=ptime:20{end}\n{line}{end}");
                let blanked = String::from_utf8(without_keys(text.as_bytes()).unwrap()).unwrap();
                assert_eq!(blanked, text.replace(line, shown));
                assert!(!blanked.contains("SECRET"));
            }
        }
        for harmless in ["a=crypto", "a=rtpmap:0 PCMU/8000", "kind of", "", "a", "a=", "Call-ID: a=crypto:1 x inline:y"]
        {
            assert_eq!(without_keys(harmless.as_bytes()), None, "{harmless}");
        }
    }
}
