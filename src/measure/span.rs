//! [`Span`]: a call as `tracing` sees it.

use std::time::Duration;

use tracing::field::Empty;
use tracing::instrument::{Instrument as _, Instrumented};
use tracing::{debug, debug_span, warn};

use super::Key;
use crate::layer::Port;

pub(super) struct Span(tracing::Span);

impl Span {
    pub(super) fn new(port: Port, method: &'static str) -> Self {
        Self(debug_span!(target: "fieldseal", "fieldseal.port", port = port.name(), method, outcome = Empty))
    }

    pub(super) fn around<F: Future>(&self, work: F) -> Instrumented<F> {
        work.instrument(self.0.clone())
    }

    /// The event names what the span names: a subscriber that takes warnings alone sees no span.
    pub(super) fn end(&self, (port, method, outcome): Key, took: Duration, is_trouble: bool) {
        self.0.record("outcome", outcome);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.in_scope(|| match is_trouble {
            true => warn!(target: "fieldseal", port = port.name(), method, outcome, micros),
            false => debug!(target: "fieldseal", port = port.name(), method, outcome, micros),
        });
    }
}
