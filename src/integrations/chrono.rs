//! `chrono`: [`NaiveDate`] as a date, [`NaiveTime`] as a time of day, [`NaiveDateTime`] as a date and time in no zone,
//! [`DateTime<Utc>`] and [`DateTime<FixedOffset>`] as a moment.

use chrono::{DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};

use super::calendar::{self, Date, Time};
use super::overwrite;
use crate::error::{Error, Result};
use crate::value::{Decoder, Encoder, Kind, Plaintext};

/// `YYYY-MM-DD`; years outside 0000 to 9999 can't be sealed.
#[cfg_attr(docsrs, doc(cfg(feature = "chrono")))]
impl Plaintext for NaiveDate {
    const KIND: Kind = Kind::Date;

    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::DATE_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        calendar::put_date(out, &date_of(*self)?)
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        day(&calendar::read_date(&value)?)
    }

    fn wipe(&mut self) {
        overwrite(self, Self::MIN);
    }
}

/// `HH:MM:SS` with nine decimals; leap seconds can't be sealed.
#[cfg_attr(docsrs, doc(cfg(feature = "chrono")))]
impl Plaintext for NaiveTime {
    const KIND: Kind = Kind::Time;

    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::TIME_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        calendar::put_time(out, &time_of(self)?)
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        time_of_day(&calendar::read_time(&value)?)
    }

    fn wipe(&mut self) {
        overwrite(self, Self::MIN);
    }
}

/// `YYYY-MM-DDTHH:MM:SS` with nine decimals; years outside 0000 to 9999 and leap seconds can't be sealed. What was sealed as a
/// date is 00:00:00 of that day.
#[cfg_attr(docsrs, doc(cfg(feature = "chrono")))]
impl Plaintext for NaiveDateTime {
    const KIND: Kind = Kind::LocalDatetime;

    fn reads(found: Kind) -> bool {
        calendar::reads_dates_too(Self::KIND, found)
    }

    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::LOCAL_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        calendar::put_local(out, &date_of(self.date())?, &time_of(self)?)
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        local(&calendar::read_local(&value)?)
    }

    fn wipe(&mut self) {
        overwrite(self, Self::MIN);
    }
}

/// RFC 3339 in UTC with nine decimals; years outside 0000 to 9999 and leap seconds can't be sealed. What was sealed as a date
/// is 00:00:00 UTC of that day.
#[cfg_attr(docsrs, doc(cfg(feature = "chrono")))]
impl Plaintext for DateTime<Utc> {
    const KIND: Kind = Kind::Instant;

    fn reads(found: Kind) -> bool {
        calendar::reads_dates_too(Self::KIND, found)
    }

    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::INSTANT_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        let utc = self.naive_utc();
        calendar::put_instant(out, &date_of(utc.date())?, &time_of(&utc)?)
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        local(&calendar::read_instant(&value)?).map(|utc| utc.and_utc())
    }

    fn wipe(&mut self) {
        overwrite(self, Self::MIN_UTC);
    }
}

/// As `DateTime<Utc>`. The offset is not kept: the moment opens with that of UTC.
#[cfg_attr(docsrs, doc(cfg(feature = "chrono")))]
impl Plaintext for DateTime<FixedOffset> {
    const KIND: Kind = Kind::Instant;

    fn reads(found: Kind) -> bool {
        DateTime::<Utc>::reads(found)
    }

    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::INSTANT_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        self.with_timezone(&Utc).encode(out)
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        DateTime::<Utc>::decode(value).map(|utc| utc.fixed_offset())
    }

    fn wipe(&mut self) {
        overwrite(self, DateTime::<Utc>::MIN_UTC.fixed_offset());
    }
}

fn date_of(date: NaiveDate) -> Result<Date> {
    Ok(Date { year: date.year(), month: small(date.month())?, day: small(date.day())? })
}

fn time_of(time: &impl Timelike) -> Result<Time> {
    Ok(Time {
        hour: small(time.hour())?,
        minute: small(time.minute())?,
        second: small(time.second())?,
        nanosecond: time.nanosecond(),
    })
}

fn local((date, time): &(Date, Time)) -> Result<NaiveDateTime> {
    Ok(day(date)?.and_time(time_of_day(time)?))
}

fn day(date: &Date) -> Result<NaiveDate> {
    NaiveDate::from_ymd_opt(date.year, date.month.into(), date.day.into()).ok_or(Error::Malformed)
}

fn time_of_day(time: &Time) -> Result<NaiveTime> {
    let Time { hour, minute, second, nanosecond } = *time;
    NaiveTime::from_hms_nano_opt(hour.into(), minute.into(), second.into(), nanosecond).ok_or(Error::Malformed)
}

fn small(part: u32) -> Result<u8> {
    u8::try_from(part).map_err(|_| Error::Bug("a part of a date above 255"))
}
