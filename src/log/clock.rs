//! Times as RFC 3339 has them, in UTC.
//!
//! The calendar is our own, since it is ten lines; the day's text is made once a second and thread.

use std::{
    cell::Cell,
    fmt::Write as _,
    time::{Duration, SystemTime},
};

/// As in `2026-11-23T14:00:00Z`.
pub(super) fn write_seconds(out: &mut String, now: SystemTime) {
    write_date_and_time(out, since_epoch(now));
    out.push('Z');
}

/// As in `2026-11-23T14:00:00.123Z`.
pub(super) fn write_milliseconds(out: &mut String, now: SystemTime) {
    let now = since_epoch(now);
    write_date_and_time(out, now);
    let milliseconds = now.subsec_millis();
    out.push_str(match milliseconds {
        0..10 => ".00",
        10..100 => ".0",
        _ => ".",
    });
    out.push_str(itoa::Buffer::new().format(milliseconds));
    out.push('Z');
}

/// A clock before 1970 is a clock that was never set.
fn since_epoch(now: SystemTime) -> Duration {
    now.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// The text for a second, of which most lines share one.
#[derive(Clone, Copy)]
struct Second {
    number: u64,
    text: [u8; 19],
}

fn write_date_and_time(out: &mut String, now: Duration) {
    thread_local! {
        static LAST: Cell<Option<Second>> = const { Cell::new(None) };
    }
    let number = now.as_secs();
    if let Some(text) = LAST.get().filter(|last| last.number == number) {
        out.push_str(std::str::from_utf8(&text.text).unwrap_or_default());
        return;
    }
    let start = out.len();
    let (year, month, day) = civil(number / 86_400);
    let (hour, minute, second) = (number / 3600 % 24, number / 60 % 60, number % 60);
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    );
    let text = out
        .as_bytes()
        .get(start..)
        .and_then(|text| text.try_into().ok());
    LAST.set(text.map(|text| Second { number, text }));
}

/// Year, month and day of a day since 1970, by Howard Hinnant's `civil_from_days`: eras of 400 years, years that begin in
/// March, so that the leap day is the last one.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_EPOCH: u64 = 719_468; // from 1 March of year 0
    const DAYS_OF_ERA: u64 = 146_097;
    let days = days + DAYS_TO_EPOCH;
    let era = days / DAYS_OF_ERA;
    let day_of_era = days % DAYS_OF_ERA;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: u64, millis: u64) -> String {
        let mut out = String::new();
        write_milliseconds(
            &mut out,
            SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis),
        );
        out
    }

    #[test]
    fn known_times_are_right() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (68_169_599, "1972-02-28T23:59:59.000Z"),
            (68_169_600, "1972-02-29T00:00:00.000Z"),
            (68_256_000, "1972-03-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (978_307_199, "2000-12-31T23:59:59.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (1_795_442_400, "2026-11-23T14:00:00.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(text(seconds, 0), expected);
            // Once more, from what was kept.
            assert_eq!(text(seconds, 0), expected);
        }
    }

    #[test]
    fn milliseconds_have_three_digits() {
        assert!(text(0, 7).ends_with("00.007Z"));
        assert!(text(0, 42).ends_with("00.042Z"));
        assert!(text(0, 999).ends_with("00.999Z"));
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut last = civil(0);
        for day in 1..200_000 {
            let next = civil(day);
            let same_month = next == (last.0, last.1, last.2 + 1);
            let next_month = next == (last.0, last.1 + 1, 1) && last.2 >= 28;
            let next_year = next == (last.0 + 1, 1, 1) && (last.1, last.2) == (12, 31);
            assert!(same_month || next_month || next_year, "{last:?} {next:?}");
            last = next;
        }
    }

    #[test]
    fn a_time_before_the_epoch_is_the_epoch() {
        let mut out = String::new();
        write_seconds(&mut out, SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(out, "1970-01-01T00:00:00Z");
    }
}
