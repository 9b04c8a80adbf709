//! Drivers, and what their authors ask of them.

use std::fmt::Write;
use std::path::Path;

use postern_workbench::ask::Call;
use postern_workbench::case::Verification;
use postern_workbench::load::Report;
use postern_workbench::outcome::Verdict;
use postern_workbench::project::Project;
use postern_workbench::timing::Timing;
use postern_workbench::{Attach, Manifest, OptionScope};

use super::{plain, table};

/// The widest bar of a histogram.
const BAR: u32 = 40;

/// A project, and what to do with it.
pub(crate) fn made(project: &Project) -> String {
    let folder = project.folder.display();
    let wasm = &project.wasm;
    format!(
        "made {folder}\n\nnext, in that folder:\n  cargo test\n  cargo wasm\n  \
         postern driver check {wasm}\n  postern driver test {wasm}"
    )
}

/// What a driver is.
pub(crate) fn report(report: &Report) -> String {
    let manifest = &report.manifest;
    let mut rows = vec![
        row("NAME", manifest.name.to_string()),
        row("VERSION", manifest.version.clone()),
        row("SUMMARY", manifest.summary.clone()),
        row("DIGEST", report.digest.clone()),
        row("SIZE", format!("{} bytes, {}", report.size, report.form)),
        row("CAPABILITIES", capabilities(manifest)),
        row("ADDRESSING", if manifest.addressing { "yes" } else { "no" }.to_owned()),
        row("SANDBOXES", attach(manifest.attach).to_owned()),
        row(
            "NETWORKS",
            manifest.max_networks.map_or("any number".into(), |n| format!("up to {n}")),
        ),
        row("LOADED IN", format!("{} ms", report.load_ms)),
    ];
    for option in &manifest.options {
        let heading = match option.scope {
            OptionScope::Network => "NETWORK OPTION",
            OptionScope::Endpoint => "ENDPOINT OPTION",
        };
        rows.push(row(heading, format!("{}: {}", option.name, option.help)));
    }
    table::rows(rows)
}

fn row(heading: &str, value: String) -> [String; 2] {
    [heading.to_owned(), value]
}

fn capabilities(manifest: &Manifest) -> String {
    if manifest.capabilities.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<&str> = manifest.capabilities.iter().map(|one| one.as_str()).collect();
    names.join(",")
}

const fn attach(attach: Attach) -> &'static str {
    match attach {
        Attach::Own => "with a namespace of their own",
        Attach::Host => "that share the host's namespace",
    }
}

/// What an outcome is that is not a decision.
pub(crate) const fn verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Decision(_) => "decides",
        Verdict::Fault(_) => "refuses the request",
        Verdict::Rejections(_) => "decides what the daemon does not admit",
        Verdict::Failure(_) => "fails",
    }
}

/// What a call wrote to the log and took.
pub(crate) fn log(call: &Call) -> Vec<String> {
    let of = call.of.as_str();
    let usage = &call.usage;
    let line = |line: &postern_workbench::LogLine| {
        format!("{of}: {}: {}", line.level, plain(&line.message))
    };
    let mut lines: Vec<String> = usage.lines.iter().map(line).collect();
    if usage.lines_dropped > 0 {
        lines.push(format!("{of}: {} more lines are dropped", usage.lines_dropped));
    }
    lines.push(format!("{of}: {} units of fuel", usage.fuel));
    lines
}

/// How a case went.
pub(crate) fn case(path: &Path, done: &Verification) -> String {
    let (word, text) = match done {
        Verification::Passed => ("ok", ""),
        Verification::Blessed(true) => ("blessed", ""),
        Verification::Blessed(false) => ("unchanged", ""),
        Verification::Differs(difference) => ("FAILED", difference.as_str()),
        Verification::Unexpected(found) => {
            ("FAILED, nothing is expected yet (--bless); it came to", found.as_str())
        }
    };
    let mut shown = format!("{}: {word}", plain(&path.display().to_string()));
    for line in text.lines() {
        let _ = write!(shown, "\n  {}", plain(line));
    }
    shown
}

/// How long calls take.
pub(crate) fn timing(timing: &Timing) -> String {
    let us = |time: f64| format!("{time:.1} us");
    let mut text = table::rows(vec![
        row("CALLS", format!("{} of `{}`", timing.calls, timing.of.as_str())),
        row("P50", us(timing.p50_us)),
        row("P90", us(timing.p90_us)),
        row("P99", us(timing.p99_us)),
        row("MAX", us(timing.max_us)),
        row("PER SECOND", format!("{:.0}", timing.per_second)),
        row("FUEL", format!("{} a call", timing.fuel)),
    ]);
    let most = timing.histogram.iter().map(|bucket| bucket.calls).max().unwrap_or(1).max(1);
    for bucket in &timing.histogram {
        let length = (u64::from(bucket.calls) * u64::from(BAR)).div_ceil(most.into());
        let bar = "#".repeat(usize::try_from(length).unwrap_or(0));
        let _ = write!(text, "\n< {:>7} us {:>7} {bar}", bucket.below_us, bucket.calls);
    }
    text
}
