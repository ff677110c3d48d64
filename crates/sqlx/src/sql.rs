//! What the SQL adapters have in common: names in quotes, and what a table must be to be gone through.

use fieldseal::rows::{RowKey, RowsError, Table};

/// A column's name in quotes, so that any name is only a name.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A column of the table that the statement calls `t`.
pub(crate) fn of_table(column: &str) -> String {
    format!("t.{}", quoted(column))
}

/// A table's name in quotes: `sales.customer` is the table `customer` of the schema `sales`.
pub(crate) fn quoted_table(name: &str) -> String {
    name.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

/// Refuses what no statement can be made of.
pub(crate) fn check(table: &Table) -> Result<(), RowsError> {
    check_names(&table.name, table.key.iter().chain(&table.columns))?;
    if table.key.is_empty() {
        return Err(RowsError::misconfigured("a table is gone through in the order of its key: name its columns"));
    }
    for (at, name) in table.columns.iter().enumerate() {
        if table.columns.iter().take(at).any(|earlier| earlier == name) {
            return Err(RowsError::misconfigured(format!("the column {name:?} is named twice")));
        }
    }
    Ok(())
}

/// Refuses names that no database has.
pub(crate) fn check_names<'a>(table: &'a str, columns: impl Iterator<Item = &'a String>) -> Result<(), RowsError> {
    let mut names = table.split('.').chain(columns.map(String::as_str));
    if names.any(|name| name.is_empty() || name.contains('\0')) {
        return Err(RowsError::misconfigured("a name of a table or column is empty, or holds a zero byte"));
    }
    Ok(())
}

/// Whether one of these columns is NULL, so that the row has no name.
pub(crate) fn any_is_null(columns: &[String]) -> String {
    let is_null: Vec<_> = columns.iter().map(|column| format!("{column} IS NULL")).collect();
    format!("({})", is_null.join(" OR "))
}

/// A key that has as many cells as the table's key has columns, none of them NULL.
pub(crate) fn check_key(key: &RowKey, columns: usize) -> Result<(), RowsError> {
    if key.cells().len() != columns {
        return Err(RowsError::misconfigured("a row's key has another number of columns: is it of another table?"));
    }
    if !key.names_a_row() {
        return Err(RowsError::misconfigured(
            "a key column holds NULL, so it names no row: take the primary key, or a unique key without NULL",
        ));
    }
    Ok(())
}

/// What is wrong if more than one row has a key.
pub(crate) fn not_unique() -> RowsError {
    RowsError::misconfigured("several rows have the same key, so it names none: take the primary key, or a unique key")
}

/// The columns of a table that aren't there, those of its key included, each once.
pub(crate) fn missing(table: &Table, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    for name in table.key.iter().chain(&table.columns) {
        if !is_there(name) && !missing.contains(name) {
            missing.push(name.clone());
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_a_name() {
        assert_eq!(quoted("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
        assert_eq!(quoted_table("sales.customer"), "\"sales\".\"customer\"");
    }

    #[test]
    fn what_no_statement_can_be_made_of_is_refused() {
        assert!(check(&Table::new("t", ["id"], ["a"])).is_ok());
        for table in [
            Table::new("", ["id"], ["a"]),
            Table::new("s.", ["id"], ["a"]),
            Table::new("t", [""; 0], ["a"]),
            Table::new("t", ["id"], ["a", "a"]),
            Table::new("t", ["id"], ["a\0"]),
        ] {
            assert!(check(&table).is_err(), "{table:?}");
        }
    }
}
