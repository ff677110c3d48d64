//! [`Counted`]: a decorator of any port.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use fieldseal::error::{PortError, PortErrorKind};
use fieldseal::layer::{Attempt, Call, Layer};

use crate::locked;

/// A port, and how often each of its methods was called.
#[derive(Debug)]
pub struct Counted<P> {
    inner: P,
    counts: Counts,
}

/// How often each method of each port was called. `Clone` shares it.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<(&'static str, &'static str), u32>>>);

impl Counts {
    /// Of this method of this port.
    pub fn of(&self, port: &'static str, method: &'static str) -> u32 {
        locked(&self.0).get(&(port, method)).copied().unwrap_or_default()
    }
}

impl<P> Counted<P> {
    /// Counts what is asked of a port.
    pub fn new(inner: P, counts: &Counts) -> Self {
        Self { inner, counts: counts.clone() }
    }
}

impl<P: Sync> Layer for Counted<P> {
    async fn around<'a, T, K>(
        &'a self,
        call: Call<'a>,
        work: impl Fn(Attempt) -> Pin<Box<dyn Future<Output = Result<T, PortError<K>>> + Send + 'a>> + Send + Sync + 'a,
    ) -> Result<T, PortError<K>>
    where
        T: Send + 'a,
        K: PortErrorKind,
    {
        *locked(&self.counts.0).entry((call.port.name(), call.method)).or_default() += 1;
        work(Attempt::First).await
    }
}

fieldseal::layered! { Counted: provider store journal rows }
