//! Looks at what a job made of the table, and at what a kill left of it.

use fieldseal::SubjectKeys;
use fieldseal::jobs::{Census, Tally};
use fieldseal::rows::{Cell, Row};
use fieldseal::store::{Filter, Scan};
use fieldseal_testkit::customer;

use super::application::Record;
use super::keeper::State;
use super::table::{
    FIELDS, Field, LOST, ROWS, SUBJECTS, all, envelope, is_out_of_reach, map, number, open, subject_of, value,
};
use super::*;

/// What an undisturbed run makes of a table.
pub(super) struct Undisturbed {
    before: Vec<Row>,
    after: Vec<Row>,
    state: State,
    revealed: String,
    slots: Vec<(String, usize)>,
}

impl Undisturbed {
    pub(super) async fn look(before: Vec<Row>, place: &SharedFiles) -> Result<Self> {
        let state = State::read(place)?.ok_or("no state")?;
        let (after, slots) = (all(place).await?, slots(place).await?);
        Ok(Self { before, after, state, revealed: revealed(place), slots })
    }

    /// What a kill left is of each row all, or nothing, of what a step does to it; and nothing else.
    pub(super) fn check_left(&self, left: &[Row]) {
        for ((before, after), left) in self.before.iter().zip(&self.after).zip(left) {
            let (whole, found) = (changed(before, after), changed(before, left));
            let of_a_step: Vec<usize> = whole.iter().copied().filter(|at| *at <= 4).collect();
            assert!(found.is_empty() || found == of_a_step || found == whole, "row {} is half done", number(before));
        }
    }

    /// What the rest of the job made of what a kill left is what the whole would have come to, and nothing is done again.
    pub(super) async fn check_end(&self, place: &SharedFiles, left: &[Row]) -> Result {
        let end = all(place).await?;
        for (((before, after), left), end) in self.before.iter().zip(&self.after).zip(left).zip(&end) {
            let row = number(before);
            assert_eq!(changed(before, end), changed(before, after), "of row {row} other cells are changed");
            for at in changed(before, left) {
                assert_eq!(end.cells[at], left.cells[at], "row {row} was changed twice");
            }
        }
        let state = State::read(place)?.ok_or("no state")?;
        match (state.text.parse::<Census>(), self.state.text.parse::<Census>()) {
            (Ok(found), Ok(expected)) => assert!(found == expected, "another census"),
            _ => check_tally(*state.checkpoint()?.ok_or("no checkpoint")?.tally(), self.tally()?),
        }
        assert!(revealed(place) == self.revealed, "other lines are revealed");
        assert_eq!(slots(place).await?, self.slots, "the key store holds other keys");
        Ok(())
    }

    fn tally(&self) -> Result<Tally> {
        Ok(*self.state.checkpoint()?.ok_or("no checkpoint")?.tally())
    }
}

/// What was changed before a kill, and not told of, counts as what needed no change. Everything else is counted as if
/// nobody had been killed.
fn check_tally(found: Tally, expected: Tally) {
    let settled = |tally: Tally| tally.changed + tally.current + tally.empty;
    let rest = |tally: Tally| (tally.rows, tally.erased, tally.not_held, tally.failed);
    assert_eq!((settled(found), rest(found)), (settled(expected), rest(expected)));
    assert!(found.changed <= expected.changed);
    assert_eq!(found.rows, ROWS.cast_unsigned(), "each row is counted once");
}

/// The columns that differ.
fn changed(one: &Row, other: &Row) -> Vec<usize> {
    assert_eq!(one.key, other.key);
    (0..one.cells.len()).filter(|at| one.cells[*at] != other.cells[*at]).collect()
}

fn revealed(place: &SharedFiles) -> String {
    std::fs::read_to_string(place.file(REVEALED)).unwrap_or_default()
}

/// Which slots there are, and how many keys they hold, which their length tells.
async fn slots(place: &SharedFiles) -> Result<Vec<(String, usize)>> {
    let store = SqliteStore::open(place.file(KEYS)).await?;
    let slots = store.scan(&Scan::new(Filter::All).limit(1000)).await?.slots;
    Ok(slots.iter().map(|slot| (format!("{:?}", slot.id()), slot.as_bytes().len())).collect())
}

/// Every row holds what the application wrote last, in its place, sealed as the job is to leave it; what nobody opens any
/// more is as it was.
pub(super) async fn check_values(
    place: &SharedFiles,
    job: Job,
    before: &[Row],
    record: &Record,
    keys: Current,
) -> Result {
    let vault = place.fresh().await?;
    let subjects: Vec<_> = (1..=SUBJECTS).map(customer).collect();
    let page = vault.default_tenant().keys_of(&subjects).await?;
    for (row, before) in all(place).await?.iter().zip(before) {
        let n = number(row);
        assert_eq!(row.cells[0], Cell::Integer(subject_of(n)));
        let mut versions = record.now(n).to_vec();
        for field in &FIELDS {
            let cell = &row.cells[field.at];
            if is_out_of_reach(field, n) || (job != Job::Adopt && n == LOST && field.name == "email") {
                assert_eq!(cell, &before.cells[field.at], "row {n}: an erased {} was touched", field.name);
                assert_eq!(row.cells[field.plain_at], before.cells[field.plain_at]);
                continue;
            }
            let keys_of = page.get(&customer(subject_of(n)))?;
            let opened = open(keys_of, field, n, cell).map_err(|e| format!("row {n}: {} is lost: {e}", field.name))?;
            // All of a row is of one version.
            versions.retain(|version| value(field, n, *version) == opened);
            assert!(!versions.is_empty(), "row {n}: its {} is not what was written last", field.name);
            let plain = &row.cells[field.plain_at];
            assert!(field.is_in_place() || plain.is_null(), "row {n}: the plaintext of its {} is there", field.name);
            if matches!(keys, Current::All) || (matches!(keys, Current::Untouched) && record.ever(n).len() == 1) {
                check_current(keys_of, field, n, cell)?;
            }
        }
    }
    Ok(())
}

/// Which values must be under their subject's current key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Current {
    All,
    /// Those that the application didn't write: it may have used old keys for a while.
    Untouched,
    Any,
}

fn check_current(keys: &SubjectKeys, field: &Field, row: i64, cell: &Cell) -> Result {
    if let Some(sealed) = envelope(field, cell) {
        assert!(!sealed.needs_reseal(keys)?, "row {row}: {} is under an old key", field.name);
    }
    Ok(())
}

/// A census beside an application that writes counts each row once, under the keys that it had when it was read.
pub(super) fn check_census(place: &SharedFiles) -> Result {
    let state = State::read(place)?.ok_or("no state")?;
    let counted: Census = state.text.parse()?;
    assert!(counted.is_complete(&map(Job::Census)));
    for purpose in ["default", "billing"] {
        let cells: u64 = counted.versions().filter(|v| v.purpose == purpose).map(|v| v.cells).sum();
        let fields = FIELDS.iter().filter(|field| field.purpose == purpose);
        let expected =
            fields.map(|field| (1..=ROWS).filter(|row| value(field, *row, 0).is_some()).count()).sum::<usize>();
        assert_eq!(cells, expected as u64, "cells of the purpose {purpose}");
    }
    assert_eq!(counted.lost().map(|(_, rows)| rows).collect::<Vec<_>>(), [1]);
    Ok(())
}

/// What is revealed beside an application that writes has each row once, as it was at some time, all of it at the same.
pub(super) fn check_revealed(place: &SharedFiles, record: &Record) -> Result {
    let text = revealed(place);
    assert!(text.ends_with('\n'), "half a line");
    let lines = text.lines().map(serde_json::from_str).collect::<std::result::Result<Vec<serde_json::Value>, _>>()?;
    assert_eq!(lines.len(), usize::try_from(ROWS)?, "each row once");
    for (line, row) in lines.iter().zip(1..) {
        assert_eq!(
            (&line["record"][0], &line["subject"]),
            (&row.to_string().into(), &subject_of(row).to_string().into())
        );
        let mut versions = record.ever(row).to_vec();
        for field in &FIELDS {
            let Some(shown) = line["fields"].get(field.name) else {
                assert!(is_out_of_reach(field, row) || row == LOST, "row {row}: {} is not shown", field.name);
                continue;
            };
            assert!(shown.is_null() || !is_out_of_reach(field, row), "row {row}: an erased {} is shown", field.name);
            versions.retain(|version| value(field, row, *version).as_deref() == shown.as_str());
        }
        assert!(!versions.is_empty(), "row {row} is revealed as it never was");
    }
    Ok(())
}
