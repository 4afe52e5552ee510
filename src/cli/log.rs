//! Where log lines go: one event, one line, whatever a peer wrote into what is logged. The format is the subscriber's.

use std::io::{self, Write};

use crate::line::as_one_line;

/// Writes each event as one line: line ends and control characters within it are escaped.
pub(super) struct OneLine<W> {
    out: W,
    /// The subscriber paints: ESC is its own, and it escapes others'.
    colours: bool,
}

impl<W: Write> OneLine<W> {
    pub fn new(out: W, colours: bool) -> Self {
        OneLine { out, colours }
    }
}

impl<W: Write> Write for OneLine<W> {
    /// The subscriber hands over a whole event at once, with its line end.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
        let line = match self.colours {
            true => text.split('\x1b').map(as_one_line).collect::<Vec<_>>().join("\x1b").into(),
            false => as_one_line(text),
        };
        self.out.write_all(format!("{line}{end}").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: &str, colours: bool) -> String {
        let mut log = OneLine::new(Vec::new(), colours);
        log.write_all(event.as_bytes()).unwrap();
        String::from_utf8(log.out).unwrap()
    }

    #[test]
    fn an_event_is_one_line() {
        let hostile = "INFO from=sip:a\r\n2026-01-01 ERROR forged\u{2028}x\u{1b}[2J\0\n";
        assert_eq!(written(hostile, false), "INFO from=sip:a\\r\\n2026-01-01 ERROR forged\\u2028x\\u001b[2J\\u0000\n");
        assert_eq!(written("\x1b[32mINFO\x1b[0m a\nb\n", true), "\x1b[32mINFO\x1b[0m a\\nb\n");
        assert_eq!(written("plain Ä\n", false), "plain Ä\n");
    }
}
