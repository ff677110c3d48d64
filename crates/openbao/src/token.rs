//! [`Token`] and [`TokenSource`]: what a request shows the server.

use std::fmt;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use fieldseal::error::ProviderError;

/// A token of the server. Wiped when the last clone goes; not printable.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl Token {
    /// The longest token, in bytes.
    pub const MAX_LEN: usize = 8192;

    /// Takes a token of 1 to [`Token::MAX_LEN`] bytes of visible ASCII, as it is: the newline at the end of a file is the
    /// caller's to take off.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Misconfigured` if it is something else.
    ///
    /// # Security
    /// A `String` is moved and wiped; a borrowed one is copied, and the caller wipes the original.
    pub fn new(token: impl Into<String>) -> Result<Self, ProviderError> {
        let token = Zeroizing::new(token.into().into_bytes());
        if token.is_empty() || token.len() > Self::MAX_LEN || !token.iter().all(u8::is_ascii_graphic) {
            return Err(ProviderError::misconfigured("a token has 1 to 8192 bytes, of visible ASCII"));
        }
        let header = HeaderValue::from_maybe_shared(Bytes::from_owner(token));
        let mut header = header.map_err(|_| ProviderError::misconfigured("a token is what a header can hold"))?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Gives the token that is valid now: a [`Token`] that is renewed in place, or a closure that gives a clone of the newest one.
///
/// To log in, and to renew a token or to replace it, is the application's: in a task of its own that puts the new token where
/// the closure finds it.
pub trait TokenSource: Send + Sync {
    /// The token for the next request. Called once a request: it must not wait for anything.
    fn token(&self) -> Token;
}

impl TokenSource for Token {
    fn token(&self) -> Token {
        self.clone()
    }
}

impl<F: Fn() -> Token + Send + Sync> TokenSource for F {
    fn token(&self) -> Token {
        self()
    }
}
