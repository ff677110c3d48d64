//! The AEAD suites and their byte on the wire.

/// An AEAD with a 32-byte key, a 24-byte nonce and a 16-byte tag.
///
/// Both take random nonces without a count of messages to keep: the limit at a collision probability of 2^-32 is 2^80
/// messages a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// XAES-256-GCM (C2SP): AES-256-GCM under a key derived from the first half of the nonce. The default.
    #[default]
    Xaes256Gcm,
    /// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), for machines without AES instructions.
    XChaCha20Poly1305,
}

impl Suite {
    /// Every suite, for tables and tests.
    pub(crate) const ALL: [Self; 2] = [Self::Xaes256Gcm, Self::XChaCha20Poly1305];

    /// The first byte of an envelope.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Xaes256Gcm => 0xF9,
            Self::XChaCha20Poly1305 => 0xFA,
        }
    }

    /// The suite of an envelope's first byte, if this build knows it.
    pub const fn of(byte: u8) -> Option<Self> {
        match byte {
            0xF9 => Some(Self::Xaes256Gcm),
            0xFA => Some(Self::XChaCha20Poly1305),
            _ => None,
        }
    }

    /// How many bytes of the nonce the derived state depends on: nonces that share them share the state.
    pub(crate) const fn prefix_len(self) -> usize {
        match self {
            Self::Xaes256Gcm => 12,
            Self::XChaCha20Poly1305 => 16,
        }
    }
}
