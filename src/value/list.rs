//! Lists: [`Plaintext`] for `Vec<T>`. Each item stands with its own marker and length, so a list of text is never read as one
//! of integers. A `Vec<u8>` is bytes, and no list.

use std::fmt;

use zeroize::Zeroize as _;

use super::plaintext::{ITEM_HEAD, item_len, item_of};
use super::shape::Shape;
use super::{Decoder, Encoder, Plaintext};
use crate::envelope::frame::Marker;
use crate::error::{Error, Result};
use crate::kind::Kind;

/// A list, item by item; a `Vec<u8>` as the bytes that it is. (`vec![1, 2]` is a list of `i32` where nothing says that its
/// numbers are `u8`.)
///
/// A value that lives in the `Vec` itself (an integer) is wiped there; what the `Vec` left elsewhere when it grew is not.
impl<T: Plaintext> Plaintext for Vec<T> {
    const KIND: Kind = Kind::Bytes;

    fn shape() -> Shape {
        (T::LIST.shape)()
    }

    fn encoded_len(&self) -> Result<usize> {
        (T::LIST.encoded_len)(self)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        (T::LIST.encode)(self, out)
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        (T::LIST.decode)(value)
    }

    fn wipe(&mut self) {
        (T::LIST.wipe)(self);
    }
}

/// How a `Vec` of a type is sealed. It is the type that knows, because `Vec<u8>` and `Vec<T>` would be two implementations
/// for one.
#[expect(unnameable_types, reason = "only this crate makes one")]
pub struct ListCodec<T> {
    shape: fn() -> Shape,
    encoded_len: fn(&[T]) -> Result<usize>,
    encode: fn(&[T], &mut Encoder<'_>) -> Result<()>,
    decode: fn(Decoder<'_>) -> Result<Vec<T>>,
    wipe: fn(&mut Vec<T>),
}

impl<T: Plaintext> ListCodec<T> {
    /// As a list of items.
    pub(super) const fn of_items() -> Self {
        Self {
            shape: || T::shape().within("Vec"),
            encoded_len: |items| {
                items.iter().try_fold(0usize, |sum, item| {
                    let item = item_len(item.encoded_len()?)?;
                    sum.checked_add(item).ok_or_else(|| Error::invalid("a value has at most 16 MiB"))
                })
            },
            encode: |items, out| items.iter().try_for_each(|item| out.put_item(item)),
            decode: |value| {
                let bytes = value.bytes()?;
                // Sized once: a list that grows would leave items behind, unwiped. But what says that it has many items is not
                // believed before they are read, where each would take far more here than it does there.
                let count = Items(bytes).take_while(Result::is_ok).count();
                let mut list = Vec::with_capacity(count.min(16 * bytes.len() / size_of::<T>().max(1)));
                let read = Items(bytes).try_for_each(|item| {
                    let (marker, bytes) = item?;
                    list.push(item_of(marker, bytes)?);
                    Ok(())
                });
                if read.is_err() {
                    list.iter_mut().for_each(T::wipe);
                }
                read.map(|()| list)
            },
            wipe: |items| items.iter_mut().for_each(T::wipe),
        }
    }
}

impl ListCodec<u8> {
    /// As bytes.
    pub(super) const BYTES: Self = Self {
        shape: || Shape::of(Kind::Bytes.name()),
        encoded_len: |bytes| Ok(bytes.len()),
        encode: |bytes, out| out.put(bytes),
        decode: |value| value.into_vec(),
        wipe: |bytes| bytes.zeroize(),
    };
}

impl<T> fmt::Debug for ListCodec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListCodec(..)")
    }
}

/// The items of a list, as far as they are whole: a marker and the bytes of a value each. Ends after an error.
pub(crate) struct Items<'a>(pub(crate) &'a [u8]);

impl<'a> Items<'a> {
    fn split(list: &'a [u8]) -> Option<(Marker, &'a [u8], &'a [u8])> {
        let (head, rest) = list.split_first_chunk::<ITEM_HEAD>()?;
        let [marker, len @ ..] = *head;
        let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(len)).ok()?)?;
        let marker = Marker::of(marker).filter(|marker| *marker != Marker::NONE || value.is_empty())?;
        Some((marker, value, rest))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<(Marker, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        Some(match Self::split(std::mem::take(&mut self.0)) {
            Some((marker, value, rest)) => {
                self.0 = rest;
                Ok((marker, value))
            }
            None => Err(Error::Malformed),
        })
    }
}
