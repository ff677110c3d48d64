//! Tables that become stacked rows on a narrow screen. Imports text only.
//!
//! The roles are written out: browsers take a table that CSS lays out otherwise for no table.

use std::iter;

use super::text::{escape, number};

/// A column's name, and whether figures stand in it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Head {
    Text(&'static str),
    Figures(&'static str),
}

/// A cell as HTML.
#[derive(Debug)]
pub(crate) struct Cell(String);

impl Cell {
    /// Text that comes from outside.
    pub(crate) fn text(text: &str) -> Self {
        Self(escape(text))
    }

    pub(crate) fn number(n: u64) -> Self {
        Self(number(n))
    }

    /// What is HTML already.
    pub(crate) fn html(html: String) -> Self {
        Self(html)
    }
}

/// The first cell of each row is its header.
pub(crate) fn table<const N: usize>(
    caption: &'static str,
    heads: [Head; N],
    rows: impl IntoIterator<Item = [Cell; N]>,
) -> String {
    let rows = rows.into_iter().map(Vec::from);
    draw(caption, &heads, rows)
}

/// Counts under their labels, after what they are counts of.
pub(crate) fn counts<const N: usize>(
    caption: &'static str,
    first: &'static str,
    labels: [&'static str; N],
    rows: impl IntoIterator<Item = (Cell, [u64; N])>,
) -> String {
    let heads: Vec<_> = iter::once(Head::Text(first)).chain(labels.map(Head::Figures)).collect();
    let rows = rows.into_iter().map(|(cell, counts)| iter::once(cell).chain(counts.map(Cell::number)).collect());
    draw(caption, &heads, rows)
}

/// A chart's figures, to be unfolded.
pub(crate) fn folded(table: &str) -> String {
    format!("<details><summary>Figures</summary>{table}</details>")
}

fn draw(caption: &'static str, heads: &[Head], rows: impl Iterator<Item = Vec<Cell>>) -> String {
    let head: String = heads
        .iter()
        .map(|head| format!(r#"<th role="columnheader" scope="col"{}>{}</th>"#, head.class(), head.name()))
        .collect();
    let body: String = rows.map(|row| format!(r#"<tr role="row">{}</tr>"#, cells(heads, &row))).collect();
    format!(
        r#"<div class="scroll" role="region" aria-label="{caption}" tabindex="0"><table role="table"><caption>{caption}</caption><thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{body}</tbody></table></div>"#
    )
}

fn cells(heads: &[Head], row: &[Cell]) -> String {
    let cell = |(i, (head, Cell(html))): (usize, (&Head, &Cell))| {
        let (class, name) = (head.class(), head.name());
        match i {
            0 => format!(r#"<th role="rowheader" scope="row"{class} data-name="{name}"><span>{html}</span></th>"#),
            _ => format!(r#"<td role="cell"{class} data-name="{name}"><span>{html}</span></td>"#),
        }
    };
    heads.iter().zip(row).enumerate().map(cell).collect()
}

impl Head {
    fn name(self) -> String {
        match self {
            Self::Text(name) | Self::Figures(name) => escape(name),
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Text(_) => "",
            Self::Figures(_) => r#" class="figures""#,
        }
    }
}
