//! Watches the quotes of a CSV file while it is read: a field ends on the line that it begins on, or what follows it would be
//! swallowed by it without a word.

use std::io::{self, Read};

/// Where the reading stands, by the rules of the `csv` crate: only a quote that begins a field opens it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    FieldStart,
    Bare,
    Quoted,
    /// After a quote within quotes: the end of them, or half of a doubled one.
    Closing,
}

/// A reader that hands the bytes on as they are.
pub(super) struct Watched<R> {
    inner: R,
    place: Place,
    line: u64,
    opened: Vec<u64>,
}

impl<R> Watched<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, place: Place::FieldStart, line: 1, opened: Vec::new() }
    }

    /// The lines on which a quote opens that is still open at their end, as far as was read.
    pub(super) fn unclosed(self) -> Vec<u64> {
        self.opened
    }

    fn end_line(&mut self) {
        if self.place == Place::Quoted {
            self.opened.push(self.line);
        }
        // The next line is read afresh, whatever this one lacks.
        self.place = Place::FieldStart;
    }

    fn see(&mut self, byte: u8) {
        match (self.place, byte) {
            (_, b'\n') => {
                self.end_line();
                self.line += 1;
            }
            (_, b'\r') => self.end_line(),
            (Place::FieldStart | Place::Closing, b'"') => self.place = Place::Quoted,
            // The mark of UTF-8 stands before the first field.
            (Place::FieldStart, 0xef | 0xbb | 0xbf) if self.line == 1 => {}
            (Place::Quoted, b'"') => self.place = Place::Closing,
            (Place::Quoted, _) => {}
            (Place::FieldStart | Place::Bare | Place::Closing, b',') => self.place = Place::FieldStart,
            (Place::FieldStart | Place::Bare | Place::Closing, _) => self.place = Place::Bare,
        }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        for byte in &buffer[..count] {
            self.see(*byte);
        }
        if count == 0 && !buffer.is_empty() {
            self.end_line();
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unclosed(text: &str) -> Vec<u64> {
        let mut watched = Watched::new(text.as_bytes());
        io::copy(&mut watched, &mut io::sink()).unwrap();
        watched.unclosed()
    }

    #[test]
    fn a_quote_that_its_line_does_not_close_is_named_by_that_line_and_by_no_other() {
        assert_eq!(unclosed("appid,nickname\nwx1,\"abc\nwx2,foo\nwx3,foo\n"), [2]);
        assert_eq!(unclosed("a,b\n1,\"x\r\n2,\"y\"\r\n\r\n3,\"z"), [2, 5]);
        assert_eq!(unclosed("\u{feff}\"a,b\nwx1,foo\n"), [1]);
        assert_eq!(unclosed("a,b\n1,\"more\nthan one line\"\n"), [2]);
    }

    #[test]
    fn quotes_that_close_and_quotes_within_a_field_open_nothing() {
        for text in ["a,b\n1,\"x, y\"\n", "1,\"say \"\"x\"\"\"\n", "1,inch\"\n2,5\" tall\n", "\"\",\"\"\n", ""] {
            assert_eq!(unclosed(text), [0_u64; 0], "{text:?}");
        }
    }
}
