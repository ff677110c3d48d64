//! [`Plaintext`]: how a type becomes the bytes of a framed value, and back.

use std::fmt::{self, Write as _};

use super::list::ListCodec;
use super::shape::Shape;
use crate::crypto::buf::WipingBuf;
use crate::envelope::frame::{self, Frame, Marker};
use crate::error::{Error, Result};
use crate::kind::Kind;

/// A type whose values can be sealed. `docs/format.md`, section 6, says what the bytes of each are.
///
/// A newtype and a plain enum are derived: `#[derive(Plaintext)]`. What a value encodes to is part of the stored data, and so
/// is [`KIND`](Self::KIND): neither is changed later.
///
/// By hand, for a type that is more than what it wraps:
///
/// ```
/// use fieldseal::value::{Decoder, Encoder, Kind, Plaintext};
/// use fieldseal::{Error, Result};
///
/// /// Digits, as people write them down.
/// struct Phone(String);
///
/// impl Plaintext for Phone {
///     const KIND: Kind = String::KIND; // so that a field of text may become a `Phone`
///
///     fn encoded_len(&self) -> Result<usize> {
///         self.0.encoded_len()
///     }
///     fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
///         self.0.encode(out)
///     }
///     fn decode(value: Decoder<'_>) -> Result<Self> {
///         let text = String::decode(value)?;
///         if text.bytes().all(|b| b.is_ascii_digit()) { Ok(Self(text)) } else { Err(Error::Malformed) }
///     }
///     fn wipe(&mut self) {
///         self.0.wipe();
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be sealed",
    note = "text, bytes, bool, integers of fixed width, f32 and f64, IP addresses, and `Option` and `Vec` of these can; uuid, \
            chrono, time, rust_decimal and secrecy with the features of those names; JSON (`AsJson`) with `serde`",
    note = "`#[derive(fieldseal::Plaintext)]` on a newtype or a plain enum, or implement it for a type of your own"
)]
pub trait Plaintext: Sized {
    /// What its values are sealed as: the marker behind the bytes names it.
    ///
    /// A newtype has the kind of what it wraps, so `String` may become `Email(String)` and nothing is sealed anew. A plain
    /// enum is text. [`Kind::None`] is no type's kind.
    const KIND: Kind;

    /// Whether the type has a none of its own: `Option`, and what wraps one.
    const NULLABLE: bool = false;

    /// How a `Vec` of these is sealed.
    #[doc(hidden)]
    const LIST: ListCodec<Self> = ListCodec::of_items();

    /// What its stored values look like, where its kind doesn't say it all: a type that reads fewer values of the kind than
    /// another has another shape.
    #[doc(hidden)]
    fn shape() -> Shape {
        Shape::of(Self::KIND.name())
    }

    /// Whether a value that was sealed as `found` is read. A type that says more than its own kind must tell the kinds apart
    /// in [`decode`](Self::decode), by [`Decoder::kind`].
    ///
    /// It isn't asked about [`Kind::None`].
    fn reads(found: Kind) -> bool {
        found == Self::KIND
    }

    /// How many bytes [`encode`](Self::encode) writes, exactly.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the value can't be encoded.
    fn encoded_len(&self) -> Result<usize>;

    /// Writes the value.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the value can't be encoded, or isn't as long as announced.
    fn encode(&self, out: &mut Encoder<'_>) -> Result<()>;

    /// Reads a value: of a kind that the type [`reads`](Self::reads), or a none where it is [`NULLABLE`](Self::NULLABLE).
    ///
    /// # Errors
    /// [`Error::Malformed`] if the bytes are not one.
    fn decode(value: Decoder<'_>) -> Result<Self>;

    /// Overwrites the value. It is dropped right after.
    fn wipe(&mut self);
}

/// Where a value is written: the place in the envelope where its ciphertext will stand.
#[derive(Debug)]
pub struct Encoder<'a> {
    frame: &'a mut Frame,
    /// Bytes that were announced and not written.
    left: usize,
    is_none: bool,
}

impl Encoder<'_> {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if they are more than [`Plaintext::encoded_len`] announced.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.take(bytes.len())?;
        self.frame.put(bytes)
    }

    /// Appends what a value displays as, without a copy in between: as many bytes as `display_len` counts.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it is more than [`Plaintext::encoded_len`] announced.
    pub(crate) fn put_display(&mut self, value: &impl fmt::Display) -> Result<()> {
        struct Adapter<'a, 'b>(&'a mut Encoder<'b>, Result<()>);
        impl fmt::Write for Adapter<'_, '_> {
            fn write_str(&mut self, s: &str) -> fmt::Result {
                self.1 = self.0.put(s.as_bytes());
                if self.1.is_ok() { Ok(()) } else { Err(fmt::Error) }
            }
        }
        let mut adapter = Adapter(self, Ok(()));
        match write!(adapter, "{value}") {
            Ok(()) => Ok(()),
            Err(fmt::Error) => adapter.1.and(Err(Error::invalid("a value can't be displayed"))),
        }
    }

    /// The value is none.
    pub(crate) fn put_none(&mut self) {
        self.is_none = true;
    }

    /// Appends an item of a list: [`item_len`] bytes.
    pub(crate) fn put_item<T: Plaintext>(&mut self, item: &T) -> Result<()> {
        let len = item.encoded_len()?;
        let len32 = u32::try_from(len).map_err(|_| Error::invalid("a value has at most 16 MiB"))?;
        self.take(item_len(len)?)?;
        let marker = self.frame.put_marker(T::KIND.into())?;
        self.frame.put(&len32.to_be_bytes())?;
        if write(item, len, self.frame)? == Marker::NONE {
            self.frame.mark_at(marker, Marker::NONE);
        }
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<()> {
        self.left = self
            .left
            .checked_sub(len)
            .ok_or_else(|| Error::invalid("a value encodes to more bytes than its encoded_len says"))?;
        Ok(())
    }
}

/// The bytes of a value, opened and authenticated. Wiped when the record's opening ends.
#[derive(Debug)]
pub struct Decoder<'a> {
    source: Source<'a>,
    kind: Kind,
    /// What was asked for.
    expected: Kind,
}

enum Source<'a> {
    /// The first bytes of a frame.
    Frame(&'a mut WipingBuf, usize),
    /// Some within a frame.
    Item(&'a [u8]),
}

impl Decoder<'_> {
    /// What the value was sealed as.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The value's bytes.
    ///
    /// # Errors
    /// [`Error::WrongType`] if none was sealed.
    pub fn bytes(&self) -> Result<&[u8]> {
        self.some()?;
        match &self.source {
            Source::Frame(frame, len) => {
                frame.as_slice().get(..*len).ok_or_else(|| Error::Bug("a value longer than its frame"))
            }
            Source::Item(bytes) => Ok(bytes),
        }
    }

    /// The value's bytes, exactly `N`.
    ///
    /// # Errors
    /// [`Error::Malformed`] if there are more or fewer; [`Error::WrongType`] if none was sealed.
    pub fn array<const N: usize>(&self) -> Result<[u8; N]> {
        self.bytes()?.try_into().map_err(|_| Error::Malformed)
    }

    /// The value's bytes, to own; without a copy, but for an item of a list: for types that wipe them.
    ///
    /// # Errors
    /// [`Error::WrongType`] if none was sealed.
    pub fn into_vec(self) -> Result<Vec<u8>> {
        self.some()?;
        Ok(match self.source {
            Source::Frame(frame, len) => {
                frame.truncate(len);
                frame.take()
            }
            Source::Item(bytes) => bytes.to_vec(),
        })
    }

    pub(crate) fn is_none(&self) -> bool {
        self.kind == Kind::None
    }

    fn some(&self) -> Result<()> {
        if self.is_none() { Err(Error::WrongType { found: Kind::None, expected: self.expected }) } else { Ok(()) }
    }
}

/// Opaque: the bytes are a value.
impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source(..)")
    }
}

/// How many bytes a value displays as.
pub(crate) fn display_len(value: &impl fmt::Display) -> usize {
    struct Count(usize);
    impl fmt::Write for Count {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            self.0 += s.len();
            Ok(())
        }
    }
    let mut count = Count(0);
    // A value that fails to display fails again, and is reported, when it is encoded.
    let _ = write!(count, "{value}");
    count.0
}

/// How many bytes an item of a list takes, of which its value is `len`.
pub(crate) fn item_len(len: usize) -> Result<usize> {
    len.checked_add(ITEM_HEAD).ok_or_else(|| Error::invalid("a value has at most 16 MiB"))
}

/// What stands before the value of an item: its marker, and its length.
pub(crate) const ITEM_HEAD: usize = 5;

/// Overwrites a value of a type that gives no access to its bytes. The optimizer must take the new one for used, so it
/// can't drop the write although the value is dropped right after.
pub(crate) fn overwrite<T>(value: &mut T, blank: T) {
    *value = blank;
    std::hint::black_box(value);
}

/// The frame of a value, ready to seal.
pub(crate) fn frame_of<T: Plaintext>(value: &T, pad: usize) -> Result<Frame> {
    let len = value.encoded_len()?;
    let mut frame = Frame::new(len, pad, T::KIND)?;
    let marker = write(value, len, &mut frame)?;
    frame.mark(marker);
    Ok(frame)
}

/// Writes a value of `len` bytes; gives the marker that belongs to it.
fn write<T: Plaintext>(value: &T, len: usize, frame: &mut Frame) -> Result<Marker> {
    const { assert!(!matches!(T::KIND, Kind::None), "`Kind::None` is no type's kind: an `Option` has that of its value") };
    let mut out = Encoder { frame, left: len, is_none: false };
    value.encode(&mut out)?;
    match (out.is_none, out.left) {
        (false, 0) => Ok(T::KIND.into()),
        (true, 0) if len == 0 && T::NULLABLE => Ok(Marker::NONE),
        // What would be sealed could not be opened.
        (true, 0) => Err(Error::invalid("a type that wraps an `Option` is NULLABLE, and its none has no bytes")),
        _ => Err(Error::invalid("a value encodes to fewer bytes than its encoded_len says")),
    }
}

/// The value in an opened frame: steps 7 to 10 of section 8.
pub(crate) fn value_of<T: Plaintext>(frame: &mut WipingBuf) -> Result<T> {
    let (marker, len) = frame::parse(frame.as_slice())?;
    read(marker, Source::Frame(frame, len))
}

/// The value of an item of a list.
pub(crate) fn item_of<T: Plaintext>(marker: Marker, bytes: &[u8]) -> Result<T> {
    read(marker, Source::Item(bytes))
}

/// Steps 8 to 10. What a value is, is judged before its bytes are looked at.
fn read<T: Plaintext>(marker: Marker, source: Source<'_>) -> Result<T> {
    let (kind, expected) = (marker.kind()?, T::KIND);
    let is_read = if kind == Kind::None { T::NULLABLE } else { T::reads(kind) };
    if !is_read {
        return Err(Error::WrongType { found: kind, expected });
    }
    T::decode(Decoder { source, kind, expected })
}
