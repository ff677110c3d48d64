//! Text for people: tables, moments, counts.

use fieldseal::clock::Timestamp;
use fieldseal::journal::JournalErrorKind;
use fieldseal::store::SlotId;
use fieldseal::vault::PassedOver;

/// `1 subject`, `2 subjects`.
pub(crate) fn count(n: u64, what: &str) -> String {
    plural(n, what, &format!("{what}s"))
}

/// `1 entry`, `2 entries`.
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `2026-11-24 23:50 UTC`.
pub(crate) fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

/// Columns as wide as they need be, two spaces before each.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|title| title.len())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let line: String = cells.zip(&widths).map(|(cell, width)| format!("  {cell:<width$}")).collect();
        format!("{}\n", line.trim_end())
    };
    let mut text = line(&mut head.iter().copied());
    rows.iter().for_each(|row| text.push_str(&line(&mut row.iter().map(String::as_str))));
    text
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A slot by its names: a subject's by its tag.
pub(crate) fn slot(id: &SlotId) -> String {
    match id {
        SlotId::Vault => "the vault's slot".to_owned(),
        SlotId::Tenant(tenant) => format!("tenant {:?}", tenant.as_str()),
        SlotId::Subject(tenant, tag) => format!("subject {} of tenant {:?}", hex(tag.as_bytes()), tenant.as_str()),
    }
}

/// `1 entry of the journal is by nobody who has the key store's root, and has no effect: at 17`
pub(crate) fn passed_over(passed: &PassedOver) -> String {
    let entries = plural(passed.count, "entry of the journal is", "entries of the journal are");
    let have = if passed.count == 1 { "has" } else { "have" };
    let mut at: Vec<String> = passed.positions.iter().take(POSITIONS).map(u64::to_string).collect();
    if passed.count > at.len() as u64 {
        at.push("..".to_owned());
    }
    format!("{entries} by nobody who has the key store's root, and {have} no effect: at {}", at.join(", "))
}

/// The same for a program.
pub(crate) fn passed_over_json(passed: &PassedOver) -> serde_json::Value {
    serde_json::json!({ "count": passed.count, "positions": passed.positions })
}

/// Why nothing is decided about a slot, and what to do.
pub(crate) fn unclear(kind: JournalErrorKind) -> &'static str {
    match kind {
        JournalErrorKind::NewerSchema => "the journal has an entry of a later version about it: upgrade this program",
        JournalErrorKind::Corrupt => "the journal lacks an entry about it: put back a copy that has every entry",
        _ => "what the journal says of it is not clear",
    }
}

/// How many positions a line names.
const POSITIONS: usize = 10;

/// A slot for a program.
pub(crate) fn slot_json(id: &SlotId) -> serde_json::Value {
    let tag = match id {
        SlotId::Subject(_, tag) => Some(hex(tag.as_bytes())),
        _ => None,
    };
    serde_json::json!({ "tenant": id.tenant().map(fieldseal::TenantId::as_str), "tag": tag })
}
