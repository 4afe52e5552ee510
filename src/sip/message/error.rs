//! What can be wrong with a SIP message: with its framing ([`ParseError`]), with one header ([`HeaderError`]),
//! with what we are asked to write ([`BuildError`]). Each says which response it deserves (RFC 3261 §21.4).

use thiserror::Error;

use super::headers::{Headers, Name};
use super::{Method, Response};

/// A message that could not be read, and as much of it as is needed to say so to its sender.
#[derive(Clone, Debug, Error)]
#[error("{problem}")]
pub struct ParseError {
    /// What is wrong.
    pub problem: Problem,
    pub(super) answerable: Option<Box<Answerable>>,
}

/// What is wrong with the framing of a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    #[error("the message is empty")]
    Empty,
    #[error("the message is longer than {} bytes", super::MAX_MESSAGE)]
    TooLong,
    #[error("header line {line} is longer than {} bytes", super::MAX_LINE)]
    LineTooLong { line: usize },
    #[error("more than {} header fields", super::MAX_HEADERS)]
    TooManyHeaders,
    #[error("the message ends before its empty line")]
    Truncated,
    #[error("the first line is neither a request line nor a status line: {0}")]
    StartLine(&'static str),
    #[error("the SIP version is not 2.0")]
    Version,
    #[error("the Request-URI is malformed: {0}")]
    RequestUri(&'static str),
    #[error("header line {line}: {what}")]
    HeaderLine { line: usize, what: &'static str },
    #[error("Content-Length {what}")]
    ContentLength { what: &'static str },
}

/// The headers that an answer copies (RFC 3261 §8.2.6.2), saved from a request that could not be read whole.
#[derive(Clone, Debug)]
pub struct Answerable {
    /// The method, where the request line gave one.
    pub method: Option<Method>,
    /// Via (all), From, To, Call-ID and CSeq as they came.
    pub headers: Headers,
}

impl ParseError {
    pub(super) fn new(problem: Problem) -> Self {
        ParseError { problem, answerable: None }
    }

    /// The status code an answer should have: 400, 505 or 513.
    pub fn status(&self) -> u16 {
        match self.problem {
            Problem::Version => 505,
            Problem::TooLong => 513,
            _ => 400,
        }
    }

    /// What an answer can be built from; none for responses, for ACK, and where a Via, From, To, Call-ID or CSeq
    /// is missing.
    pub fn answerable(&self) -> Option<&Answerable> {
        self.answerable.as_deref()
    }

    /// The answer to the broken request, without a tag in To (the caller adds its own); none where it must not or
    /// cannot be answered.
    pub fn response(&self) -> Option<Response> {
        let answerable = self.answerable()?;
        let status = self.status();
        let mut response = Response::new(status);
        if status == 400 {
            response.set_reason(&self.problem.to_string());
        }
        response.headers = answerable.headers.clone();
        Some(response)
    }
}

/// A header that is missing, doubled or malformed: found when it is read, and answered by 400.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name}: {what}")]
pub struct HeaderError {
    /// The header at fault.
    pub name: Name,
    /// What is wrong with it.
    pub what: &'static str,
}

impl HeaderError {
    pub fn new(name: Name, what: &'static str) -> Self {
        HeaderError { name, what }
    }

    /// 400, always.
    pub fn status(&self) -> u16 {
        400
    }

    /// A reason phrase that names the header.
    pub fn reason(&self) -> String {
        format!("Bad {} header: {}", self.name, self.what)
    }
}

/// Something that must not be written into a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    /// CR, LF, NUL or another control character: it would let a value become a header of its own.
    #[error("a control character in a header value")]
    ControlCharacter,
    #[error("not a token")]
    NotAToken,
    #[error("not a host name or address")]
    BadHost,
    #[error("not a URI: {0}")]
    BadUri(&'static str),
    #[error("longer than {} bytes", super::MAX_LINE)]
    TooLong,
}
