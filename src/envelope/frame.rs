//! The framed value of section 5: value bytes, a marker, padding.
//!
//! A [`Frame`] is written in the place where its ciphertext will stand: one allocation of exactly the envelope's size.

use crate::crypto::buf::WipingBuf;
use crate::envelope::header::{HEADER_LEN, TAG_LEN};
use crate::envelope::{MAX_PAD, MAX_VALUE_LEN};
use crate::error::{Error, Result};

const VALUE: u8 = 0x80;
const NONE: u8 = 0x81;

/// A framed value being written, with room for the header before it and the tag behind.
#[derive(Debug)]
pub(crate) struct Frame {
    buf: WipingBuf,
    frame_len: usize,
    /// Where the value must end.
    value_end: usize,
    marker: u8,
}

impl Frame {
    /// For a value of exactly `value_len` bytes, padded to a multiple of `pad` (0 or 1: not padded).
    pub(crate) fn new(value_len: usize, pad: usize) -> Result<Self> {
        if value_len > MAX_VALUE_LEN {
            return Err(Error::invalid("a value has at most 16 MiB"));
        }
        if pad > MAX_PAD {
            return Err(Error::invalid("padding is to at most 65536 bytes"));
        }
        Self::of_len(value_len, (value_len + 1).next_multiple_of(pad.max(1)))
    }

    /// The same value with the same padding, to seal again: of an opened frame.
    pub(crate) fn again(framed: &[u8]) -> Result<Self> {
        let value_len = value_len(framed)?;
        let mut frame = Self::of_len(value_len.unwrap_or_default(), framed.len())?;
        match value_len {
            Some(len) => frame.put(framed.get(..len).ok_or(Error::Bug("a value longer than its frame"))?)?,
            None => frame.put_none(),
        }
        Ok(frame)
    }

    fn of_len(value_len: usize, frame_len: usize) -> Result<Self> {
        let mut buf = WipingBuf::with_capacity(HEADER_LEN + frame_len + TAG_LEN);
        buf.zero_fill(HEADER_LEN)?;
        Ok(Self { buf, frame_len, value_end: HEADER_LEN + value_len, marker: VALUE })
    }

    /// Appends to the value.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() > self.value_end - self.buf.len() {
            return Err(Error::invalid("a value encodes to more bytes than its encoded_len says"));
        }
        self.buf.put(bytes)
    }

    /// The value is none.
    pub(crate) fn put_none(&mut self) {
        self.marker = NONE;
    }

    /// The buffer: a blank header and the frame.
    pub(crate) fn finish(mut self) -> Result<WipingBuf> {
        if self.buf.len() != self.value_end || (self.marker == NONE && self.value_end != HEADER_LEN) {
            return Err(Error::invalid("a value encodes to fewer bytes than its encoded_len says"));
        }
        self.buf.put(&[self.marker])?;
        self.buf.zero_fill(HEADER_LEN + self.frame_len)?;
        Ok(self.buf)
    }
}

/// Step 7 of section 8: the length of the value in an opened frame, or `None` for none.
pub(crate) fn value_len(frame: &[u8]) -> Result<Option<usize>> {
    let last = frame.iter().rposition(|&b| b != 0).ok_or(Error::Malformed)?;
    match frame.get(last) {
        Some(&VALUE) if last <= MAX_VALUE_LEN => Ok(Some(last)),
        Some(&NONE) if last == 0 => Ok(None),
        _ => Err(Error::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_fills_to_the_next_multiple() {
        for (value, pad, frame_len) in [(0, 0, 1), (5, 1, 6), (15, 16, 16), (16, 16, 32), (0, 64, 64)] {
            let mut frame = Frame::new(value, pad).unwrap();
            frame.put(&vec![b'x'; value]).unwrap();
            let buf = frame.finish().unwrap();
            assert_eq!(buf.len(), HEADER_LEN + frame_len);
            assert_eq!(value_len(&buf.as_slice()[HEADER_LEN..]).unwrap(), Some(value));
            assert_eq!(buf.remaining(), TAG_LEN, "one allocation of the envelope's size");
        }
    }

    #[test]
    fn an_opened_frame_is_framed_again_as_it_was() {
        for framed in [&b"\x80"[..], b"a\x80", b"a\x80\0\0", b"\0\x80\0", b"\x81\x80", b"\x81", b"\x81\0\0"] {
            let buf = Frame::again(framed).unwrap().finish().unwrap();
            assert_eq!(&buf.as_slice()[HEADER_LEN..], framed);
            assert_eq!(buf.remaining(), TAG_LEN, "one allocation of the envelope's size");
        }
        for framed in [&b""[..], b"\0", b"a", b"a\x81"] {
            assert!(matches!(Frame::again(framed), Err(Error::Malformed)), "{framed:?}");
        }
    }

    #[test]
    fn a_value_of_another_length_than_announced_is_refused() {
        assert!(Frame::new(2, 0).unwrap().put(b"abc").is_err());
        assert!(Frame::new(2, 0).unwrap().finish().is_err());
        let mut none = Frame::new(2, 0).unwrap();
        none.put(b"ab").unwrap();
        none.put_none();
        assert!(none.finish().is_err());
    }

    #[test]
    fn frames_without_a_marker_are_malformed() {
        for frame in [&b""[..], b"\0\0", b"\x01", b"a\x82", b"a\x81", b"\x80\x81"] {
            assert!(matches!(value_len(frame), Err(Error::Malformed)), "{frame:?}");
        }
        assert_eq!(value_len(b"\x80\x80\0").unwrap(), Some(1));
        assert_eq!(value_len(b"\x81\0").unwrap(), None);
    }
}
