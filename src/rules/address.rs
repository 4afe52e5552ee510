//! The normal form of whom a call is from and to: SIP URIs (RFC 3261 §19.1), tel URIs (RFC 3966 §3, §4), bare numbers and
//! ACS raw identifiers become one text that rules compare. It never fails: what is no address stays as it is.

/// Longest address that is looked at, in bytes; the rest is cut off.
const MAX_ADDRESS: usize = 1_024;

/// The normal form. See the room's documentation.
///
/// - `tel:+44-20-7946-0000;ext=1`, `sip:+44.20@carrier;user=phone`, `4:+4420`, `+44 (20)` → digits with their `+`;
/// - `sip:020@carrier;user=phone`, `tel:7042;phone-context=x`, bare `7042` → the digits;
/// - any user `anonymous`, any host `anonymous.invalid` (RFC 3323 §4.1.1.3) → `anonymous`;
/// - `sips:Bob:pw@Example.COM:5061;x=y` → `sip:Bob@example.com`.
pub fn normalise(address: &str) -> String {
    let address = inside(cut(address).trim());
    let (scheme, rest) = match address.split_once(':') {
        Some((scheme, rest)) if ["sip", "sips", "tel"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
            (scheme.to_ascii_lowercase(), rest)
        }
        // ACS raw identifiers of phone numbers.
        Some(("4", rest)) => ("tel".to_owned(), rest),
        _ if address.contains('@') => ("sip".to_owned(), address),
        _ if address.eq_ignore_ascii_case("anonymous") => return "anonymous".to_owned(),
        _ => return number(address).unwrap_or_else(|| address.to_owned()),
    };
    if scheme == "tel" {
        let digits = rest.split(';').next().unwrap_or_default();
        return number(digits).unwrap_or_else(|| format!("tel:{digits}"));
    }

    // The user part may hold `;` and `?` (RFC 3261 §25.1) but no `@`, so the host begins after the first one.
    let (user, host) = match rest.split_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, rest),
    };
    let phone = host
        .split('?')
        .next()
        .unwrap_or_default()
        .split(';')
        .skip(1)
        .any(|parameter| parameter.trim().eq_ignore_ascii_case("user=phone"));
    let host = host_name(host);
    let Some(user) = user else { return format!("sip:{host}") };
    let user = unescape(user.split(':').next().unwrap_or_default());
    let name = user.split(';').next().unwrap_or_default();
    if host == "anonymous.invalid" || name.eq_ignore_ascii_case("anonymous") {
        return "anonymous".to_owned();
    }
    match number(name) {
        Some(digits) if phone || digits.starts_with('+') => digits,
        _ => format!("sip:{name}@{host}"),
    }
}

/// The beginning of a normal form: separators go from a number, scheme and host are in lower case. What cannot be told
/// from its beginning (`user=phone`, a password) is not looked at.
pub fn normalise_prefix(prefix: &str) -> String {
    let prefix = cut(prefix).trim();
    if let Some(digits) = number(prefix) {
        return digits;
    }
    match prefix.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tel") => number(rest).unwrap_or_else(|| rest.to_owned()),
        Some(("4", rest)) => number(rest).unwrap_or_else(|| rest.to_owned()),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") => {
            match rest.split_once('@') {
                Some((user, host)) => format!("sip:{user}@{}", host.to_ascii_lowercase()),
                None if rest.starts_with('+') => number(rest).unwrap_or_else(|| format!("sip:{rest}")),
                None => format!("sip:{rest}"),
            }
        }
        _ => prefix.to_owned(),
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_ADDRESS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The URI of `"Alice <x>" <sip:…>;tag=…`: what stands between the first `<` outside of quotes and its `>`.
fn inside(address: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in address.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => {
                let rest = address.get(at + 1..).unwrap_or_default();
                return rest.split('>').next().unwrap_or_default().trim();
            }
            _ => {}
        }
    }
    address
}

/// Host of `host:port;parameters?headers` in lower case, without a last dot.
fn host_name(text: &str) -> String {
    let text = text.split([';', '?']).next().unwrap_or_default().trim();
    let host = match text.find(']') {
        Some(end) if text.starts_with('[') => text.get(..=end).unwrap_or(text),
        _ => text.split(':').next().unwrap_or_default(),
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// A phone number without its visual separators (RFC 3966 §5.1.1); none: it is not one.
fn number(text: &str) -> Option<String> {
    let mut digits = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '+' if at == 0 => digits.push(c),
            '0'..='9' | '*' | '#' => digits.push(c),
            '-' | '.' | '(' | ')' | ' ' => {}
            _ => return None,
        }
    }
    digits.ends_with(|c: char| c != '+').then_some(digits)
}

/// Undoes `%2B` and the like for the characters of numbers and plain names; others keep their escape, so that no
/// escaped `@` or `;` changes where a part ends.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let code = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).map(char::from);
        match code {
            Some(c) if c.is_ascii_alphanumeric() || "+-._~*# ()".contains(c) => {
                plain.push(c);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                plain.push('%');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn numbers_lose_their_dress() {
        for text in [
            "+442079460000",
            "+44 (20) 7946-0000",
            "tel:+44-20-7946-0000",
            "TEL:+44.20.7946.0000;ext=7",
            "sip:+442079460000@carrier.example;user=phone",
            "sip:+442079460000@carrier.example",
            "sip:%2B442079460000@carrier.example",
            "sip:+442079460000;npdi;rn=+4420@carrier.example:5070;user=phone",
            "\"A <x>, B\" <sip:+44-20-7946-0000@10.0.0.1>;tag=1",
            "4:+442079460000",
        ] {
            assert_eq!(normalise(text), "+442079460000", "{text}");
        }
        assert_eq!(normalise("sip:02079460000@c.example;user=phone"), "02079460000");
        assert_eq!(normalise("tel:7042;phone-context=example.com"), "7042");
        assert_eq!(normalise("7042"), "7042");
        assert_eq!(normalise("*31#"), "*31#");
    }

    #[test]
    fn names_keep_their_case_and_hosts_do_not() {
        assert_eq!(normalise("sip:Bob@Example.COM"), "sip:Bob@example.com");
        assert_eq!(normalise("sips:Bob:secret@Example.com.:5061;transport=tls?X=y"), "sip:Bob@example.com");
        assert_eq!(normalise("sip:bob@h.example?Subject=a@b"), "sip:bob@h.example");
        assert_eq!(normalise("sip:7042@pbx"), "sip:7042@pbx");
        assert_eq!(normalise("bob@pbx"), "sip:bob@pbx");
        assert_eq!(normalise("sip:b@[2001:DB8::1]:5060;lr"), "sip:b@[2001:db8::1]");
        assert_eq!(normalise("sip:pbx.example:5070"), "sip:pbx.example");
        assert_eq!(normalise("<sip:a%40b@h>"), "sip:a%40b@h");
    }

    #[test]
    fn who_hides_is_anonymous() {
        for text in [
            "anonymous",
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1",
            "sip:Anonymous@carrier.example",
            "sip:x@anonymous.invalid",
        ] {
            assert_eq!(normalise(text), "anonymous", "{text}");
        }
    }

    #[test]
    fn prefixes_are_dressed_down_too() {
        assert_eq!(normalise_prefix("+44 (0)"), "+440");
        assert_eq!(normalise_prefix("tel:+44"), "+44");
        assert_eq!(normalise_prefix("sip:+44"), "+44");
        assert_eq!(normalise_prefix("sips:Bob@EX"), "sip:Bob@ex");
        assert_eq!(normalise_prefix("sip:"), "sip:");
        assert_eq!(normalise_prefix("anon"), "anon");
    }

    #[test]
    fn no_text_breaks_it_and_numbers_and_names_are_stable() {
        let mut random = Random::from_number(4);
        let alphabet: Vec<char> = "sipstel:+4@<>\"\\;?%2B[]. ()-é\0anonymous".chars().collect();
        for _ in 0..20_000 {
            let text: String =
                (0..random.below(40)).map(|_| alphabet[random.below(alphabet.len() as u64) as usize]).collect();
            normalise_prefix(&text);
            let once = normalise(&text);
            if number(&once).is_some() {
                assert_eq!(normalise(&once), once, "{text:?}");
            }
        }
        normalise(&"é".repeat(10_000));
    }
}
