//! Points in time: `24h`, `2026-01-31T12:00:00Z`, `1769860800`.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

/// Reads an RFC 3339 time, Unix seconds, or a duration before `now` in Go's form.
///
/// # Errors
/// It is none of these.
pub(crate) fn until(text: &str, now: SystemTime) -> Result<Timestamp, String> {
    if let Some(seconds) = unix_seconds(text) {
        return Ok(Timestamp { seconds, nanos: 0 });
    }
    if let Some(duration) = duration(text) {
        let time = now.checked_sub(duration).ok_or(format!("`{text}` ago is before all time"))?;
        return Ok(time.into());
    }
    text.parse().map_err(|_| {
        format!(
            "`{text}` is neither a duration (24h), a time (2026-01-31T12:00:00Z) nor Unix seconds"
        )
    })
}

fn unix_seconds(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Reads whole numbers with the units `h`, `m` and `s`, at least one: `1h30m`.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..unit)?.parse().ok()?;
        let seconds = match rest.as_bytes().get(unit)? {
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(number.checked_mul(seconds)?))?;
        rest = rest.get(unit + 1..)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> Option<i64> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        until(text, now).ok().map(|time| time.seconds)
    }

    #[test]
    fn every_form() {
        assert_eq!(seconds("10s"), Some(999_990));
        assert_eq!(seconds("1h30m"), Some(994_600));
        assert_eq!(seconds("1234"), Some(1234));
        assert_eq!(seconds("1970-01-02T00:00:00Z"), Some(86400));
        assert_eq!(seconds("1970-01-02T01:00:00+01:00"), Some(86400));
        for text in ["", "h", "1", "10x", "1h30", "-1h", "99999999999999999999h", "yesterday"] {
            assert_eq!(seconds(text).is_some(), text == "1", "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,20}") {
            let _ = seconds(&text);
        }
    }
}
