//! One measurement, and how many of them are shown.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tonic::Status;

/// The outcome of one kind of work, done `n` times.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) work: Cow<'static, str>,
    /// Who did it.
    pub(crate) subject: Cow<'static, str>,
    /// How many endpoints there were already.
    pub(crate) size: u32,
    /// How often it was done.
    pub(crate) n: usize,
    /// Median in milliseconds; none where something else than time was measured.
    pub(crate) p50: Option<f64>,
    /// 95th percentile in milliseconds.
    pub(crate) p95: Option<f64>,
    /// 99th percentile in milliseconds.
    pub(crate) p99: Option<f64>,
    /// Pieces of work done in a second, several at a time.
    pub(crate) qps: Option<f64>,
    /// Resident memory.
    pub(crate) rss_kib: Option<f64>,
}

/// Notes how long a call took.
pub(crate) async fn timed<T>(
    times: &mut Vec<Duration>,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let begun = Instant::now();
    let done = work.await?;
    times.push(begun.elapsed());
    Ok(done)
}

/// The value below which a share of the sorted times lies (nearest rank).
fn percentile(sorted: &[Duration], share: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map(|time| time.as_secs_f64() * 1000.0)
}

impl Row {
    /// A row of times.
    pub(crate) fn of_times(
        work: &'static str,
        subject: &'static str,
        size: u32,
        mut times: Vec<Duration>,
    ) -> Self {
        times.sort_unstable();
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| percentile(&times, share));
        Self { p50, p95, p99, ..Self::of(work, subject, size, times.len()) }
    }

    /// A row of one number that is no time.
    pub(crate) const fn of(work: &'static str, subject: &'static str, size: u32, n: usize) -> Self {
        Self {
            work: Cow::Borrowed(work),
            subject: Cow::Borrowed(subject),
            size,
            n,
            p50: None,
            p95: None,
            p99: None,
            qps: None,
            rss_kib: None,
        }
    }

    /// A row that another program measured, as [`json()`] writes it.
    fn read(object: &Value) -> Option<Self> {
        let text = |key: &str| object[key].as_str().map(|text| Cow::Owned(text.to_owned()));
        let number = |key: &str| object[key].as_u64();
        Some(Self {
            work: text("work")?,
            subject: text("subject")?,
            size: u32::try_from(number("size")?).ok()?,
            n: usize::try_from(number("n")?).ok()?,
            p50: object["p50_ms"].as_f64(),
            p95: object["p95_ms"].as_f64(),
            p99: object["p99_ms"].as_f64(),
            qps: object["qps"].as_f64(),
            rss_kib: object["rss_kib"].as_f64(),
        })
    }

    fn object(&self, bench: &str) -> Value {
        let mut object = json!({
            "bench": bench,
            "work": self.work,
            "subject": self.subject,
            "size": self.size,
            "n": self.n,
            "p50_ms": self.p50,
            "p95_ms": self.p95,
            "p99_ms": self.p99,
        });
        for (key, value) in [("qps", self.qps), ("rss_kib", self.rss_kib)] {
            if let Some(value) = value {
                object[key] = json!(value);
            }
        }
        object
    }
}

/// The rows of an array of objects; none if it is not one.
pub(crate) fn read(text: &str) -> Option<Vec<Row>> {
    let array: Value = serde_json::from_str(text).ok()?;
    array.as_array()?.iter().map(Row::read).collect()
}

/// The rows as an array of objects.
pub(crate) fn json(bench: &str, rows: &[Row]) -> String {
    let array = Value::Array(rows.iter().map(|row| row.object(bench)).collect());
    format!("{array:#}\n")
}

/// The rows as a table; `ratio` is the median against the first row of the same work and
/// subject, so that a cost that does not grow reads 1.0.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<30}{:<14}{:>7}{:>8}{:>10}{:>10}{:>10}{:>7}{:>9}{:>10}\n",
        "WORK", "SUBJECT", "SIZE", "N", "P50 ms", "P95 ms", "P99 ms", "RATIO", "QPS", "RSS KiB"
    );
    let number = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    // A packet's round trip is of microseconds, and compared by hundredths of them.
    let time = |value: Option<f64>| {
        number(value, if value.is_some_and(|value| value < 0.1) { 5 } else { 3 })
    };
    for row in rows {
        let same = |other: &&Row| other.work == row.work && other.subject == row.subject;
        let first = rows.iter().find(same).and_then(|first| first.p50);
        let ratio = row.p50.zip(first).map(|(now, first)| now / first);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<30}{:<14}{:>7}{:>8}{:>10}{:>10}{:>10}{:>7}{:>9}{:>10}",
            row.work,
            row.subject,
            row.size,
            row.n,
            time(row.p50),
            time(row.p95),
            time(row.p99),
            number(ratio, 3),
            number(row.qps, 0),
            number(row.rss_kib, 1)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_nearest_rank() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.5), Some(50.0));
        assert_eq!(percentile(&times, 0.95), Some(95.0));
        assert_eq!(percentile(&times[..1], 0.5), Some(1.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn rows_are_told_as_objects() {
        let times = vec![Duration::from_millis(2), Duration::from_millis(4)];
        let rows = [Row::of_times("connect", "postern", 10, times)];
        let parsed: Value = serde_json::from_str(&json("attach", &rows)).unwrap();
        assert_eq!(parsed[0]["p50_ms"], 2.0);
        assert_eq!(parsed[0]["size"], 10);
        assert!(parsed[0].get("qps").is_none());
        assert!(table(&rows).contains("1.000"));
        let text = json("attach", &rows);
        assert_eq!(json("attach", &read(&text).unwrap()), text);
    }
}
