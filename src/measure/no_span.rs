//! [`Span`], where nobody looks: nothing.

use std::time::Duration;

use super::Key;
use crate::layer::Port;

pub(super) struct Span;

impl Span {
    pub(super) fn new(_: Port, _: &'static str) -> Self {
        Self
    }

    pub(super) fn around<F: Future>(&self, work: F) -> F {
        work
    }

    pub(super) fn end(&self, _: Key, _: Duration, _: bool) {}
}
