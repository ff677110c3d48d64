//! `time`: [`Date`] as a date, [`Time`] as a time of day, [`PrimitiveDateTime`] as a date and time in no zone,
//! [`OffsetDateTime`] and [`UtcDateTime`] as a moment.

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcDateTime, UtcOffset};

use super::calendar;
use super::overwrite;
use crate::error::{Error, Result};
use crate::value::{Decoder, Encoder, Kind, Plaintext};

/// `YYYY-MM-DD`; years outside 0000 to 9999 can't be sealed.
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
impl Plaintext for Date {
    const KIND: Kind = Kind::Date;

    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::DATE_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        calendar::put_date(out, &date_of(*self))
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        day(&calendar::read_date(&value)?)
    }

    fn wipe(&mut self) {
        overwrite(self, Self::MIN);
    }
}

/// `HH:MM:SS` with nine decimals.
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
impl Plaintext for Time {
    const KIND: Kind = Kind::Time;

    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::TIME_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        calendar::put_time(out, &time_of(*self))
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        time_of_day(&calendar::read_time(&value)?)
    }

    fn wipe(&mut self) {
        overwrite(self, Self::MIDNIGHT);
    }
}

/// `YYYY-MM-DDTHH:MM:SS` with nine decimals; years outside 0000 to 9999 can't be sealed. What was sealed as a date is 00:00:00
/// of that day.
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
impl Plaintext for PrimitiveDateTime {
    const KIND: Kind = Kind::LocalDatetime;

    fn reads(found: Kind) -> bool {
        calendar::reads_dates_too(Self::KIND, found)
    }

    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::LOCAL_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        calendar::put_local(out, &date_of(self.date()), &time_of(self.time()))
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        local(&calendar::read_local(&value)?)
    }

    fn wipe(&mut self) {
        overwrite(self, Self::MIN);
    }
}

/// RFC 3339 in UTC with nine decimals. The offset is not kept: the moment opens with that of UTC. Years outside 0000 to 9999,
/// in UTC, can't be sealed. What was sealed as a date is 00:00:00 UTC of that day.
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
impl Plaintext for OffsetDateTime {
    const KIND: Kind = Kind::Instant;

    fn reads(found: Kind) -> bool {
        calendar::reads_dates_too(Self::KIND, found)
    }

    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::INSTANT_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        let utc = self
            .checked_to_offset(UtcOffset::UTC)
            .ok_or_else(|| Error::invalid("a moment is of the years 0000 to 9999, in UTC"))?;
        calendar::put_instant(out, &date_of(utc.date()), &time_of(utc.time()))
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        local(&calendar::read_instant(&value)?).map(PrimitiveDateTime::assume_utc)
    }

    fn wipe(&mut self) {
        overwrite(self, Self::UNIX_EPOCH);
    }
}

/// RFC 3339 in UTC with nine decimals; years outside 0000 to 9999 can't be sealed. What was sealed as a date is 00:00:00 UTC of
/// that day.
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
impl Plaintext for UtcDateTime {
    const KIND: Kind = Kind::Instant;

    fn reads(found: Kind) -> bool {
        calendar::reads_dates_too(Self::KIND, found)
    }

    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::INSTANT_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        calendar::put_instant(out, &date_of(self.date()), &time_of(self.time()))
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        local(&calendar::read_instant(&value)?).map(PrimitiveDateTime::as_utc)
    }

    fn wipe(&mut self) {
        overwrite(self, Self::UNIX_EPOCH);
    }
}

fn date_of(date: Date) -> calendar::Date {
    calendar::Date { year: date.year(), month: date.month().into(), day: date.day() }
}

fn time_of(time: Time) -> calendar::Time {
    calendar::Time { hour: time.hour(), minute: time.minute(), second: time.second(), nanosecond: time.nanosecond() }
}

fn local((date, time): &(calendar::Date, calendar::Time)) -> Result<PrimitiveDateTime> {
    Ok(day(date)?.with_time(time_of_day(time)?))
}

fn day(date: &calendar::Date) -> Result<Date> {
    let month = Month::try_from(date.month).map_err(|_| Error::Malformed)?;
    Date::from_calendar_date(date.year, month, date.day).map_err(|_| Error::Malformed)
}

fn time_of_day(time: &calendar::Time) -> Result<Time> {
    let calendar::Time { hour, minute, second, nanosecond } = *time;
    Time::from_hms_nano(hour, minute, second, nanosecond).map_err(|_| Error::Malformed)
}
