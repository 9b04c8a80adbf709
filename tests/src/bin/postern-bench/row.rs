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
    /// Packets that did not arrive.
    pub(crate) lost: Option<usize>,
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
            lost: None,
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
            lost: object["lost"].as_u64().and_then(|lost| usize::try_from(lost).ok()),
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
        if let Some(lost) = self.lost {
            object["lost"] = json!(lost);
        }
        object
    }
}

/// The rows of an array of objects; none if it is not one.
pub(crate) fn read(text: &str) -> Option<Vec<Row>> {
    let array: Value = serde_json::from_str(text).ok()?;
    array.as_array()?.iter().map(Row::read).collect()
}

/// The rows of several benchmarks as an array of objects.
pub(crate) fn json(run: &[(String, Vec<Row>)]) -> String {
    let rows = run.iter().flat_map(|(bench, rows)| rows.iter().map(|row| row.object(bench)));
    format!("{:#}\n", Value::Array(rows.collect()))
}

const HEADS: [&str; 10] =
    ["WORK", "SUBJECT", "SIZE", "N", "P50 ms", "P95 ms", "P99 ms", "GROWTH", "PER S", "OTHER"];

/// A row's cells. Growth is the median against the first row of the same work and subject,
/// so that a cost that does not grow reads 1.000.
fn cells(row: &Row, rows: &[Row]) -> [String; 10] {
    let number = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    // A packet's round trip is of microseconds, and compared by hundredths of them.
    let time = |value: Option<f64>| {
        number(value, if value.is_some_and(|value| value < 0.1) { 5 } else { 3 })
    };
    let same = |other: &&Row| other.work == row.work && other.subject == row.subject;
    let first = rows.iter().find(same).and_then(|first| first.p50);
    let other = match (row.rss_kib, row.lost) {
        (Some(kib), _) => format!("{kib:.1} KiB"),
        (None, Some(lost)) => format!("{lost} lost"),
        (None, None) => "-".to_owned(),
    };
    [
        row.work.to_string(),
        row.subject.to_string(),
        row.size.to_string(),
        row.n.to_string(),
        time(row.p50),
        time(row.p95),
        time(row.p99),
        number(row.p50.zip(first).map(|(now, first)| now / first), 3),
        number(row.qps, 0),
        other,
    ]
}

/// The rows as a table for a terminal.
pub(crate) fn table(rows: &[Row]) -> String {
    let all = std::iter::once(HEADS.map(str::to_owned)).chain(rows.iter().map(|r| cells(r, rows)));
    all.fold(String::new(), |mut text, line| {
        let [work, subject, rest @ ..] = line;
        // Writing to a string cannot fail.
        let _ = write!(text, "{work:<32}{subject:<14}");
        for cell in rest {
            let _ = write!(text, " {cell:>11}");
        }
        text.push('\n');
        text
    })
}

/// The rows as a table for a page.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = format!("| {} |\n", HEADS.join(" | ").to_lowercase());
    text.push_str("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    for row in rows {
        let _ = writeln!(text, "| {} |", cells(row, rows).join(" | "));
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
        let run = [("attach".to_owned(), rows.to_vec())];
        let parsed: Value = serde_json::from_str(&json(&run)).unwrap();
        assert_eq!(parsed[0]["p50_ms"], 2.0);
        assert_eq!(parsed[0]["size"], 10);
        assert!(parsed[0].get("qps").is_none());
        assert!(table(&rows).contains("1.000"));
        let text = json(&run);
        assert_eq!(json(&[("attach".to_owned(), read(&text).unwrap())]), text);
        assert!(markdown(&rows).lines().nth(2).unwrap().starts_with("| connect | postern | 10 |"));
    }
}
