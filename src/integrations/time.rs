//! `time`: [`Date`] as a date, [`OffsetDateTime`] and [`UtcDateTime`] as an instant.

use time::{Date, Month, OffsetDateTime, UtcDateTime, UtcOffset};

use super::calendar::{self, Time};
use super::overwrite;
use crate::error::{Error, Result};
use crate::value::{Decoder, Encoder, Plaintext};

/// `YYYY-MM-DD`; years outside 0000 to 9999 can't be sealed.
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
impl Plaintext for Date {
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

/// RFC 3339 in UTC with nine decimals. The offset is not kept: the instant opens with that of UTC. Years outside 0000 to
/// 9999, in UTC, can't be sealed.
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
impl Plaintext for OffsetDateTime {
    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::INSTANT_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        let utc = self
            .checked_to_offset(UtcOffset::UTC)
            .ok_or_else(|| Error::invalid("an instant is of the years 0000 to 9999, in UTC"))?;
        calendar::put_instant(out, &date_of(utc.date()), &time_of(utc.time()))
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        instant(&value).map(|(date, time)| Self::new_utc(date, time))
    }

    fn wipe(&mut self) {
        overwrite(self, Self::UNIX_EPOCH);
    }
}

/// RFC 3339 in UTC with nine decimals; years outside 0000 to 9999 can't be sealed.
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
impl Plaintext for UtcDateTime {
    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::INSTANT_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        calendar::put_instant(out, &date_of(self.date()), &time_of(self.time()))
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        instant(&value).map(|(date, time)| Self::new(date, time))
    }

    fn wipe(&mut self) {
        overwrite(self, Self::UNIX_EPOCH);
    }
}

fn date_of(date: Date) -> calendar::Date {
    calendar::Date { year: date.year(), month: date.month().into(), day: date.day() }
}

fn time_of(time: time::Time) -> Time {
    Time { hour: time.hour(), minute: time.minute(), second: time.second(), nanosecond: time.nanosecond() }
}

fn day(date: &calendar::Date) -> Result<Date> {
    let month = Month::try_from(date.month).map_err(|_| Error::Malformed)?;
    Date::from_calendar_date(date.year, month, date.day).map_err(|_| Error::Malformed)
}

fn instant(value: &Decoder<'_>) -> Result<(Date, time::Time)> {
    let (date, Time { hour, minute, second, nanosecond }) = calendar::read_instant(value)?;
    let time = time::Time::from_hms_nano(hour, minute, second, nanosecond).map_err(|_| Error::Malformed)?;
    Ok((day(&date)?, time))
}
