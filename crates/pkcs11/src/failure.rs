//! Why the token did not do something, and what that means to the caller.

use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};

use fieldseal::error::{ProviderError, ProviderErrorKind};

/// A refusal.
#[derive(Debug)]
pub(super) enum Failure {
    /// The token's, or its module's: the session is not trusted any more.
    Token(Error),
    /// Ours. The session is fine.
    Said(ProviderError),
}

impl Failure {
    pub(super) fn authentication() -> Self {
        Self::Said(ProviderError::new(ProviderErrorKind::Authentication))
    }

    pub(super) fn unknown_key() -> Self {
        Self::Said(ProviderError::new(ProviderErrorKind::UnknownKey))
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Token(e)
    }
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Said(e) => e,
            Failure::Token(e) => {
                let (kind, hint) = meaning(&e);
                Self::new(kind).with_hint(hint).with_source(e)
            }
        }
    }
}

/// The session, or its login, has ended.
pub(super) fn is_about_session(e: &Error) -> bool {
    use RvError as Rv;
    matches!(e, Error::Pkcs11(Rv::SessionHandleInvalid | Rv::SessionClosed | Rv::UserNotLoggedIn, _))
}

/// The PIN is wrong or worn out: another try may lock the token.
pub(super) fn is_about_pin(e: &Error) -> bool {
    use RvError as Rv;
    matches!(e, Error::Pkcs11(Rv::PinIncorrect | Rv::PinInvalid | Rv::PinLenRange | Rv::PinExpired | Rv::PinLocked, _))
}

/// What a token says of a ciphertext that isn't its own. `Some(true)` if it can mean nothing else; `Some(false)` if it may, as
/// with SoftHSM, which says that something failed.
pub(super) fn is_about_ciphertext(e: &Error) -> Option<bool> {
    use RvError as Rv;
    match e {
        Error::Pkcs11(
            Rv::EncryptedDataInvalid | Rv::EncryptedDataLenRange | Rv::UnknownErrorCode(AEAD_DECRYPT_FAILED),
            Function::Decrypt,
        ) => Some(true),
        Error::Pkcs11(
            Rv::GeneralError | Rv::FunctionFailed | Rv::DataInvalid | Rv::DataLenRange | Rv::ArgumentsBad,
            Function::Decrypt,
        ) => Some(false),
        _ => None,
    }
}

/// The object was there when it was looked for.
pub(super) fn is_gone(e: &Error) -> bool {
    matches!(e, Error::Pkcs11(RvError::ObjectHandleInvalid | RvError::KeyHandleInvalid, _))
}

/// The token does not take an object of this kind.
pub(super) fn is_about_template(e: &Error) -> bool {
    use RvError as Rv;
    matches!(
        e,
        Error::NullFunctionPointer
            | Error::Pkcs11(
                Rv::AttributeTypeInvalid
                    | Rv::AttributeValueInvalid
                    | Rv::AttributeReadOnly
                    | Rv::FunctionNotSupported
                    | Rv::TemplateIncomplete
                    | Rv::TemplateInconsistent,
                _
            )
    )
}

fn meaning(e: &Error) -> (ProviderErrorKind, &'static str) {
    use ProviderErrorKind as Kind;
    use RvError as Rv;
    if is_about_pin(e) {
        return (Kind::Denied, "the PIN is wrong, expired or locked; it is not tried again");
    }
    if is_about_template(e) {
        return (Kind::Misconfigured, "the token does not have what is asked of it");
    }
    let Error::Pkcs11(rv, _) = e else {
        return (Kind::Misconfigured, "the PKCS#11 module is not one that can be used");
    };
    match rv {
        Rv::UserPinNotInitialized | Rv::UserTypeInvalid | Rv::UserAnotherAlreadyLoggedIn | Rv::UserTooManyTypes => {
            (Kind::Denied, "the user can't log in")
        }
        Rv::ActionProhibited | Rv::SessionReadOnly | Rv::TokenWriteProtected => {
            (Kind::Denied, "the user may not do this")
        }
        Rv::KeyFunctionNotPermitted => (Kind::Misconfigured, "the key may not both encrypt and decrypt"),
        Rv::KeyTypeInconsistent
        | Rv::KeySizeRange
        | Rv::MechanismInvalid
        | Rv::MechanismParamInvalid
        | Rv::DomainParamsInvalid => (Kind::Misconfigured, "the token does not do AES-GCM with such a key"),
        Rv::UserNotLoggedIn => (Kind::Unavailable, "the process is logged out again and again"),
        Rv::TokenNotPresent | Rv::TokenNotRecognized | Rv::DeviceRemoved | Rv::SlotIdInvalid => {
            (Kind::Unavailable, "the token is not there")
        }
        Rv::DeviceMemory | Rv::HostMemory | Rv::SessionCount => (Kind::Unavailable, "the token has no room for it"),
        _ => (Kind::Unavailable, "the token failed"),
    }
}

/// Of PKCS#11 3.0; the crate has no name for it.
const AEAD_DECRYPT_FAILED: u64 = 0x42;
