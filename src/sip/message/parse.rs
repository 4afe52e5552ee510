//! Framing (RFC 3261 §7, §18.3): the start line, header lines with folding and compact names, and where the body
//! ends. CR LF and LF alone both end a line; a CR anywhere else is an error, since readers differ about it.

use super::error::{Answerable, ParseError, Problem};
use super::headers::{Headers, Name};
use super::uri::Uri;
use super::{MAX_HEADERS, MAX_LINE, MAX_MESSAGE, Message, Method, Request, Response, lex};

/// Where the headers end, and how long the body says it is.
pub(super) struct Head<'a> {
    start_line: &'a [u8],
    headers: Headers,
    problem: Option<Problem>,
    /// What follows the empty line.
    rest: &'a [u8],
}

/// Reads a datagram.
pub(super) fn datagram(bytes: &[u8]) -> Result<Message, ParseError> {
    if bytes.len() > MAX_MESSAGE {
        let problem = Problem::TooLong;
        return Err(answerable(head(bytes.get(..MAX_MESSAGE).unwrap_or_default()), problem));
    }
    let head = head(bytes);
    if head.start_line.is_empty() && head.headers.is_empty() {
        return Err(ParseError::new(head.problem.unwrap_or(Problem::Empty)));
    }
    if let Some(problem) = head.problem.clone() {
        return Err(answerable(head, problem));
    }
    let body = match body_length(&head.headers) {
        Ok(None) => head.rest,
        Ok(Some(length)) => match head.rest.get(..length) {
            Some(body) => body,
            None => return Err(answerable(head, Problem::ContentLength { what: "is more than what came" })),
        },
        Err(problem) => return Err(answerable(head, problem)),
    };
    match start_line(head.start_line) {
        Ok(StartLine::Request(method, uri)) => {
            Ok(Message::Request(Request { method, uri, body: body.to_vec(), headers: head.headers }))
        }
        Ok(StartLine::Response(status, reason)) => Ok(Message::Response(Response {
            status,
            reason: reason.into(),
            body: body.to_vec(),
            headers: head.headers,
        })),
        Err(problem) => Err(answerable(head, problem)),
    }
}

/// Content-Length: digits only, and the same where it stands several times.
pub(super) fn body_length(headers: &Headers) -> Result<Option<usize>, Problem> {
    headers.content_length().map_err(|error| Problem::ContentLength { what: error.what })
}

enum StartLine<'a> {
    Request(Method, Uri),
    Response(u16, &'a [u8]),
}

fn is_sip(name: &[u8]) -> bool {
    name.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/"))
}

fn start_line(line: &[u8]) -> Result<StartLine<'_>, Problem> {
    if is_sip(line) {
        let mut parts = line.splitn(3, |&b| b == b' ');
        let (Some(version), Some(code)) = (parts.next(), parts.next()) else {
            return Err(Problem::StartLine("a status line without a status"));
        };
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            return Err(Problem::Version);
        }
        let status = match code {
            [b'1'..=b'6', _, _] => lex::number(code),
            _ => None,
        };
        // By the letter a space follows even where there is no reason phrase; without it nothing is in doubt.
        let reason = parts.next().unwrap_or_default();
        return match status {
            Some(status) => Ok(StartLine::Response(status, reason)),
            None => Err(Problem::StartLine("a status that is not 100 to 699")),
        };
    }
    let mut parts = line.split(|&b| b == b' ');
    let (Some(method), Some(uri), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Problem::StartLine("not three parts with one space between them"));
    };
    let method = Method::parse(method).ok_or(Problem::StartLine("the method is not a token"))?;
    if !is_sip(version) {
        return Err(Problem::StartLine("no SIP version"));
    }
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Problem::Version);
    }
    let uri = Uri::parse(uri).map_err(|error| match error {
        super::BuildError::BadUri(what) => Problem::RequestUri(what),
        _ => Problem::RequestUri("malformed"),
    })?;
    Ok(StartLine::Request(method, uri))
}

/// Reads up to the empty line. It does not stop at the first fault of a header line, so that what an answer copies is
/// collected; the first fault is in `problem`.
pub(super) fn head(bytes: &[u8]) -> Head<'_> {
    let mut lines = Lines { rest: bytes };
    let mut head = Head { start_line: &[], headers: Headers::new(), problem: None, rest: &[] };
    // Empty lines before a message are keep-alives or padding (§7.5).
    let first = loop {
        match lines.next() {
            Some([]) => {}
            Some(line) => break line,
            None => {
                head.problem = Some(if lines.rest.is_empty() { Problem::Empty } else { Problem::Truncated });
                return head;
            }
        }
    };
    head.start_line = first;
    let note = |head: &mut Head<'_>, problem: Problem| {
        head.problem.get_or_insert(problem);
    };
    if first.len() > MAX_LINE {
        note(&mut head, Problem::LineTooLong { line: 1 });
    }
    if first.contains(&b'\r') {
        note(&mut head, Problem::StartLine("a CR within the line"));
    }
    if first.first().is_some_and(|&b| lex::is_space(b)) {
        note(&mut head, Problem::StartLine("starts with white space"));
    }
    let mut number = 1;
    let mut field: Option<(usize, Vec<u8>)> = None;
    loop {
        let line = lines.next();
        number += 1;
        if let Some(continued) = line.filter(|line| line.first().is_some_and(|&b| lex::is_space(b))) {
            match &mut field {
                Some((_, field)) => {
                    // A fold is one space, whatever it was made of (§7.3.1).
                    while field.last().is_some_and(|&b| lex::is_space(b)) {
                        field.pop();
                    }
                    field.push(b' ');
                    field.extend_from_slice(lex::trim(continued));
                }
                None => note(&mut head, Problem::HeaderLine { line: number, what: "nothing to be continued" }),
            }
            continue;
        }
        if let Some((at, field)) = field.take()
            && let Err(problem) = add_field(&mut head.headers, at, &field)
        {
            note(&mut head, problem);
            if matches!(head.problem, Some(Problem::TooManyHeaders)) {
                return head;
            }
        }
        match line {
            Some([]) => {
                head.rest = lines.rest;
                return head;
            }
            Some(line) => field = Some((number, line.to_vec())),
            None => {
                note(&mut head, Problem::Truncated);
                return head;
            }
        }
    }
}

fn add_field(headers: &mut Headers, line: usize, field: &[u8]) -> Result<(), Problem> {
    if field.len() > MAX_LINE {
        return Err(Problem::LineTooLong { line });
    }
    if headers.len() >= MAX_HEADERS {
        return Err(Problem::TooManyHeaders);
    }
    if field.contains(&b'\r') {
        return Err(Problem::HeaderLine { line, what: "a CR within the line" });
    }
    let colon = field.iter().position(|&b| b == b':').ok_or(Problem::HeaderLine { line, what: "no colon" })?;
    let (name, value) = field.split_at(colon);
    let name = Name::parse(lex::trim(name)).ok_or(Problem::HeaderLine { line, what: "the name is not a token" })?;
    headers.push_raw(name, lex::trim(value.get(1..).unwrap_or_default()).into());
    Ok(())
}

/// Lines without their ends. `None` where no further line end comes.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&b| b == b'\n')?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// An error with what is needed to answer it, where it may be answered.
fn answerable(head: Head<'_>, problem: Problem) -> ParseError {
    let mut error = ParseError::new(problem);
    if is_sip(head.start_line) {
        return error; // a response is dropped
    }
    let method = head.start_line.split(|&b| b == b' ').find(|part| !part.is_empty()).and_then(Method::parse);
    if method == Some(Method::Ack) {
        return error; // never answered (§17.1.1.3)
    }
    let mut headers = Headers::new();
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
        if !head.headers.contains(&name) {
            return error;
        }
        headers.copy_all(&name, &head.headers);
    }
    // Without a top Via that can be read there is no way back.
    if headers.top_via().is_ok() {
        error.answerable = Some(Box::new(Answerable { method, headers }));
    }
    error
}

/// For streams: the error that a message head earns when its framing cannot be trusted.
pub(super) fn unframed(bytes: &[u8], problem: Problem) -> ParseError {
    answerable(head(bytes), problem)
}

impl Head<'_> {
    /// For streams: the body's length.
    pub(super) fn body_length(&self) -> Result<Option<usize>, Problem> {
        body_length(&self.headers)
    }

    /// For streams: is the block of headers itself beyond a limit?
    pub(super) fn breaks_a_limit(&self) -> Option<Problem> {
        self.problem.clone().filter(|p| matches!(p, Problem::TooManyHeaders | Problem::LineTooLong { .. }))
    }
}
