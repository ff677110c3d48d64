//! Providers that are made of others.

mod any_of;
mod by_tenant;

use fieldseal::error::{ProviderError, ProviderErrorKind};

fn kind<T>(answer: Result<T, ProviderError>) -> Option<ProviderErrorKind> {
    answer.err().map(|e| e.kind())
}
