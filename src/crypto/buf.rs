//! [`WipingBuf`]: bytes that are wiped when they go out of scope, with their final size from the start.

use std::fmt;

use zeroize::Zeroize as _;

use crate::error::{Error, Result};

/// A buffer for plaintext or keys. It never grows past the capacity it was made with, so no copy is left behind by a
/// reallocation, and it is wiped on drop.
#[derive(Default)]
pub(crate) struct WipingBuf(Vec<u8>);

impl WipingBuf {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Appends; an attempt to grow past the capacity is an error and leaves the buffer as it was.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() > self.0.capacity() - self.0.len() {
            return Err(Error::Bug("a wiping buffer is written past the size it was made with"));
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends zeros up to `len`.
    pub(crate) fn zero_fill(&mut self, len: usize) -> Result<()> {
        if len > self.0.capacity() {
            return Err(Error::Bug("a wiping buffer is padded past the size it was made with"));
        }
        self.0.resize(len, 0);
        Ok(())
    }

    /// Replaces what it holds by `bytes`. Where it must grow, the old bytes are wiped first.
    pub(crate) fn refill(&mut self, bytes: &[u8]) {
        self.0.zeroize();
        self.0.reserve_exact(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        if let Some(rest) = self.0.get_mut(len..) {
            rest.zeroize();
        }
        self.0.truncate(len);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(crate) fn remaining(&self) -> usize {
        self.0.capacity() - self.0.len()
    }

    /// Hands the bytes over; from here on they are no longer wiped by this type.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for WipingBuf {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for WipingBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WipingBuf(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_refuses_to_grow() {
        let mut buf = WipingBuf::with_capacity(4);
        let capacity = buf.remaining();
        buf.put(&vec![1; capacity]).unwrap();
        assert!(buf.put(&[1]).is_err());
        assert!(buf.zero_fill(capacity + 1).is_err());
        assert_eq!(buf.len(), capacity);
    }
}
