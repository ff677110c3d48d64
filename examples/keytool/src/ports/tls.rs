//! TLS, as everything that is reached by URL has it: rustls on ring, and the authorities that the machine trusts, or those of
//! `SSL_CERT_FILE` and `SSL_CERT_DIR`. And [`Flaw`]: why it doesn't come about.

use std::error::Error;
use std::io;
#[cfg(feature = "provider-openbao")]
use std::sync::Arc;

use rustls::{CertificateError, Error as TlsError};

#[cfg(feature = "provider-openbao")]
use super::Trouble;

/// For an HTTP client. reqwest's TLS comes without cryptography of its own.
#[cfg(feature = "provider-openbao")]
pub(super) fn config(is_needed: bool) -> Result<rustls::ClientConfig, Trouble> {
    let roots = if is_needed { roots()? } else { rustls::RootCertStore::empty() };
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    let config = config.map_err(|e| Trouble::unavailable("no TLS").because(e))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(feature = "provider-openbao")]
fn roots() -> Result<rustls::RootCertStore, Trouble> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let none = Trouble::usage(
        "no authority for TLS is trusted here: name a file with its certificate (PEM) in SSL_CERT_FILE, or install the \
         system's (`ca-certificates`)",
    );
    Err(match found.errors.into_iter().next() {
        Some(e) => none.because(e),
        None => none,
    })
}

/// Why TLS doesn't come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Nobody who is trusted has signed the certificate.
    Untrusted,
    /// The certificate is another host's.
    OtherHost,
    /// Past its time, or before it.
    Outdated,
    /// Nothing that proves who a server is.
    NoCertificate,
    /// What answers speaks something else.
    NoTls,
    /// Anything else.
    Refused,
}

impl Flaw {
    /// That of an error of a client, if TLS is what failed.
    pub(super) fn of(e: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(e);
        while let Some(e) = next {
            if let Some(e) = e.downcast_ref::<TlsError>() {
                return Some(Self::of_tls(e));
            }
            next = match e.downcast_ref::<io::Error>() {
                // Its own source is that of what it carries.
                Some(e) => e.get_ref().map(|e| e as &(dyn Error + 'static)),
                None => e.source(),
            };
        }
        None
    }

    fn of_tls(e: &TlsError) -> Self {
        match e {
            TlsError::InvalidCertificate(e) => match e {
                // The other is an authority's of the same name, as where one was made anew.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Untrusted,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::OtherHost,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Outdated,
                _ => Self::NoCertificate,
            },
            TlsError::InvalidMessage(_) => Self::NoTls,
            _ => Self::Refused,
        }
    }
}
