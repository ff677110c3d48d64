//! Numbers, times and foreign text as HTML. Imports the library's clock and nothing of the page.

use fieldseal::clock::Timestamp;

/// Text that comes from outside, so that it stays text: in an element, and in an attribute between quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // HTML has no way to write these, and those that turn the direction of a line would show a name as another.
            c if c.is_control()
                || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                html.push('\u{fffd}');
            }
            c => html.push(c),
        }
    }
    html
}

/// Every digit, in groups of three: `1 284 305`. The spaces are narrow and don't break.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() * 2);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(THIN_SPACE);
        }
        grouped.push(digit);
    }
    grouped
}

/// At most four characters, rounded down: `987`, `1.2k`, `48k`, `3M`. For where there is no room; the whole number stands beside.
pub(crate) fn short(n: u64) -> String {
    let Some((unit, sign)) = UNITS.iter().find(|(unit, _)| n >= *unit) else { return n.to_string() };
    match (n / unit, n % unit / (unit / 10)) {
        (whole @ ..10, tenth @ 1..) => format!("{whole}.{tenth}{sign}"),
        (whole, _) => format!("{whole}{sign}"),
    }
}

/// `1 erasure`, `2 erasures`.
pub(crate) fn count(n: u64, one: &str, many: &str) -> String {
    format!("{}\u{a0}{}", number(n), if n == 1 { one } else { many })
}

/// A share of a whole: `98.4 %`. Only all is 100 %, and only nothing is 0 %.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return format!("0{THIN_SPACE}%");
    }
    let tenths = (u128::from(part) * 1000 / u128::from(whole)).clamp(1, 1000);
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole}{THIN_SPACE}%"),
        (whole, tenth) => format!("{whole}.{tenth}{THIN_SPACE}%"),
    }
}

/// To the minute, as a `time` element: `2026-11-24 23:50 UTC`.
pub(crate) fn time(at: Timestamp) -> String {
    format!(r#"<time datetime="{at}">{}</time>"#, plain_time(at))
}

/// The same where no element may stand.
pub(crate) fn plain_time(at: Timestamp) -> String {
    let written = at.to_string();
    match written.split_once('T') {
        Some((date, clock)) => format!("{date} {} UTC", clock.get(..5).unwrap_or(clock)),
        None => written,
    }
}

/// U+202F: a thin space at which no line is broken.
pub(crate) const THIN_SPACE: char = '\u{202f}';

const UNITS: [(u64, char); 6] = [
    (1_000_000_000_000_000_000, 'E'),
    (1_000_000_000_000_000, 'P'),
    (1_000_000_000_000, 'T'),
    (1_000_000_000, 'G'),
    (1_000_000, 'M'),
    (1000, 'k'),
];
