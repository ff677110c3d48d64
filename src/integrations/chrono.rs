//! `chrono`: [`NaiveDate`] as a date, [`DateTime<Utc>`] as an instant.

use chrono::{DateTime, Datelike as _, NaiveDate, Timelike as _, Utc};

use super::calendar::{self, Date, Time};
use super::overwrite;
use crate::error::{Error, Result};
use crate::value::{Decoder, Encoder, Plaintext};

/// `YYYY-MM-DD`; years outside 0000 to 9999 can't be sealed.
#[cfg_attr(docsrs, doc(cfg(feature = "chrono")))]
impl Plaintext for NaiveDate {
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

/// RFC 3339 in UTC with nine decimals; years outside 0000 to 9999 and leap seconds can't be sealed.
#[cfg_attr(docsrs, doc(cfg(feature = "chrono")))]
impl Plaintext for DateTime<Utc> {
    fn encoded_len(&self) -> Result<usize> {
        Ok(calendar::INSTANT_LEN)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        let utc = self.naive_utc();
        let time = Time {
            hour: small(utc.hour())?,
            minute: small(utc.minute())?,
            second: small(utc.second())?,
            nanosecond: utc.nanosecond(),
        };
        calendar::put_instant(out, &date_of(utc.date())?, &time)
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        let (date, Time { hour, minute, second, nanosecond }) = calendar::read_instant(&value)?;
        day(&date)?
            .and_hms_nano_opt(hour.into(), minute.into(), second.into(), nanosecond)
            .map(|utc| utc.and_utc())
            .ok_or(Error::Malformed)
    }

    fn wipe(&mut self) {
        overwrite(self, Self::MIN_UTC);
    }
}

fn date_of(date: NaiveDate) -> Result<Date> {
    Ok(Date { year: date.year(), month: small(date.month())?, day: small(date.day())? })
}

fn day(date: &Date) -> Result<NaiveDate> {
    NaiveDate::from_ymd_opt(date.year, date.month.into(), date.day.into()).ok_or(Error::Malformed)
}

fn small(part: u32) -> Result<u8> {
    u8::try_from(part).map_err(|_| Error::Bug("a part of a date above 255"))
}
