//! Where the audio of a play or a recognition comes from, parsed once from the string an application wrote.
//! Getting it is [`super::Prompts`]; nothing here touches a network or a disk.

use std::fmt;

use url::Url;

use super::PromptError;

/// The longest source string that is read, in bytes.
pub const MAX_SOURCE_LENGTH: usize = 8 * 1024;

/// The longest prompt name, in bytes.
pub const MAX_NAME_LENGTH: usize = 128;

/// The language whose shipped prompts are found without a prefix: `digits/1` is `en/digits/1`.
const DEFAULT_LANGUAGE: &str = "en/";

/// A play source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Fetched over http or https.
    File(Url),
    /// `prompt:name`: uploaded, or shipped with the engine.
    Named(Name),
}

impl Source {
    /// Reads `https://…`, `http://…` or `prompt:name`.
    pub fn parse(text: &str) -> Result<Self, PromptError> {
        let text = text.trim();
        let refuse = |problem: &str| PromptError::Source { given: shorten(text), problem: problem.to_owned() };
        if text.len() > MAX_SOURCE_LENGTH {
            return Err(refuse("it is longer than 8192 bytes"));
        }
        if let Some(name) = text.strip_prefix("prompt:") {
            return Ok(Source::Named(Name::parse(name)?));
        }
        let url = Url::parse(text).map_err(|e| refuse(&format!("it is not a URL ({e})")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse(&format!("{}: is not supported", url.scheme())));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(refuse("it names no host"));
        }
        Ok(Source::File(url))
    }
}

impl std::str::FromStr for Source {
    type Err = PromptError;
    fn from_str(text: &str) -> Result<Self, PromptError> {
        Source::parse(text)
    }
}

/// As people may see it: without a URL's user, password and query, which often hold secrets.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(url) => f.write_str(&shown(url)),
            Source::Named(name) => write!(f, "prompt:{name}"),
        }
    }
}

/// A URL without what may be secret in it.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    let query = if url.query().is_some() { "?…" } else { "" };
    shorten(&format!("{}://{}{port}{}{query}", url.scheme(), url.host_str().unwrap_or_default(), url.path()))
}

/// At most 200 characters of something that came from outside.
fn shorten(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The name of a prompt: segments of `a-z 0-9 _ -` with `/` between them, so that it is a safe relative path.
/// A leading `en/` is dropped: `en/welcome` and `welcome` are the same prompt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks a name; at most [`MAX_NAME_LENGTH`] bytes.
    pub fn parse(text: &str) -> Result<Self, PromptError> {
        let refuse = |problem: &str| PromptError::Name { given: shorten(text), problem: problem.to_owned() };
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        if text.len() > MAX_NAME_LENGTH {
            return Err(refuse("it is longer than 128 characters"));
        }
        for segment in text.split('/') {
            if segment.is_empty() {
                return Err(refuse("it has an empty part between or beside slashes"));
            }
            if !segment.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')) {
                return Err(refuse("only a-z, 0-9, '_', '-' and '/' are allowed"));
            }
        }
        Ok(Name(text.strip_prefix(DEFAULT_LANGUAGE).unwrap_or(text).to_owned()))
    }

    /// The canonical name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_urls_or_names() {
        assert!(matches!(Source::parse("https://example.com/a.wav"), Ok(Source::File(_))));
        assert!(matches!(Source::parse(" HTTP://example.com/a.wav "), Ok(Source::File(_))));
        assert_eq!(Source::parse("prompt:en/digits/1").unwrap(), Source::parse("prompt:digits/1").unwrap());
        for bad in [
            "",
            "a.wav",
            "file:///etc/passwd",
            "ftp://h/a",
            "data:audio/wav;base64,AA",
            "http://",
            "prompt:",
            "sip:a@b",
        ] {
            assert!(Source::parse(bad).is_err(), "{bad}");
        }
        assert!(Source::parse(&format!("https://h/{}", "a".repeat(9000))).is_err());
    }

    #[test]
    fn a_name_is_always_a_safe_path() {
        for good in ["welcome", "digits/1", "a/b/c-d_e", "silence/500ms"] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(129);
        let bad =
            ["", "/", "/a", "a/", "a//b", "..", "a/../b", "A", "a.wav", "a b", "é", "a\\b", "a\0", "%2e", "en/", &long];
        for bad in bad {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_in_urls_are_not_shown() {
        let source = Source::parse("https://user:pass@example.com:444/p/a.wav?sig=secret#x").unwrap();
        assert_eq!(source.to_string(), "https://example.com:444/p/a.wav?…");
    }
}
