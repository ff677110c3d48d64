//! [`Flaw`]: why TLS doesn't come about. Each client that is reached by URL has TLS of rustls on ring, and trusts the machine's
//! authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.

use std::error::Error;
use std::io;

use rustls::{CertificateError, Error as TlsError};

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
