//! The framed value of section 5: value bytes, a marker, padding.
//!
//! A [`Frame`] is written in the place where its ciphertext will stand: one allocation of exactly the envelope's size.
//!
//! Imports `error`, `kind`, `crypto`, and `header`.

use crate::crypto::buf::WipingBuf;
use crate::envelope::header::{HEADER_LEN, TAG_LEN};
use crate::envelope::{MAX_PAD, MAX_VALUE_LEN};
use crate::error::{Error, Result};
use crate::kind::Kind;

/// What stands behind a value and names its type, 0x80 to 0xBF: also one that only a later version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker(u8);

impl Marker {
    pub(crate) const NONE: Self = Self(Kind::None.marker());

    pub(crate) fn of(byte: u8) -> Option<Self> {
        matches!(byte, 0x80..=0xBF).then_some(Self(byte))
    }

    pub(crate) fn byte(self) -> u8 {
        self.0
    }

    /// Step 8 of section 8.
    pub(crate) fn kind(self) -> Result<Kind> {
        Kind::of(self.0).ok_or_else(|| Error::UnknownFormat)
    }
}

impl From<Kind> for Marker {
    fn from(kind: Kind) -> Self {
        Self(kind.marker())
    }
}

/// A framed value being written, with room for the header before it and the tag behind.
#[derive(Debug)]
pub(crate) struct Frame {
    buf: WipingBuf,
    frame_len: usize,
    /// Where the value must end.
    value_end: usize,
    marker: Marker,
}

impl Frame {
    /// For a value of exactly `value_len` bytes, padded to a multiple of `pad` (0 or 1: not padded).
    pub(crate) fn new(value_len: usize, pad: usize, marker: impl Into<Marker>) -> Result<Self> {
        if value_len > MAX_VALUE_LEN {
            return Err(Error::invalid("a value has at most 16 MiB"));
        }
        if pad > MAX_PAD {
            return Err(Error::invalid("padding is to at most 65536 bytes"));
        }
        Self::of_len(value_len, (value_len + 1).next_multiple_of(pad.max(1)), marker.into())
    }

    /// A whole value in a frame.
    pub(crate) fn of(value: &[u8], pad: usize, kind: Kind) -> Result<Self> {
        let mut frame = Self::new(value.len(), pad, kind)?;
        frame.put(value)?;
        Ok(frame)
    }

    /// The same value with the same marker and the same padding, to seal again: of an opened frame.
    pub(crate) fn again(framed: &[u8]) -> Result<Self> {
        let (marker, value_len) = parse(framed)?;
        let mut frame = Self::of_len(value_len, framed.len(), marker)?;
        frame.put(framed.get(..value_len).ok_or_else(|| Error::Bug("a value longer than its frame"))?)?;
        Ok(frame)
    }

    fn of_len(value_len: usize, frame_len: usize, marker: Marker) -> Result<Self> {
        let mut buf = WipingBuf::with_capacity(HEADER_LEN + frame_len + TAG_LEN);
        buf.zero_fill(HEADER_LEN)?;
        Ok(Self { buf, frame_len, value_end: HEADER_LEN + value_len, marker })
    }

    /// Appends to the value.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() > self.value_end - self.buf.len() {
            return Err(Error::invalid("a value encodes to more bytes than its encoded_len says"));
        }
        self.buf.put(bytes)
    }

    /// Appends a marker, in the value: that of a list's item. It may be [changed](Self::mark_at) once more is known.
    pub(crate) fn put_marker(&mut self, marker: Marker) -> Result<MarkerAt> {
        let at = MarkerAt(self.buf.len());
        self.put(&[marker.byte()])?;
        Ok(at)
    }

    pub(crate) fn mark_at(&mut self, MarkerAt(at): MarkerAt, marker: Marker) {
        if let Some(byte) = self.buf.as_mut_slice().get_mut(at) {
            *byte = marker.byte();
        }
    }

    /// Changes the marker behind the value.
    pub(crate) fn mark(&mut self, marker: Marker) {
        self.marker = marker;
    }

    /// The buffer: a blank header and the frame.
    pub(crate) fn finish(mut self) -> Result<WipingBuf> {
        if self.buf.len() != self.value_end {
            return Err(Error::invalid("a value encodes to fewer bytes than its encoded_len says"));
        }
        if self.marker == Marker::NONE && self.value_end != HEADER_LEN {
            return Err(Error::invalid("a none has no bytes"));
        }
        self.buf.put(&[self.marker.byte()])?;
        self.buf.zero_fill(HEADER_LEN + self.frame_len)?;
        Ok(self.buf)
    }
}

/// Where a marker stands in a frame that is being written.
#[derive(Debug)]
pub(crate) struct MarkerAt(usize);

/// Step 7 of section 8: the marker of an opened frame, and the length of the value before it.
pub(crate) fn parse(frame: &[u8]) -> Result<(Marker, usize)> {
    let len = frame.iter().rposition(|&byte| byte != 0).ok_or_else(|| Error::Malformed)?;
    match frame.get(len).and_then(|&byte| Marker::of(byte)) {
        Some(Marker::NONE) if len > 0 => Err(Error::Malformed),
        Some(marker) if len <= MAX_VALUE_LEN => Ok((marker, len)),
        _ => Err(Error::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_fills_to_the_next_multiple() {
        for (value, pad, frame_len) in [(0, 0, 1), (5, 1, 6), (15, 16, 16), (16, 16, 32), (0, 64, 64)] {
            let buf = Frame::of(&vec![b'x'; value], pad, Kind::Text).unwrap().finish().unwrap();
            assert_eq!(buf.len(), HEADER_LEN + frame_len);
            assert_eq!(parse(&buf.as_slice()[HEADER_LEN..]).unwrap(), (Kind::Text.into(), value));
            assert_eq!(buf.remaining(), TAG_LEN, "one allocation of the envelope's size");
        }
    }

    /// Whatever their marker: a later version knows more of them.
    #[test]
    fn an_opened_frame_is_framed_again_as_it_was() {
        for marker in 0x80..=0xBF {
            for (value, padding) in [(&b""[..], &b""[..]), (b"", b"\0\0"), (b"a", b""), (b"\0", b"\0"), (b"\x81", b"")]
            {
                let framed = [value, &[marker], padding].concat();
                if marker == 0x81 && !value.is_empty() {
                    assert!(matches!(Frame::again(&framed), Err(Error::Malformed)), "{framed:?}");
                    continue;
                }
                let buf = Frame::again(&framed).unwrap().finish().unwrap();
                assert_eq!(&buf.as_slice()[HEADER_LEN..], framed);
                assert_eq!(buf.remaining(), TAG_LEN, "one allocation of the envelope's size");
            }
        }
        for framed in [&b""[..], b"\0", b"a", b"a\x7F", b"a\xC0\0"] {
            assert!(matches!(Frame::again(framed), Err(Error::Malformed)), "{framed:?}");
        }
    }

    #[test]
    fn a_value_of_another_length_than_announced_is_refused() {
        let new = |len| Frame::new(len, 0, Kind::Bytes).unwrap();
        assert!(new(2).put(b"abc").is_err());
        assert!(new(2).finish().is_err());
        let mut none = new(2);
        none.put(b"ab").unwrap();
        none.mark(Marker::NONE);
        assert!(none.finish().is_err());
    }

    #[test]
    fn frames_without_a_marker_are_malformed() {
        let bytes_that_are_no_marker = (1..0x80).chain(0xC0..=0xFF);
        for frame in bytes_that_are_no_marker.flat_map(|byte| [vec![byte], vec![0x80, byte], vec![b'a', byte, 0]]) {
            assert!(matches!(parse(&frame), Err(Error::Malformed)), "{frame:?}");
        }
        for frame in [&b""[..], b"\0\0", b"a\x81", b"\x80\x81", b"\0\x81\0"] {
            assert!(matches!(parse(frame), Err(Error::Malformed)), "{frame:?}");
        }
        assert_eq!(parse(b"\x80\x80\0").unwrap(), (Kind::Bytes.into(), 1));
        assert_eq!(parse(b"\x81\0").unwrap(), (Marker::NONE, 0));
        let (later, len) = parse(b"a\xBF\0").unwrap();
        assert_eq!((later.byte(), len), (0xBF, 1));
        assert!(matches!(later.kind(), Err(Error::UnknownFormat)));
    }
}
