//! [`Escrow`]: a provider of master keys.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use fieldseal::provider::{
    Destruction, KeyMaterial, MasterKeyId, MasterKeyProvider, ProviderError, ProviderErrorKind, WrapContext, WrappedKey,
};

use crate::locked;

/// Keeps the keys themselves and gives tickets for them, as a token that holds objects gives handles. A ticket is random, and
/// good for one context.
pub struct Escrow(Mutex<State>);

struct State {
    /// A drawer a master key; none where it was destroyed.
    drawers: BTreeMap<MasterKeyId, Option<Drawer>>,
    current: MasterKeyId,
}

/// By its ticket each key, and the context that it is for.
type Drawer = BTreeMap<Vec<u8>, (KeyMaterial, Vec<u8>)>;

impl Escrow {
    /// One that has a master key.
    ///
    /// # Errors
    /// [`ProviderError`] if it can't be named.
    pub fn new() -> Result<Self, ProviderError> {
        let current = name(1)?;
        Ok(Self(Mutex::new(State { drawers: [(current.clone(), Some(Drawer::new()))].into(), current })))
    }

    /// Makes another master key the current one.
    ///
    /// # Errors
    /// [`ProviderError`] if it can't be named.
    pub fn rotate(&self) -> Result<(), ProviderError> {
        let mut state = locked(&self.0);
        state.current = name(state.drawers.len() + 1)?;
        let current = state.current.clone();
        state.drawers.insert(current, Some(Drawer::new()));
        Ok(())
    }
}

fn name(number: usize) -> Result<MasterKeyId, ProviderError> {
    MasterKeyId::new(format!("escrow-{number}")).map_err(ProviderError::unavailable)
}

impl State {
    /// None where the key was destroyed.
    fn drawer(&mut self, id: &MasterKeyId) -> Result<&mut Option<Drawer>, ProviderError> {
        self.drawers.get_mut(id).ok_or_else(|| ProviderError::new(ProviderErrorKind::UnknownKey))
    }
}

#[async_trait]
impl MasterKeyProvider for Escrow {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        Ok(locked(&self.0).current.clone())
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        let ticket = KeyMaterial::generate().map_err(ProviderError::unavailable)?.expose().to_vec();
        let kept = KeyMaterial::from_slice(key.expose()).map_err(ProviderError::unavailable)?;
        let mut state = locked(&self.0);
        let master = state.current.clone();
        let drawer = state.drawer(&master)?.as_mut();
        let drawer = drawer.ok_or_else(|| ProviderError::corrupt("the current master key was destroyed"))?;
        drawer.insert(ticket.clone(), (kept, context.encode()));
        WrappedKey::new(master, ticket).map_err(ProviderError::unavailable)
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        let mut state = locked(&self.0);
        let drawer = state.drawer(wrapped.master())?.as_ref();
        let drawer = drawer.ok_or_else(|| ProviderError::new(ProviderErrorKind::KeyDestroyed))?;
        match drawer.get(wrapped.as_bytes()) {
            Some((key, of)) if *of == context.encode() => {
                KeyMaterial::from_slice(key.expose()).map_err(ProviderError::unavailable)
            }
            _ => Err(ProviderError::new(ProviderErrorKind::Authentication)),
        }
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        let mut state = locked(&self.0);
        if state.current == *id {
            return Err(ProviderError::misconfigured("the current master key: rotate first"));
        }
        *state.drawer(id)? = None;
        Ok(Destruction::Destroyed)
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        let is_there = locked(&self.0).drawer(id)?.is_some();
        Ok((!is_there).then_some(Destruction::Destroyed))
    }
}

/// The keys are in it.
impl fmt::Debug for Escrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Escrow(..)")
    }
}
