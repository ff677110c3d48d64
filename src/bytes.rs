//! Reading and writing big-endian records of explicit width. Imports nothing of the crate.
//!
//! Used by whatever is versioned bytes on disk: slots and journal entries. A [`Reader`] never panics and never allocates
//! by a length that it has not checked.

/// The bytes ended early, are too many, or a length or value is out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Damaged> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Damaged> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damaged> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damaged> {
        self.array().map(u64::from_be_bytes)
    }

    /// A `u16` length of at most `max`, and as many bytes.
    pub(crate) fn bytes(&mut self, max: usize) -> Result<&'a [u8], Damaged> {
        let len = usize::from(self.u16()?);
        if len > max {
            return Err(Damaged);
        }
        self.slice(len)
    }

    /// Like [`Self::bytes`], as UTF-8 text that is not empty.
    pub(crate) fn text(&mut self, max: usize) -> Result<&'a str, Damaged> {
        let text = std::str::from_utf8(self.bytes(max)?).map_err(|_| Damaged)?;
        if text.is_empty() { Err(Damaged) } else { Ok(text) }
    }

    /// So many bytes.
    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
        self.0 = rest;
        Ok(head)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything must have been read.
    pub(crate) fn end(self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged) }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u8(&mut self, n: u8) -> &mut Self {
        self.put(&[n])
    }

    pub(crate) fn u16(&mut self, n: u16) -> &mut Self {
        self.put(&n.to_be_bytes())
    }

    pub(crate) fn u32(&mut self, n: u32) -> &mut Self {
        self.put(&n.to_be_bytes())
    }

    pub(crate) fn u64(&mut self, n: u64) -> &mut Self {
        self.put(&n.to_be_bytes())
    }

    /// A `u16` length and the bytes. Every caller's bytes are capped far below 64 KiB when they are made.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        debug_assert!(u16::try_from(bytes.len()).is_ok());
        self.u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX)).put(bytes)
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}
