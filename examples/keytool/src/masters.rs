//! [`Providers`]: the master keys, opened: the provider or the set that wraps, those from which it took over, and tenants' own.

use std::collections::HashMap;
use std::sync::Arc;

use fieldseal::TenantId;
use fieldseal::error::{ProviderError, ProviderErrorKind};
use fieldseal::provider::{AnyOf, ByTenant, MasterKeyId, MasterKeyProvider, Succession};
use futures_util::future::join_all;

use crate::config::{MemberConfig, ProviderConfig, SetConfig};
use crate::exit::{Exit, Failure};
use crate::open::Tool;
use crate::ports::Provider;

/// The master keys.
pub(crate) struct Providers {
    current: Set,
    /// One that can't be opened holds up what is only its own to open, and the end of any master key.
    previous: Vec<Set>,
    /// Tenants' own. One that can't be opened holds up its tenant alone.
    tenants: HashMap<TenantId, Vec<Set>>,
}

/// One provider, or several of which any opens.
struct Set {
    first: Provider,
    others: Vec<Provider>,
}

impl Tool {
    pub(crate) async fn providers(&self) -> Result<Providers, Failure> {
        self.providers_as(&self.config.provider, &self.config.tenants).await
    }

    /// Those that are named here, and not in the configuration.
    pub(crate) async fn providers_as(
        &self,
        common: &ProviderConfig,
        tenants: &HashMap<TenantId, ProviderConfig>,
    ) -> Result<Providers, Failure> {
        let current = self.set(&common.set).await?;
        let previous = self.earlier(&common.previous).await;
        Ok(Providers { current, previous, tenants: self.tenants(tenants).await })
    }

    /// Some sets, of which the first wraps, and all can be opened.
    pub(crate) async fn providers_of(&self, first: &SetConfig, others: &[SetConfig]) -> Result<Providers, Failure> {
        let mut previous = Vec::new();
        for config in others {
            previous.push(self.set(config).await?);
        }
        let tenants = self.tenants(&self.config.tenants).await;
        Ok(Providers { current: self.set(first).await?, previous, tenants })
    }

    /// Of each the one that wraps, then those before it.
    async fn tenants(&self, tenants: &HashMap<TenantId, ProviderConfig>) -> HashMap<TenantId, Vec<Set>> {
        // At the same time: each may be waited for.
        let tenants = tenants.iter().map(|(tenant, config)| async move {
            let mut sets = vec![self.set(&config.set).await.unwrap_or_else(|e| Set::shut(&e))];
            sets.extend(self.earlier(&config.previous).await);
            (tenant.clone(), sets)
        });
        join_all(tenants).await.into_iter().collect()
    }

    /// Those before: what one of them could open is missed only by what is still under its keys.
    async fn earlier(&self, configs: &[SetConfig]) -> Vec<Set> {
        let sets = join_all(configs.iter().map(|config| self.set(config))).await;
        sets.into_iter().map(|set| set.unwrap_or_else(|e| Set::shut(&e))).collect()
    }

    /// A set of which one at least can be opened: any opens, and what wraps says which one can't.
    async fn set(&self, config: &SetConfig) -> Result<Set, Failure> {
        let first = self.member(&config.first).await;
        let mut others = Vec::new();
        for member in &config.others {
            others.push(self.member(member).await);
        }
        let opened = |member: Result<Provider, Failure>| member.unwrap_or_else(|e| shut(&e));
        match first {
            Err(e) if others.iter().all(Result::is_err) => Err(e),
            first => Ok(Set { first: opened(first), others: others.into_iter().map(opened).collect() }),
        }
    }

    async fn member(&self, config: &MemberConfig) -> Result<Provider, Failure> {
        let passphrase = self.passphrase(config.passphrase.as_ref())?;
        Ok(config.url.open(self.config.folder(), passphrase).await?)
    }
}

impl Providers {
    pub(crate) fn port(&self) -> Arc<dyn MasterKeyProvider> {
        let common = succession(&self.current, &self.previous);
        match self.tenants.is_empty() {
            true => common,
            false => Arc::new(ByTenant::new(common, self.own())),
        }
    }

    fn own(&self) -> HashMap<TenantId, Arc<dyn MasterKeyProvider>> {
        let own = |(tenant, sets): (&TenantId, &Vec<Set>)| {
            sets.split_first().map(|(current, previous)| (tenant.clone(), succession(current, previous)))
        };
        self.tenants.iter().filter_map(own).collect()
    }

    /// Those that can't be opened, and why: a tenant's own, or one of the common ones.
    pub(crate) fn shut(&self) -> Vec<(Option<TenantId>, Failure)> {
        let common = std::iter::once(&self.current).chain(&self.previous).map(|set| (None, set));
        let own = self.tenants.iter().flat_map(|(tenant, sets)| sets.iter().map(move |set| (Some(tenant), set)));
        let members = common.chain(own).flat_map(|(whose, set)| set.members().map(move |member| (whose, member)));
        let shut = members.filter_map(|(whose, member)| Some((whose.cloned(), member.why_shut()?.clone().into())));
        let mut shut: Vec<_> = shut.collect();
        shut.sort_by(|(a, _), (b, _)| a.cmp(b));
        shut
    }

    /// Those that wrap, and whose current master key is among these.
    pub(crate) async fn used(&self, masters: &[MasterKeyId]) -> Result<Used<'_>, Failure> {
        let mut members = Vec::new();
        for provider in self.current.members() {
            if masters.contains(&provider.current().await?) {
                members.push(provider);
            }
        }
        Ok(Used(members))
    }

    /// Why one of them can't be opened, if one can't.
    pub(crate) fn why_shut(&self) -> Option<Failure> {
        let mut all = std::iter::once(&self.current).chain(&self.previous).flat_map(Set::members);
        all.find_map(Provider::why_shut).map(|why| why.clone().into())
    }

    /// Makes a previous provider ready to destroy a master key: none destroys its current one, so another takes its place,
    /// under which nothing is ever wrapped. Where the operator makes its keys, the provider itself says so.
    pub(crate) async fn let_go(&self, master: &MasterKeyId) -> Result<(), Failure> {
        let members = master.members().unwrap_or_else(|| vec![master.clone()]);
        for provider in self.previous.iter().flat_map(Set::members) {
            if provider.only_by_hand().is_none() && members.contains(&provider.current().await?) {
                provider.add_key().await?;
            }
        }
        Ok(())
    }
}

/// Providers whose current master key is that of an epoch.
pub(crate) struct Used<'a>(Vec<&'a Provider>);

impl Used<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is to be done about it.
    pub(crate) fn advice(&self) -> String {
        let mut advice: Vec<&str> = self.0.iter().map(|p| p.only_by_hand().unwrap_or("--add-key makes one")).collect();
        advice.dedup();
        advice.join("; ")
    }

    /// Makes a new master key in each of them, if it can be made in all.
    pub(crate) async fn add_keys(&self) -> Result<(), Failure> {
        if let Some(by_hand) = self.0.iter().find_map(|provider| provider.only_by_hand()) {
            return Err(Failure::refused(format!("--add-key can't: {by_hand}")));
        }
        for provider in &self.0 {
            provider.add_key().await?;
        }
        Ok(())
    }
}

impl Set {
    /// In the place of one that could not be opened.
    fn shut(why: &Failure) -> Self {
        Self { first: shut(why), others: Vec::new() }
    }

    fn members(&self) -> impl Iterator<Item = &Provider> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn port(&self) -> Arc<dyn MasterKeyProvider> {
        match self.others.as_slice() {
            [] => self.first.port(),
            others => Arc::new(others.iter().map(Provider::port).fold(AnyOf::new(self.first.port()), AnyOf::member)),
        }
    }
}

fn shut(why: &Failure) -> Provider {
    let kind = match why.exit() {
        Exit::Unavailable => ProviderErrorKind::Unavailable,
        _ => ProviderErrorKind::Misconfigured,
    };
    Provider::shut(ProviderError::new(kind).with_hint(why.to_string()))
}

fn succession(current: &Set, previous: &[Set]) -> Arc<dyn MasterKeyProvider> {
    match previous {
        [] => current.port(),
        previous => Arc::new(previous.iter().map(Set::port).fold(Succession::to(current.port()), Succession::from)),
    }
}
