//! Framing on streams (RFC 3261 §18.3, §7.5; RFC 5626 §3.5.1): bytes in as they come, whole messages and keep-alives
//! out. Pure; reading, writing and time limits are `transport`'s.

use super::error::{ParseError, Problem};
use super::{MAX_MESSAGE, parse};

/// What a stream held.
#[derive(Debug)]
pub enum Framed {
    /// A message's bytes, for [`super::Message::parse`]. One that is framed but malformed leaves the stream in order.
    Message(Vec<u8>),
    /// CRLF CRLF between messages: answer with CRLF.
    Ping,
    /// A message whose end cannot be known (no Content-Length, a bad or too large one, too long a head): answer it
    /// where that is possible, then close. The framer gives nothing more.
    Broken(ParseError),
}

/// Cuts a stream into messages. Holds at most [`MAX_MESSAGE`] bytes of an unfinished message and what was pushed
/// after it.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Consumed bytes at the front of `buffer`.
    start: usize,
    /// Where the search for the end of the head goes on, from `start`.
    searched: usize,
    /// Whole length of the message at the front, once its head is complete.
    need: Option<usize>,
    /// Line ends since the last message.
    line_ends: u8,
    broken: bool,
}

impl Framer {
    pub fn new() -> Self {
        Framer::default()
    }

    /// Takes bytes from the stream. Call [`Framer::next`] until it gives nothing before pushing again: that keeps the
    /// buffer bounded.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Has a message begun that is not complete? (The time that it may take is the caller's to limit.)
    pub fn is_midway(&self) -> bool {
        !self.broken && self.start < self.buffer.len()
    }

    /// The next whole thing, if there is one.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Framed> {
        if self.broken {
            return None;
        }
        if self.need.is_none() {
            if self.skip_line_ends() {
                return Some(Framed::Ping);
            }
            match self.find_head() {
                Ok(Some(need)) => self.need = Some(need),
                Ok(None) => return None,
                Err(error) => return Some(self.fail(error)),
            }
        }
        let need = self.need?;
        let bytes = self.pending().get(..need)?.to_vec();
        self.start += need;
        self.need = None;
        self.searched = 0;
        self.line_ends = 0;
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
        Some(Framed::Message(bytes))
    }

    fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Skips line ends before a message; true where two of them in a row make a ping.
    fn skip_line_ends(&mut self) -> bool {
        loop {
            let taken = match self.pending() {
                [b'\r', b'\n', ..] => 2,
                [b'\n', ..] => 1,
                _ => return false,
            };
            self.start += taken;
            self.line_ends += 1;
            if self.line_ends == 2 {
                self.line_ends = 0;
                return true;
            }
        }
    }

    /// Looks for the empty line; the whole length of the message once it is there.
    fn find_head(&mut self) -> Result<Option<usize>, ParseError> {
        let pending = self.buffer.get(self.start..).unwrap_or_default();
        let Some(length) = head_length(pending, self.searched) else {
            if pending.len() >= MAX_MESSAGE {
                return Err(parse::unframed(pending, Problem::TooLong));
            }
            // An empty line is at most three bytes ("\n\r\n").
            self.searched = pending.len().saturating_sub(3);
            return Ok(None);
        };
        let bytes = pending.get(..length).unwrap_or_default();
        if length > MAX_MESSAGE {
            return Err(parse::unframed(bytes, Problem::TooLong));
        }
        let head = parse::head(bytes);
        if let Some(problem) = head.breaks_a_limit() {
            return Err(parse::unframed(bytes, problem));
        }
        match head.body_length() {
            Ok(Some(body)) => match length.checked_add(body) {
                Some(whole) if whole <= MAX_MESSAGE => Ok(Some(whole)),
                _ => Err(parse::unframed(bytes, Problem::TooLong)),
            },
            Ok(None) => Err(parse::unframed(bytes, Problem::ContentLength { what: "is missing on a stream" })),
            Err(problem) => Err(parse::unframed(bytes, problem)),
        }
    }

    fn fail(&mut self, error: ParseError) -> Framed {
        self.broken = true;
        self.buffer = Vec::new();
        self.start = 0;
        Framed::Broken(error)
    }
}

/// The length of the head with its empty line, where that is there.
fn head_length(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|&b| b == b'\n')? + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}
