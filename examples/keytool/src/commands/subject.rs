//! Whom a command is about: `SUBJECT`, `--tenant`; and what is known of them, for dry runs and questions.

use std::io::Read as _;

use fieldseal::vault::{SubjectInfo, SubjectState, VersionState};
use fieldseal::{Error, SubjectId, Tenant, TenantId, Vault};

use crate::exit::Failure;
use crate::text::{count, moment};

/// One subject of a tenant.
#[derive(Debug, clap::Args)]
pub(crate) struct Subject {
    /// The subject's id, as the application has it; `-` reads it from standard input, so that no process list shows it.
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

    /// The tenant, and the subject's id.
    pub(crate) fn find(&self, vault: &Vault) -> Result<(Tenant, SubjectId), Failure> {
        match ids(std::slice::from_ref(&self.subject))?.as_slice() {
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

/// The ids that are given, or for `-` the lines of standard input.
pub(crate) fn ids(given: &[String]) -> Result<Vec<SubjectId>, Failure> {
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
    given.into_iter().map(|id| Ok(SubjectId::of(id)?)).collect()
}

/// What the key store has of a subject, if anything.
pub(crate) async fn look(tenant: &Tenant, subject: &SubjectId) -> Result<Option<SubjectInfo>, Failure> {
    match tenant.inventory(subject).await {
        Ok(info) => Ok(Some(info)),
        Err(Error::SubjectUnknown) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// What the key store has of a subject that must be there.
pub(crate) async fn known(tenant: &Tenant, subject: &SubjectId) -> Result<SubjectInfo, Failure> {
    Ok(tenant.inventory(subject).await?)
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
