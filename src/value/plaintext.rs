//! [`Plaintext`]: how a type becomes the bytes of a framed value, and back.

#[cfg(any(feature = "chrono", feature = "rust_decimal", feature = "time"))]
use std::fmt::{self, Write as _};

use crate::crypto::buf::WipingBuf;
use crate::envelope::frame::{self, Frame};
use crate::error::{Error, Result};

/// A type whose values can be sealed. `docs/format.md`, section 6, says what the bytes of each are.
///
/// A newtype is five lines; what its value encodes to is part of its format, so it is never changed later:
///
/// ```
/// use fieldseal::value::{Decoder, Encoder, Plaintext};
/// use fieldseal::{Error, Result};
///
/// struct Phone(String);
///
/// impl Plaintext for Phone {
///     fn encoded_len(&self) -> Result<usize> {
///         self.0.encoded_len()
///     }
///     fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
///         self.0.encode(out)
///     }
///     fn decode(value: Decoder<'_>) -> Result<Self> {
///         String::decode(value).map(Self)
///     }
///     fn wipe(&mut self) {
///         self.0.wipe();
///     }
/// }
///
/// enum Plan { Free, Paid }
///
/// impl Plaintext for Plan {
///     fn encoded_len(&self) -> Result<usize> {
///         Ok(1)
///     }
///     fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
///         out.put(&[match self { Self::Free => 0, Self::Paid => 1 }])
///     }
///     fn decode(value: Decoder<'_>) -> Result<Self> {
///         match value.bytes()? {
///             [0] => Ok(Self::Free),
///             [1] => Ok(Self::Paid),
///             _ => Err(Error::Malformed),
///         }
///     }
///     fn wipe(&mut self) {
///         *self = Self::Free;
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be sealed",
    note = "text, bytes, bool, integers of fixed width and f64 can; uuid, chrono, time, rust_decimal and secrecy with the \
            features of those names; JSON (`AsJson`) with `serde`",
    note = "implement `fieldseal::value::Plaintext` for a type of your own"
)]
pub trait Plaintext: Sized {
    /// Whether the type has a none of its own. Only `Option` says so.
    const NULLABLE: bool = false;

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

    /// Reads a value.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the bytes are not one.
    fn decode(value: Decoder<'_>) -> Result<Self>;

    /// Overwrites the value. It is dropped right after.
    fn wipe(&mut self);
}

/// Where a value is written: the place in the envelope where its ciphertext will stand.
#[derive(Debug)]
pub struct Encoder<'a>(&'a mut Frame);

impl Encoder<'_> {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if they are more than [`Plaintext::encoded_len`] announced.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.put(bytes)
    }

    /// Appends what a value displays as, without a copy in between: as many bytes as `display_len` counts.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it is more than [`Plaintext::encoded_len`] announced.
    #[cfg(any(feature = "chrono", feature = "rust_decimal", feature = "time"))]
    pub(crate) fn put_display(&mut self, value: &impl fmt::Display) -> Result<()> {
        struct Adapter<'a>(&'a mut Frame, Result<()>);
        impl fmt::Write for Adapter<'_> {
            fn write_str(&mut self, s: &str) -> fmt::Result {
                self.1 = self.0.put(s.as_bytes());
                if self.1.is_ok() { Ok(()) } else { Err(fmt::Error) }
            }
        }
        let mut adapter = Adapter(self.0, Ok(()));
        match write!(adapter, "{value}") {
            Ok(()) => Ok(()),
            Err(fmt::Error) => adapter.1.and(Err(Error::invalid("a value can't be displayed"))),
        }
    }

    /// The value is none.
    pub(crate) fn put_none(&mut self) {
        self.0.put_none();
    }
}

/// The bytes of a value, opened and authenticated. Wiped when the record's opening ends.
#[derive(Debug)]
pub struct Decoder<'a> {
    frame: &'a mut WipingBuf,
    value: Option<usize>,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(frame: &'a mut WipingBuf) -> Result<Self> {
        let value = frame::value_len(frame.as_slice())?;
        Ok(Self { frame, value })
    }

    /// The value's bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] if none was sealed.
    pub fn bytes(&self) -> Result<&[u8]> {
        let len = self.value.ok_or(Error::Malformed)?;
        self.frame.as_slice().get(..len).ok_or(Error::Bug("a value longer than its frame"))
    }

    /// The value's bytes, exactly `N`.
    ///
    /// # Errors
    /// [`Error::Malformed`] if there are more or fewer, or none was sealed.
    pub fn array<const N: usize>(&self) -> Result<[u8; N]> {
        self.bytes()?.try_into().map_err(|_| Error::Malformed)
    }

    /// The value's bytes, to own, without a copy: for types that wipe them.
    ///
    /// # Errors
    /// [`Error::Malformed`] if none was sealed.
    pub fn into_vec(self) -> Result<Vec<u8>> {
        let len = self.value.ok_or(Error::Malformed)?;
        self.frame.truncate(len);
        Ok(self.frame.take())
    }

    pub(crate) fn is_none(&self) -> bool {
        self.value.is_none()
    }
}

/// How many bytes a value displays as.
#[cfg(feature = "rust_decimal")]
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

/// The frame of a value, ready to seal.
pub(crate) fn frame_of<T: Plaintext>(value: &T, pad: usize) -> Result<Frame> {
    let mut frame = Frame::new(value.encoded_len()?, pad)?;
    value.encode(&mut Encoder(&mut frame))?;
    Ok(frame)
}
