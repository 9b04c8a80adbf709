//! `dnsperf`: as fast as it goes, and then at one rate for all, question by question.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use postern_tests::Netns;
use postern_tests::command::run;

use crate::row::Row;

const QUESTIONS: &str = "/run/questions.txt";
/// How long each of the two runs takes.
const SECONDS: u32 = 5;
/// Questions a second of the run whose latencies are looked at: what every subject can do.
const RATE: u32 = 10_000;
/// Clients, each with a socket of its own.
const CLIENTS: u32 = 8;

/// Writes the questions: every name, for its IPv4 address.
pub(crate) fn questions(names: impl Iterator<Item = String>) {
    let mut text = String::new();
    for name in names {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} A");
    }
    std::fs::write(QUESTIONS, text).unwrap_or_else(|error| panic!("{QUESTIONS}: {error}"));
}

/// What came of asking one server once.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Questions a second, flat out.
    qps: f64,
    /// How long each took, at the rate that all are asked at.
    times: Vec<Duration>,
}

/// Asks a server from inside a namespace.
pub(crate) fn ask(from: &Netns, server: &str) -> Asked {
    let seconds = SECONDS.to_string();
    let common = ["-s", server, "-d", QUESTIONS, "-l", &seconds, "-c", &CLIENTS.to_string()]
        .map(str::to_owned);
    let flat_out = dnsperf(from, &[&common[..], &["-q".into(), "200".into()]].concat());
    assert!(lost(&flat_out) < 0.01, "{server} does not answer:\n{flat_out}");
    let rate = ["-v".to_owned(), "-Q".to_owned(), RATE.to_string()];
    let rated = dnsperf(from, &[&common[..], &rate].concat());
    Asked { qps: number(&flat_out, "Queries per second:"), times: latencies(&rated) }
}

/// The rows of several rounds: the median of the rates, and the latencies of all.
pub(crate) fn rows(subject: &'static str, size: u32, rounds: Vec<Asked>) -> [Row; 2] {
    let mut rates: Vec<f64> = rounds.iter().map(|asked| asked.qps).collect();
    rates.sort_by(f64::total_cmp);
    let qps = rates.get(rates.len() / 2).copied();
    let times = rounds.into_iter().flat_map(|asked| asked.times).collect();
    [
        Row { qps, ..Row::of("questions, flat out", subject, size, rates.len()) },
        Row::of_times("question, 10,000 a second", subject, size, times),
    ]
}

fn dnsperf(from: &Netns, words: &[String]) -> String {
    let done = from.enter(|| run(Path::new("dnsperf"), words));
    assert_eq!(done.code, Some(0), "dnsperf: {}{}", done.stdout, done.stderr);
    done.stdout
}

fn number(text: &str, label: &str) -> f64 {
    let rest = text.split(label).nth(1).unwrap_or_default();
    let word = rest.split_whitespace().next().unwrap_or_default();
    word.parse().unwrap_or_else(|error| panic!("{label} {word}: {error}"))
}

/// The share of questions that nobody answered.
fn lost(text: &str) -> f64 {
    number(text, "Queries lost:") / number(text, "Queries sent:")
}

/// Lines of the form `> NOERROR name A 0.000123`.
fn latencies(text: &str) -> Vec<Duration> {
    let seconds = text
        .lines()
        .filter(|line| line.starts_with("> NOERROR"))
        .filter_map(|line| line.split_whitespace().next_back()?.parse().ok());
    seconds.map(Duration::from_secs_f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_prints() {
        let text = "> NOERROR n1 A 0.000123\n> T n2\n> NOERROR n3 A 0.001000\n\
                    Statistics:\n\n  Queries sent:         200\n  Queries lost:         2 (1.00%)\n\
                    Queries per second:   12345.5\n";
        assert_eq!(latencies(text), [Duration::from_micros(123), Duration::from_micros(1000)]);
        assert!((number(text, "Queries per second:") - 12345.5).abs() < 0.01);
        assert!((lost(text) - 0.01).abs() < 1e-9);
    }
}
