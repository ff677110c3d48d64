//! Whom a command is about: `SUBJECT`, `--tenant`; and what is known of them, for dry runs and questions.

use std::collections::HashMap;
use std::io::Read as _;

use fieldseal::journal::{JournalEntry, JournalErrorKind, JournalEvent};
use fieldseal::store::SlotId;
use fieldseal::vault::{SubjectInfo, SubjectState, VersionState};
use fieldseal::{Error, SubjectId, Tenant, TenantId, Vault};

use crate::exit::{Exit, Failure};
use crate::text::{count, moment, unclear};

/// One subject of a tenant.
#[derive(Debug, clap::Args)]
pub(crate) struct Subject {
    /// The subject's kind and id, as the application has them: `customer:17`; `-` reads it from standard input, so that no
    /// process list shows it.
    #[arg(value_name = "SUBJECT")]
    subject: String,
    #[command(flatten)]
    of: OfTenant,
}

/// The tenant that subjects are of.
#[derive(Debug, clap::Args)]
pub(crate) struct OfTenant {
    /// The tenant.
    #[arg(long, default_value = "default")]
    tenant: String,
}

impl Subject {
    /// The tenant is `default` where none is named.
    pub(crate) fn new(subject: String, tenant: Option<String>) -> Self {
        Self {
            subject,
            of: OfTenant { tenant: tenant.unwrap_or_else(|| TenantId::default_tenant().as_str().to_owned()) },
        }
    }

    /// The tenant, and the subject.
    pub(crate) fn find(&self, vault: &Vault) -> Result<(Tenant, SubjectId), Failure> {
        match subjects(std::slice::from_ref(&self.subject))?.as_slice() {
            [subject] => Ok((self.of.tenant(vault)?, subject.clone())),
            _ => Err(Failure::usage("standard input is to name one subject, in one line")),
        }
    }
}

impl OfTenant {
    pub(crate) fn tenant(&self, vault: &Vault) -> Result<Tenant, Failure> {
        Ok(vault.tenant(&TenantId::new(&self.tenant)?))
    }
}

/// The subjects that are given, or for `-` those in the lines of standard input.
pub(crate) fn subjects(given: &[String]) -> Result<Vec<SubjectId>, Failure> {
    let mut lines = String::new();
    let given: Vec<&str> = match given {
        [dash] if dash == "-" => {
            let read = std::io::stdin().lock().read_to_string(&mut lines);
            read.map_err(|e| Failure::usage("can't read subjects from standard input").because(&e))?;
            lines.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect()
        }
        given => given.iter().map(String::as_str).collect(),
    };
    if given.is_empty() {
        return Err(Failure::usage("standard input names no subject: one a line"));
    }
    given.into_iter().map(|subject| Ok(subject.parse::<SubjectId>()?)).collect()
}

/// What the key store has of a subject, if anything.
pub(crate) async fn look(tenant: &Tenant, subject: &SubjectId) -> Result<Option<SubjectInfo>, Failure> {
    match tenant.inventory(subject).await {
        Ok(info) => Ok(Some(info)),
        Err(Error::SubjectUnknown) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// What the key store has of a subject that must be there, and not erased.
pub(crate) async fn living(tenant: &Tenant, subject: &SubjectId) -> Result<SubjectInfo, Failure> {
    let info = tenant.inventory(subject).await?;
    match info.state {
        SubjectState::Erased { at } => Err(Error::SubjectErased { at }.into()),
        _ => Ok(info),
    }
}

/// What is known of a subject.
#[derive(Debug)]
pub(crate) enum Known {
    /// What the key store has.
    Stored(SubjectInfo),
    /// The key store has nothing; what the journal says.
    Journaled(Journaled),
}

/// What the entries about a subject come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Journaled {
    held: bool,
    pub(crate) scheduled: bool,
    unclear: Option<JournalErrorKind>,
}

impl Known {
    pub(crate) fn is_held(&self) -> bool {
        match self {
            Self::Stored(info) => info.held,
            Self::Journaled(said) => said.held,
        }
    }

    pub(crate) fn described(&self) -> String {
        let said = match self {
            Self::Stored(info) => return described(info),
            Self::Journaled(said) => said,
        };
        let held = if said.held { ", on hold" } else { "" };
        let scheduled = if said.scheduled { ", to be erased later" } else { "" };
        format!("known to the journal alone{held}{scheduled}, no data key")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Self::Stored(info) => json(info),
            Self::Journaled(said) => {
                serde_json::json!({ "state": "journaled", "held": said.held, "scheduled": said.scheduled })
            }
        }
    }
}

impl Journaled {
    /// Where it is not clear what happened, nothing is decided about the subject.
    pub(crate) fn clear(&self) -> Result<Known, Failure> {
        match self.unclear {
            None => Ok(Known::Journaled(*self)),
            Some(why) => Err(Failure::new(Exit::Unverified, "journal_unclear", unclear(why))),
        }
    }
}

/// Of these subjects of a tenant, those that the journal knows. Reads it whole, if it is asked about anybody.
pub(crate) async fn journaled(
    tenant: &Tenant,
    subjects: impl IntoIterator<Item = &SubjectId>,
) -> Result<HashMap<SubjectId, Journaled>, Failure> {
    let (mut tags, mut found) = (HashMap::new(), HashMap::new());
    for subject in subjects {
        match tenant.tag(subject).await {
            Ok(tag) => drop(tags.insert(SlotId::Subject(tenant.id().clone(), tag), subject)),
            Err(Error::SubjectUnknown) => return Ok(found), // the tenant has no root, so no entry can name its subjects
            Err(e) => return Err(e.into()),
        }
    }
    if tags.is_empty() {
        return Ok(found);
    }
    let each = |entry: &JournalEntry| {
        let about = entry.tenant().cloned().zip(entry.tag().copied());
        let about = about.map(|(tenant, tag)| SlotId::Subject(tenant, tag));
        let Some(subject) = about.and_then(|about| tags.get(&about)) else { return };
        let said: &mut Journaled = found.entry((*subject).clone()).or_default();
        match entry.event() {
            JournalEvent::Held => said.held = true,
            JournalEvent::Released => said.held = false,
            JournalEvent::ErasureScheduled { .. } => said.scheduled = true,
            JournalEvent::ErasureCancelled | JournalEvent::ErasureIntended { whole: true, .. } => {
                said.scheduled = false
            }
            _ => {}
        }
    };
    let audit = tenant.vault().audit_journal(each).await?;
    for (about, why) in audit.unclear {
        if let Some(subject) = tags.get(&about) {
            found.entry((*subject).clone()).or_default().unclear = Some(why);
        }
    }
    Ok(found)
}

/// What is known of a subject that key store or journal must know.
pub(crate) async fn known(tenant: &Tenant, subject: &SubjectId) -> Result<Known, Failure> {
    match look(tenant, subject).await? {
        Some(info) => Ok(Known::Stored(info)),
        None => journaled(tenant, [subject]).await?.remove(subject).ok_or(Error::SubjectUnknown)?.clear(),
    }
}

/// How many data keys a subject has.
pub(crate) fn keys_of(info: &SubjectInfo) -> u64 {
    info.purposes.iter().map(|purpose| purpose.versions.len() as u64).sum()
}

/// `live, on hold, 2 data keys in epoch 1`
pub(crate) fn described(info: &SubjectInfo) -> String {
    let state = match info.state {
        SubjectState::Live => "live".to_owned(),
        SubjectState::Scheduled { at } => format!("unreadable, due at {}", moment(at)),
        SubjectState::Erased { at } => return format!("erased at {}", moment(at)),
        _ => "in a state that a later version knows".to_owned(),
    };
    let hold = if info.held { ", on hold" } else { "" };
    let epoch = info.epoch.map(|epoch| format!(" in epoch {epoch}")).unwrap_or_default();
    format!("{state}{hold}, {}{epoch}", count(keys_of(info), "data key"))
}

/// The same for a program.
pub(crate) fn json(info: &SubjectInfo) -> serde_json::Value {
    let version = |state: VersionState| match state {
        VersionState::Pending => "pending",
        VersionState::Current => "current",
        VersionState::Superseded { .. } => "superseded",
        _ => "unknown",
    };
    let (state, at) = match info.state {
        SubjectState::Live => ("live", None),
        SubjectState::Scheduled { at } => ("scheduled", Some(at.to_string())),
        SubjectState::Erased { at } => ("erased", Some(at.to_string())),
        _ => ("unknown", None),
    };
    serde_json::json!({
        "state": state,
        "at": at,
        "held": info.held,
        "epoch": info.epoch.map(fieldseal::store::Epoch::get),
        "retain_until": info.retain_until.map(|at| at.to_string()),
        "purposes": info.purposes.iter().map(|purpose| serde_json::json!({
            "purpose": purpose.purpose.as_str(),
            "line": purpose.line,
            "erased_at": purpose.erased_at.map(|at| at.to_string()),
            "versions": purpose.versions.iter().map(|v| serde_json::json!({
                "number": v.number,
                "created_at": v.created_at.to_string(),
                "seal_from": v.seal_from.map(|at| at.to_string()),
                "state": version(v.state),
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}
