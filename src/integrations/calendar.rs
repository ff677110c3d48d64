//! The fixed-width forms of dates, times of day and moments (`docs/format.md`, section 6): one writer and one reader for
//! `chrono` and `time`, so that what one has sealed the other opens.
//!
//! Which days a month has, and that no minute has 61 seconds, is left to the calendar of the crate in use.

use crate::error::{Error, Result};
use crate::value::{Decoder, Encoder, Kind};

/// `YYYY-MM-DD`
pub(super) struct Date {
    pub(super) year: i32,
    pub(super) month: u8,
    pub(super) day: u8,
}

/// `HH:MM:SS.nnnnnnnnn`
pub(super) struct Time {
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
    /// 1 000 000 000 and more is how `chrono` marks a leap second.
    pub(super) nanosecond: u32,
}

pub(super) const DATE_LEN: usize = 10;
pub(super) const TIME_LEN: usize = 18;
/// `<date>T<time>`
pub(super) const LOCAL_LEN: usize = DATE_LEN + 1 + TIME_LEN;
/// `<date>T<time>Z`
pub(super) const INSTANT_LEN: usize = LOCAL_LEN + 1;

/// Whether a type of this kind, which names a day and a time of day, reads what was found: a date is 00:00:00 of that day.
pub(super) fn reads_dates_too(own: Kind, found: Kind) -> bool {
    found == own || found == Kind::Date
}

pub(super) fn put_date(out: &mut Encoder<'_>, date: &Date) -> Result<()> {
    if !(0..=9999).contains(&date.year) {
        return Err(Error::invalid("a date is of the years 0000 to 9999"));
    }
    out.put_display(&format_args!("{:04}-{:02}-{:02}", date.year, date.month, date.day))
}

pub(super) fn put_time(out: &mut Encoder<'_>, time: &Time) -> Result<()> {
    if time.nanosecond >= 1_000_000_000 {
        return Err(Error::invalid("a time in a leap second can't be sealed"));
    }
    let Time { hour, minute, second, nanosecond } = time;
    out.put_display(&format_args!("{hour:02}:{minute:02}:{second:02}.{nanosecond:09}"))
}

pub(super) fn put_local(out: &mut Encoder<'_>, date: &Date, time: &Time) -> Result<()> {
    put_date(out, date)?;
    out.put(b"T")?;
    put_time(out, time)
}

/// RFC 3339 with nine decimals; both parts are those of UTC.
pub(super) fn put_instant(out: &mut Encoder<'_>, date: &Date, time: &Time) -> Result<()> {
    put_local(out, date, time)?;
    out.put(b"Z")
}

pub(super) fn read_date(value: &Decoder<'_>) -> Result<Date> {
    date(exactly(value.bytes()?)?)
}

pub(super) fn read_time(value: &Decoder<'_>) -> Result<Time> {
    time(exactly(value.bytes()?)?)
}

pub(super) fn read_local(value: &Decoder<'_>) -> Result<(Date, Time)> {
    if value.kind() == Kind::Date { midnight(value) } else { local(exactly(value.bytes()?)?) }
}

pub(super) fn read_instant(value: &Decoder<'_>) -> Result<(Date, Time)> {
    if value.kind() == Kind::Date {
        return midnight(value);
    }
    match exactly::<INSTANT_LEN>(value.bytes()?)?.split_last_chunk::<1>() {
        Some((whole, b"Z")) => local(exactly(whole)?),
        _ => Err(Error::Malformed),
    }
}

fn midnight(value: &Decoder<'_>) -> Result<(Date, Time)> {
    Ok((read_date(value)?, Time { hour: 0, minute: 0, second: 0, nanosecond: 0 }))
}

fn local(text: &[u8; LOCAL_LEN]) -> Result<(Date, Time)> {
    let (day, rest) = text.split_first_chunk::<DATE_LEN>().ok_or(Error::Malformed)?;
    match rest.split_first() {
        Some((b'T', clock)) => Ok((date(day)?, time(exactly(clock)?)?)),
        _ => Err(Error::Malformed),
    }
}

fn date(text: &[u8; DATE_LEN]) -> Result<Date> {
    let [y3, y2, y1, y0, b'-', m1, m0, b'-', d1, d0] = *text else {
        return Err(Error::Malformed);
    };
    let year = i32::from(two(y3, y2)?) * 100 + i32::from(two(y1, y0)?);
    Ok(Date { year, month: two(m1, m0)?, day: two(d1, d0)? })
}

fn time(text: &[u8; TIME_LEN]) -> Result<Time> {
    let [h1, h0, b':', m1, m0, b':', s1, s0, b'.', fraction @ ..] = text else {
        return Err(Error::Malformed);
    };
    Ok(Time {
        hour: two(*h1, *h0)?,
        minute: two(*m1, *m0)?,
        second: two(*s1, *s0)?,
        nanosecond: fraction.iter().try_fold(0, |n, &b| digit(b).map(|d| n * 10 + u32::from(d)))?,
    })
}

/// By reference: a copy would not be wiped.
fn exactly<const N: usize>(bytes: &[u8]) -> Result<&[u8; N]> {
    bytes.try_into().map_err(|_| Error::Malformed)
}

fn two(tens: u8, ones: u8) -> Result<u8> {
    Ok(digit(tens)? * 10 + digit(ones)?)
}

fn digit(byte: u8) -> Result<u8> {
    if byte.is_ascii_digit() { Ok(byte - b'0') } else { Err(Error::Malformed) }
}
