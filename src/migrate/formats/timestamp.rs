//! Times in the names of migrations: `20240101120000`, in UTC.

use time::{Date, Month, Time, UtcDateTime};

/// The time that `name` begins with, in milliseconds since 1970.
pub(super) fn milliseconds(name: &str) -> Option<i64> {
    let digits = name.get(..14).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let part = |from: usize| digits.get(from..from + 2)?.parse::<u8>().ok();
    let month = Month::try_from(part(4)?).ok()?;
    let date = Date::from_calendar_date(digits.get(..4)?.parse().ok()?, month, part(6)?).ok()?;
    let time = Time::from_hms(part(8)?, part(10)?, part(12)?).ok()?;
    Some(UtcDateTime::new(date, time).unix_timestamp() * 1000)
}

/// `20240101120000`
pub(super) fn timestamp(time: UtcDateTime) -> String {
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn the_time_at_the_beginning_of_a_name_is_parsed() {
        assert_eq!(milliseconds("20261120220322_init"), Some(1_795_212_202_000));
        assert_eq!(milliseconds("19700101000000"), Some(0));
        for name in ["", "0_init", "20261320000000_x", "2026112022032ä", "日本日本日"] {
            assert_eq!(milliseconds(name), None, "{name}");
        }
    }
}
