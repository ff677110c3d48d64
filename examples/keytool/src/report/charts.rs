//! Charts as SVG: bars and columns. Imports text only; colors and patterns are classes of the page's CSS.
//!
//! Lengths are shares of the width and text has the page's size, so that a chart fits a phone and a desk alike. Each part
//! differs from its neighbors by its pattern or lightness as well as by its hue, and each chart says its figures in words.

use super::text::{escape, number, short};

/// A part of a bar or column: its class in the CSS, what it is called, how much it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) class: &'a str,
    pub(crate) label: &'a str,
    pub(crate) value: u64,
}

/// The parts of one thing, in the order of their classes and labels.
pub(crate) fn parts<'a, const N: usize>(
    classes: [&'a str; N],
    labels: [&'a str; N],
    values: [u64; N],
) -> Vec<Segment<'a>> {
    let named = classes.into_iter().zip(labels).zip(values);
    named.map(|((class, label), value)| Segment { class, label, value }).collect()
}

/// A horizontal bar of parts, as long as `total / longest` of the width.
pub(crate) fn bar(title: &str, parts: &[Segment<'_>], longest: u64) -> String {
    let values: Vec<_> = parts.iter().map(|part| part.value).collect();
    let sum = super::data::total(&values);
    if sum == 0 {
        return String::new();
    }
    let length = ratio(sum, longest).max(LEAST) * 100.0;
    let rects: String = stack(&values, sum, 100.0, LEAST_PART)
        .zip(parts)
        .filter(|((_, width), _)| *width > 0.0)
        .map(|((x, width), part)| {
            let class = part.class;
            format!(r#"<rect class="{class}" x="{x:.3}%" width="{width:.3}%" height="100%"/>"#)
        })
        .collect();
    let (title, words) = (escape(title), escape(&in_words(parts)));
    format!(
        r#"<svg class="bar" role="img" style="width:{length:.3}%"><title>{title}</title><desc>{words}</desc>{rects}</svg>"#
    )
}

/// A column: what stands under it, what it is, its parts from the bottom.
#[derive(Debug)]
pub(crate) struct Column<'a> {
    pub(crate) label: String,
    /// A second line, where it changes.
    pub(crate) group: Option<String>,
    pub(crate) title: String,
    pub(crate) parts: Vec<Segment<'a>>,
}

/// Columns side by side, each with its total on top.
pub(crate) fn columns(title: &str, columns: &[Column<'_>]) -> String {
    let sum = |column: &Column<'_>| super::data::total(&column.parts.iter().map(|p| p.value).collect::<Vec<_>>());
    let highest = columns.iter().map(sum).max().unwrap_or(0);
    let step = 100.0 / columns.len().max(1) as f64;
    let drawn: String = columns
        .iter()
        .enumerate()
        .map(|(i, column)| draw_column(column, i as f64 * step, step, sum(column), highest))
        .collect();
    let words: Vec<_> =
        columns.iter().filter(|c| sum(c) > 0).map(|c| format!("{}: {}", c.title, in_words(&c.parts))).collect();
    let words = if words.is_empty() { "none".to_owned() } else { words.join("; ") };
    let (title, words) = (escape(title), escape(&words));
    let (base, height) = (TOP + HEIGHT, TOP + HEIGHT + FOOT);
    format!(
        r#"<svg class="columns" role="img" height="{height}"><title>{title}</title><desc>{words}</desc>{drawn}<line class="axis" x1="0" x2="100%" y1="{base}.5" y2="{base}.5"/></svg>"#
    )
}

/// The colors of a chart, with their names.
pub(crate) fn legend(parts: &[Segment<'_>]) -> String {
    let items: String = parts.iter().map(|p| format!("<li>{}{}</li>", swatch(p.class), escape(p.label))).collect();
    format!(r#"<ul class="legend">{items}</ul>"#)
}

/// What a bar is made of, in figures: for where they are worth more than a legend.
pub(crate) fn key(parts: &[Segment<'_>]) -> String {
    let some = parts.iter().filter(|part| part.value > 0);
    let item = |p: &Segment<'_>| format!("<li>{}{} <b>{}</b></li>", swatch(p.class), escape(p.label), number(p.value));
    format!(r#"<ul class="legend">{}</ul>"#, some.map(item).collect::<String>())
}

/// The patterns that the CSS names: once in a page.
pub(crate) const PATTERNS: &str = r#"<svg class="patterns" aria-hidden="true" width="0" height="0"><defs>
<pattern id="late" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="late-soft" width="6" height="6"/><rect class="late" width="4" height="6"/></pattern>
<pattern id="ahead" width="5" height="5" patternUnits="userSpaceOnUse"><rect class="ahead-soft" width="5" height="5"/><rect class="ahead" width="3" height="5"/></pattern>
<pattern id="gone" width="4" height="4" patternUnits="userSpaceOnUse"><rect class="gone-soft" width="4" height="4"/><circle class="gone" cx="2" cy="2" r="1.3"/></pattern>
</defs></svg>"#;

fn swatch(class: &str) -> String {
    format!(
        r#"<svg class="swatch" aria-hidden="true" width="12" height="12"><rect class="{class}" width="12" height="12"/></svg>"#
    )
}

fn draw_column(column: &Column<'_>, left: f64, step: f64, sum: u64, highest: u64) -> String {
    let values: Vec<_> = column.parts.iter().map(|part| part.value).collect();
    let (x, width, middle) = (left + step * 0.14, step * 0.72, left + step / 2.0);
    let mut top = f64::from(TOP + HEIGHT);
    let rects: String = stack(&values, highest, f64::from(HEIGHT), 4.0)
        .zip(&column.parts)
        .filter(|((_, height), _)| *height > 0.0)
        .map(|((from, height), part)| {
            top = f64::from(TOP + HEIGHT) - from - height;
            let class = part.class;
            format!(r#"<rect class="{class}" x="{x:.3}%" y="{top:.1}" width="{width:.3}%" height="{height:.1}"/>"#)
        })
        .collect();
    let total = if sum > 0 { short(sum) } else { "·".to_owned() };
    let (above, below, under) = (top - 6.0, TOP + HEIGHT + 17, TOP + HEIGHT + 32);
    let label = escape(&column.label);
    let group = column.group.as_deref().map_or(String::new(), |group| {
        format!(r#"<text class="group" x="{middle:.3}%" y="{under}">{}</text>"#, escape(group))
    });
    format!(
        r#"{rects}<text class="total" x="{middle:.3}%" y="{above:.1}">{total}</text><text x="{middle:.3}%" y="{below}">{label}</text>{group}"#
    )
}

/// Where each part begins, and how long it is, if `whole` is `length` long. What is not nothing is seen: it has at least
/// `least`, which the longest part gives.
fn stack(values: &[u64], whole: u64, length: f64, least: f64) -> impl Iterator<Item = (f64, f64)> {
    let exact = |value: u64| ratio(value, whole) * length;
    let mut sizes: Vec<_> = values.iter().map(|&value| if value > 0 { exact(value).max(least) } else { 0.0 }).collect();
    let over = sizes.iter().sum::<f64>() - length;
    if let Some(longest) = sizes.iter_mut().max_by(|a, b| a.total_cmp(b)) {
        *longest -= over.max(0.0);
    }
    sizes.into_iter().scan(0.0, |end, size| {
        let start = *end;
        *end += size;
        Some((start, size))
    })
}

/// The figures of a bar, read aloud.
fn in_words(parts: &[Segment<'_>]) -> String {
    let some: Vec<_> = parts.iter().filter(|part| part.value > 0).collect();
    if some.is_empty() {
        return "none".to_owned();
    }
    let words: Vec<_> = some.iter().map(|part| format!("{} {}", part.label, number(part.value))).collect();
    words.join(", ")
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Of the width, so that the shortest bar is still seen.
const LEAST: f64 = 0.02;
/// Of a hundred, beside the gap between parts.
const LEAST_PART: f64 = 1.6;
/// Of the columns, in pixels: room for the totals, the longest column, room for two lines of labels.
const TOP: u16 = 22;
const HEIGHT: u16 = 132;
const FOOT: u16 = 38;
