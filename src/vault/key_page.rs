//! [`KeyPage`]: the keys of many subjects at once.

use std::collections::HashMap;
use std::fmt;

use super::cache::SubjectLookup;
use super::tenant::check_tenant;
use crate::error::{Error, Result};
use crate::id::{HasSubject, SubjectId, TenantId};
use crate::subject::SubjectKeys;

/// The keys of the subjects of a page of rows: one store read for all that weren't cached.
///
/// A subject that is unknown, erased or closed affects no other: [`KeyPage::get`] says so when it is asked for.
pub struct KeyPage {
    tenant: TenantId,
    found: HashMap<SubjectId, SubjectLookup>,
}

impl KeyPage {
    pub(super) fn new(tenant: TenantId, found: HashMap<SubjectId, SubjectLookup>) -> Self {
        Self { tenant, found }
    }

    /// The keys of a row's subject. Cheap: call it once a row.
    ///
    /// # Errors
    /// [`Error::SubjectUnknown`], [`Error::SubjectErased`], [`Error::SubjectClosed`]; [`Error::InvalidInput`] if the row names
    /// nobody, or its subject was not in what the page was made of; [`Error::WrongTenant`].
    pub fn get(&self, row: &(impl HasSubject + ?Sized)) -> Result<&SubjectKeys> {
        check_tenant(&self.tenant, row)?;
        match self.found.get(&row.subject()?) {
            Some(SubjectLookup::Keys(keys)) => Ok(keys),
            Some(missing) => Err(missing.clone().into_keys().err().unwrap_or(Error::Bug("keys are missing"))),
            None => Err(Error::invalid("the page was not made for this subject")),
        }
    }

    /// How many subjects it has keys for.
    pub fn len(&self) -> usize {
        self.found.values().filter(|found| matches!(found, SubjectLookup::Keys(_))).count()
    }

    /// Whether it has keys for nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for KeyPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPage({} subjects)", self.found.len())
    }
}
