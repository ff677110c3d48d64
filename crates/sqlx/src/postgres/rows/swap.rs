//! Swaps: grouped by the columns that they are about, so that a call is a handful of statements however many rows it has.

use std::collections::BTreeMap;
use std::convert::identity;

use sqlx::PgConnection;

use super::column::Column;
use super::error::failed;
use super::{Handed, PostgresRows, ordinal};
use crate::postgres::{gave_way, query};
use crate::sql::{not_unique, quoted};
use fieldseal::rows::{Cell, RowKey, RowsError, Swap};

/// How often a call gives way to other transactions before it says so.
const ATTEMPTS: usize = 5;

/// After so many bytes a statement takes no more rows: an array may have a gigabyte at most.
const MAX_BYTES: usize = 64 << 20;

/// Swaps of different rows, about the same columns: one statement.
struct Group<'a> {
    shape: Vec<(usize, bool)>,
    /// With their places among those of the call.
    swaps: Vec<(usize, &'a Swap)>,
    bytes: usize,
}

impl PostgresRows {
    pub(super) async fn swap_all(&self, swaps: &[Swap]) -> Result<Vec<bool>, RowsError> {
        let groups = self.groups(swaps)?;
        if groups.is_empty() {
            return Ok(vec![false; swaps.len()]);
        }
        let mut attempts = ATTEMPTS;
        loop {
            match self.attempt(swaps.len(), &groups).await {
                Ok(swapped) => return swapped.ok_or_else(not_unique),
                Err(error) if gave_way(&error) && attempts > 1 => attempts -= 1,
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Which statements the swaps make; of one row, the later in a later one. All are checked before one is carried out.
    /// One that expects what its column can't hold is in none: nothing is what it expects.
    fn groups<'a>(&self, swaps: &'a [Swap]) -> Result<Vec<Group<'a>>, RowsError> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut next: BTreeMap<&RowKey, usize> = BTreeMap::new();
        for (at, swap) in swaps.iter().enumerate() {
            if !self.is_possible(swap)? {
                continue;
            }
            let shape: Vec<_> = swap.cells().map(|(column, _, new)| (column, new.is_some())).collect();
            let from = next.get(swap.key()).copied().unwrap_or_default();
            let is_ours = |group: &Group<'_>| group.shape == shape && group.bytes < MAX_BYTES;
            let place = groups.iter().skip(from).position(is_ours).map_or(groups.len(), |place| from + place);
            if place == groups.len() {
                groups.push(Group { shape, swaps: Vec::new(), bytes: 0 });
            }
            if let Some(group) = groups.get_mut(place) {
                group.swaps.push((at, swap));
                group.bytes += swap.cells().map(|(_, expected, new)| len(expected) + new.map_or(0, len)).sum::<usize>();
            }
            next.insert(swap.key(), place + 1);
        }
        Ok(groups)
    }

    fn is_possible(&self, swap: &Swap) -> Result<bool, RowsError> {
        self.check_key(swap.key())?;
        swap.check(self.columns.len())?;
        let mut is_possible = true;
        for (at, expected, new) in swap.cells() {
            let Some(column) = self.columns.get(at) else { continue };
            if new.is_some_and(|new| !column.takes(new)) {
                let what = format!("the column {:?} is of another type than what is to be written to it", column.name);
                return Err(RowsError::misconfigured(what));
            }
            is_possible &= column.takes(expected);
        }
        Ok(is_possible)
    }

    /// Which rows were changed, of `count`; none if a key names several rows.
    async fn attempt(&self, count: usize, groups: &[Group<'_>]) -> Result<Option<Vec<bool>>, sqlx::Error> {
        let mut transaction = self.begin().await?;
        let swapped = self.swap_in(&mut transaction, count, groups).await;
        transaction.end(swapped, identity).await
    }

    async fn swap_in(
        &self,
        connection: &mut PgConnection,
        count: usize,
        groups: &[Group<'_>],
    ) -> Result<Option<Vec<bool>>, sqlx::Error> {
        let mut swapped = vec![false; count];
        let keys: Vec<&RowKey> = groups.iter().flat_map(|group| &group.swaps).map(|(_, swap)| swap.key()).collect();
        let mut is_locked = vec![false; keys.len()];
        for row in self.bind_keys(query(self.lock()), &keys).fetch_all(&mut *connection).await? {
            if let Some(is_locked) = is_locked.get_mut(ordinal(&row)?)
                && std::mem::replace(is_locked, true)
            {
                return Ok(None);
            }
        }
        for group in groups {
            let keys: Vec<_> = group.swaps.iter().map(|(_, swap)| swap.key()).collect();
            let mut statement = self.bind_keys(query(self.update(&group.shape)), &keys);
            for (n, (at, is_new)) in group.shape.iter().enumerate() {
                let Some(column) = self.columns.get(*at) else { continue };
                let cells = || group.swaps.iter().filter_map(move |(_, swap)| swap.cells().nth(n));
                statement = column.bind_all(statement, cells().map(|(_, expected, _)| expected));
                if *is_new {
                    statement = column.bind_all(statement, cells().filter_map(|(_, _, new)| new));
                }
            }
            for row in statement.fetch_all(&mut *connection).await? {
                let place = group.swaps.get(ordinal(&row)?).and_then(|(at, _)| swapped.get_mut(*at));
                place.into_iter().for_each(|place| *place = true);
            }
        }
        Ok(Some(swapped))
    }

    /// All rows of a call, in the order of their keys: two calls that want the same rows don't come to hold half of them
    /// each. As an UPDATE locks them that leaves the key alone, so that rows which refer to them can be written meanwhile.
    fn lock(&self) -> String {
        let handed = self.keys();
        let (table, rows, conditions) = (&self.table, handed.rows(), handed.conditions());
        let order = self.key.iter().map(Column::raw).collect::<Vec<_>>().join(", ");
        format!("SELECT v.ord FROM {table} AS t JOIN {rows} ON {conditions} ORDER BY {order} FOR NO KEY UPDATE OF t")
    }

    fn update(&self, shape: &[(usize, bool)]) -> String {
        let mut handed: Handed<'_> = self.keys();
        let mut set = Vec::new();
        for (n, (at, is_new)) in shape.iter().enumerate() {
            let Some(column) = self.columns.get(*at) else { continue };
            let expected = handed.column(column, format!("e{n}"));
            handed.conditions.push(column.is(&expected));
            if *is_new {
                let new = handed.column(column, format!("n{n}"));
                set.push(format!("{} = {}", quoted(&column.name), column.own(&new)));
            }
        }
        let (table, set, rows, conditions) = (&self.table, set.join(", "), handed.rows(), handed.conditions());
        format!("UPDATE {table} AS t SET {set} FROM {rows} WHERE {conditions} RETURNING v.ord")
    }
}

fn len(cell: &Cell) -> usize {
    match cell {
        Cell::Text(text) => text.len(),
        Cell::Bytes(bytes) => bytes.len(),
        _ => size_of::<i64>(),
    }
}
