//! SIP messages on the wire (RFC 3261 §7, §18.3, §20, §25): framing and header lines on bytes, typed values read when
//! they are asked for, and writing that cannot be talked into a line end. Pure.
//!
//! Header values stay the bytes that came (unfolded), so what is not understood survives. What a message means to a
//! transaction or a dialog is theirs; sockets are `transport`'s.
//!
//! ```
//! # use strowger::sip::message::{Message, Response};
//! let bytes = b"OPTIONS sip:a@b.example SIP/2.0\r\nVia: SIP/2.0/UDP c.example;branch=z9hG4bK1\r\n\
//!     From: <sip:c@c.example>;tag=1\r\nTo: <sip:a@b.example>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
//! let Ok(Message::Request(request)) = Message::parse(bytes) else { panic!() };
//! assert!(request.check().is_ok());
//! assert_eq!(request.headers.from().unwrap().tag(), Some("1"));
//! let answer = Response::for_request(&request, 200).to_bytes();
//! ```

mod auth;
#[cfg(feature = "rsip")]
#[path = "rsip.rs"]
mod conversion;
mod diverted;
mod error;
mod headers;
mod lex;
mod method;
mod name_addr;
mod params;
mod parse;
pub mod reason;
mod refer;
mod replaces;
mod session_headers;
mod status;
pub mod stream;
mod typed;
mod uri;
pub mod via;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use auth::AuthParams;
#[cfg(feature = "rsip")]
pub use conversion::NotForRsip;
pub use diverted::{Diversion, History, MAX_DIVERSIONS, diversions, history};
pub use error::{Answerable, BuildError, HeaderError, ParseError, Problem};
pub use headers::{Header, HeaderValue, Headers, Name, OtherName};
pub use method::{Method, OtherMethod};
pub use name_addr::{Contacts, NameAddr};
pub use params::Params;
pub use refer::{Event, SIPFRAG, SubscriptionState, read_sipfrag, write_sipfrag};
pub use replaces::Replaces;
pub use session_headers::{RAck, Refresher, SessionExpires};
pub use status::reason_phrase;
pub use typed::{CSeq, MediaType};
pub use uri::{Host, OtherUri, SipUri, TelUri, Uri};
pub use via::{Via, ViaTransport};

/// The longest message that is read, in bytes: what a UDP datagram can hold. Longer: [`Problem::TooLong`], 513.
pub const MAX_MESSAGE: usize = 65_535;
/// The most header fields in a message. More: [`Problem::TooManyHeaders`], 400.
pub const MAX_HEADERS: usize = 256;
/// The longest start line or (unfolded) header field, in bytes. Longer: [`Problem::LineTooLong`], 400.
pub const MAX_LINE: usize = 16_384;
/// The longest reason phrase that we write, in characters; the rest is cut off.
pub const MAX_REASON: usize = 128;

/// A SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Request(Request),
    Response(Response),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub uri: Uri,
    /// Content-Length among them is ignored when writing: the body's own length is written.
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    reason: Box<[u8]>,
    /// Content-Length among them is ignored when writing: the body's own length is written.
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Message {
    /// Reads one datagram: bytes after the body are dropped, no Content-Length means all the rest (RFC 3261 §18.3).
    /// Empty lines before the message are skipped (§7.5).
    pub fn parse(datagram: &[u8]) -> Result<Message, ParseError> {
        parse::datagram(datagram)
    }

    pub fn headers(&self) -> &Headers {
        match self {
            Message::Request(request) => &request.headers,
            Message::Response(response) => &response.headers,
        }
    }

    pub fn headers_mut(&mut self) -> &mut Headers {
        match self {
            Message::Request(request) => &mut request.headers,
            Message::Response(response) => &mut response.headers,
        }
    }

    pub fn body(&self) -> &[u8] {
        match self {
            Message::Request(request) => &request.body,
            Message::Response(response) => &response.body,
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Message::Request(request) => request.to_bytes(),
            Message::Response(response) => response.to_bytes(),
        }
    }

    /// See [`Request::check`] and [`Response::check`].
    pub fn check(&self) -> Result<(), HeaderError> {
        match self {
            Message::Request(request) => request.check(),
            Message::Response(response) => response.check(),
        }
    }

    pub fn as_request(&self) -> Option<&Request> {
        match self {
            Message::Request(request) => Some(request),
            Message::Response(_) => None,
        }
    }

    pub fn as_response(&self) -> Option<&Response> {
        match self {
            Message::Request(_) => None,
            Message::Response(response) => Some(response),
        }
    }
}

impl Request {
    /// A request without headers.
    pub fn new(method: Method, uri: Uri) -> Request {
        Request { method, uri, headers: Headers::new(), body: Vec::new() }
    }

    /// Are the headers there and readable that every transaction needs: Via, From, To, Call-ID, CSeq (with the method
    /// of the request), and, where present, Max-Forwards, Contact, Route, Record-Route? Whoever takes a request from
    /// the network calls this first and answers an error by 400.
    pub fn check(&self) -> Result<(), HeaderError> {
        check(&self.headers)?;
        if self.headers.cseq()?.method != self.method {
            return Err(HeaderError::new(Name::CSeq, "another method than the request's"));
        }
        self.headers.max_forwards()?;
        self.headers.route()?;
        Ok(())
    }

    /// Puts a body and its Content-Type; control characters in the type are refused.
    pub fn set_body(&mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Result<(), BuildError> {
        self.headers.set(Name::ContentType, content_type)?;
        self.body = body.into();
        Ok(())
    }

    /// The message as it goes out, with a correct Content-Length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.body.len());
        out.extend_from_slice(format!("{} {} SIP/2.0\r\n", self.method, self.uri).as_bytes());
        write_rest(&mut out, &self.headers, &self.body);
        out
    }
}

impl Response {
    /// A response without headers, with the usual reason phrase. A status outside 100 to 699 becomes 500.
    pub fn new(status: u16) -> Response {
        let status = if (100..700).contains(&status) { status } else { 500 };
        let reason = reason_phrase(status).as_bytes().into();
        Response { status, reason, headers: Headers::new(), body: Vec::new() }
    }

    /// A response with what it copies from its request (RFC 3261 §8.2.6.2): all Vias, From, To, Call-ID, CSeq, byte
    /// for byte; for 100 also Timestamp. The tag in To is the caller's to add: [`Response::set_to_tag`].
    pub fn for_request(request: &Request, status: u16) -> Response {
        let mut response = Response::new(status);
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            response.headers.copy_all(&name, &request.headers);
        }
        if status == 100 {
            response.headers.copy_all(&Name::Timestamp, &request.headers);
        }
        response
    }

    /// 100 to 699.
    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn is_provisional(&self) -> bool {
        self.status < 200
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// 300 and above.
    pub fn is_failure(&self) -> bool {
        self.status >= 300
    }

    /// The reason phrase; bytes that are not UTF-8 are taken for Latin-1.
    pub fn reason(&self) -> Cow<'_, str> {
        lex::text(&self.reason)
    }

    /// Control characters become spaces; beyond [`MAX_REASON`] characters it is cut.
    pub fn set_reason(&mut self, reason: &str) {
        let reason: String = reason.chars().take(MAX_REASON).map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.reason = reason.into_bytes().into();
    }

    pub fn with_reason(mut self, reason: &str) -> Response {
        self.set_reason(reason);
        self
    }

    /// Adds a tag to To where it has none; the rest of To stays byte for byte. A tag that is not a token is refused.
    pub fn set_to_tag(&mut self, tag: &str) -> Result<(), BuildError> {
        if !lex::is_token(tag.as_bytes()) {
            return Err(BuildError::NotAToken);
        }
        let Some(value) = self.headers.get(&Name::To) else { return Ok(()) };
        if NameAddr::parse(value).is_ok_and(|to| to.tag().is_some()) {
            return Ok(());
        }
        let tagged = [value, b";tag=", tag.as_bytes()].concat();
        self.headers.set_first_raw(&Name::To, tagged.into());
        Ok(())
    }

    /// Are the headers there and readable that every transaction needs: Via, From, To, Call-ID, CSeq, and, where
    /// present, Contact and Record-Route? A response that fails is dropped.
    pub fn check(&self) -> Result<(), HeaderError> {
        check(&self.headers)
    }

    /// Puts a body and its Content-Type; control characters in the type are refused.
    pub fn set_body(&mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Result<(), BuildError> {
        self.headers.set(Name::ContentType, content_type)?;
        self.body = body.into();
        Ok(())
    }

    /// The message as it goes out, with a correct Content-Length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.body.len());
        out.extend_from_slice(format!("SIP/2.0 {} ", self.status).as_bytes());
        out.extend_from_slice(&self.reason);
        out.extend_from_slice(b"\r\n");
        write_rest(&mut out, &self.headers, &self.body);
        out
    }
}

fn check(headers: &Headers) -> Result<(), HeaderError> {
    headers.via()?;
    headers.from()?;
    headers.to()?;
    headers.call_id()?;
    headers.cseq()?;
    headers.contacts()?;
    headers.record_route()?;
    Ok(())
}

fn write_rest(out: &mut Vec<u8>, headers: &Headers, body: &[u8]) {
    headers.write(out);
    out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    out.extend_from_slice(body);
}
