//! Points in time as whole milliseconds since the Unix epoch, and their text forms.
//!
//! Reading a clock is the shell's business (`shard::clock`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, never negative.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UnixMs(pub u64);

/// No clock that is right tells a later time before the year 2527: what a peer says beyond it is wrong.
pub const PLAUSIBLE_MAX: UnixMs = UnixMs(1 << 44);

/// The last millisecond of the year 9999, the largest time that RFC 3339 can write.
const RFC3339_MAX_MS: u64 = 253_402_300_799_999;
const MS_PER_DAY: u64 = 86_400_000;

impl UnixMs {
    /// This time moved `ms` milliseconds into the future (saturating).
    pub fn plus_ms(self, ms: u64) -> UnixMs {
        UnixMs(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time, 0 when `earlier` is later.
    pub fn ms_since(self, earlier: UnixMs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole days since the epoch, in UTC.
    pub fn day(self) -> u32 {
        (self.0 / MS_PER_DAY) as u32
    }

    /// The 24 bytes of this time as RFC 3339 in UTC with milliseconds: `2013-10-13T11:50:36.000Z`.
    ///
    /// The proleptic Gregorian date is computed from the day number in 400-year eras that begin on
    /// 1 March, so that the leap day is the last of its year. Times past the year 9999 are written
    /// as its last millisecond.
    pub fn rfc3339(self) -> [u8; 24] {
        let ms = self.0.min(RFC3339_MAX_MS);
        let (year, month, day) = civil_date(ms / MS_PER_DAY);
        let (ms, second_of_day) = (ms % 1_000, ms % MS_PER_DAY / 1_000);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        put_digits(&mut text[0..4], year);
        put_digits(&mut text[5..7], month);
        put_digits(&mut text[8..10], day);
        put_digits(&mut text[11..13], second_of_day / 3_600);
        put_digits(&mut text[14..16], second_of_day / 60 % 60);
        put_digits(&mut text[17..19], second_of_day % 60);
        put_digits(&mut text[20..23], ms);
        text
    }

    /// The 19 bytes of this time as clients of this API family parse it: `2013-10-13 11:50:36`, UTC.
    pub fn expiration_date(self) -> [u8; 19] {
        let mut text = [0; 19];
        text.copy_from_slice(&self.rfc3339()[..19]);
        text[10] = b' ';
        text
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.rfc3339()))
    }
}

/// Year, month (1-12) and day (1-31) of a day number since the epoch.
fn civil_date(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    /// Days from 0000-03-01 to 1970-01-01.
    const EPOCH_OFFSET: u64 = 719_468;
    let days = days + EPOCH_OFFSET;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn put_digits(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_two_text_forms_of_a_time() {
        let time = UnixMs(1_381_665_036_007);
        assert_eq!(&time.rfc3339(), b"2013-10-13T11:50:36.007Z");
        assert_eq!(&time.expiration_date(), b"2013-10-13 11:50:36");
    }

    #[test]
    fn leap_days_and_the_ends_of_the_range() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (RFC3339_MAX_MS, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(UnixMs(ms).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn the_text_is_what_a_calendar_library_writes(ms in 0..=RFC3339_MAX_MS / 2) {
            let expected = jiff::Timestamp::from_millisecond(ms as i64).expect("in range");
            prop_assert_eq!(UnixMs(ms).to_string(), format!("{expected:.3}"));
        }
    }
}
