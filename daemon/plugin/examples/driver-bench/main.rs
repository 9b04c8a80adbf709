//! Times calls of the bridge driver, fresh instance included, and prints rows for
//! `cargo xtask bench`: alone, by many callers, beside a hostile driver, beside a remote
//! driver of Docker's kind; and what a great many calls leave behind.
//!
//! `all MODULE` measures everything, beside a driver that can be told to go round for ever;
//! `call` only the first row, as `bench attach` shows it; `serve PATH` is the remote driver.

mod remote;
mod views;

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postern_model::grant::Grants;
use postern_plugin::{Compiler, DriverHost, HostOptions, Limits, LoadedDriver, Quarantine};
use serde_json::{Value, json};
use tempfile::TempDir;
use views::{Question, question};

const WARM_UP: usize = 500;
const CALLS: usize = 10_000;
/// Callers at a time.
const CALLERS: [usize; 4] = [1, 2, 4, 16];
/// After which the memory is looked at; the last is a million.
const MARKS: [usize; 3] = [100_000, 500_000, 1_000_000];

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> Done<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", path] => remote::serve(Path::new(path)),
        ["call"] => {
            let ((host, _folder), question) = (host(Limits::default().quarantine)?, question()?);
            let times = alone(&*bridge(&host)?, &question, CALLS)?;
            println!("{}", Value::Array(vec![row("attach", "driver call", "postern", 0, times)]));
            Ok(())
        }
        ["all", hostile] => {
            println!("{}", Value::Array(everything(Path::new(hostile))?));
            Ok(())
        }
        _ => Err("all MODULE, call, or serve PATH".into()),
    }
}

/// A host, and the folder of what it compiles.
fn host(quarantine: Quarantine) -> Done<(DriverHost, TempDir)> {
    let state = tempfile::tempdir()?;
    // As many calls at a time as callers: it is not the queue that is measured.
    let limits = Limits { calls_per_driver: 16, calls: 32, quarantine, ..Limits::default() };
    let options =
        HostOptions { state: state.path().to_owned(), limits, compiler: Compiler::InProcess };
    let host = DriverHost::open(options)?;
    host.load_built_in()?;
    Ok((host, state))
}

fn bridge(host: &DriverHost) -> Done<Arc<LoadedDriver>> {
    host.driver("bridge").ok_or_else(|| "there is no bridge driver".into())
}

fn everything(module: &Path) -> Done<Vec<Value>> {
    let ((host, _folder), question) = (host(Limits::default().quarantine)?, question()?);
    let driver = bridge(&host)?;
    let bench = "driver";
    let mut rows = vec![row(bench, "decision", "postern", 0, alone(&driver, &question, CALLS)?)];
    for callers in CALLERS {
        let (times, rate) = together(&driver, &question, callers)?;
        let mut row = row(bench, "decisions at a time", "postern", callers, times);
        row["qps"] = json!(rate);
        rows.push(row);
    }
    rows.push(beside_a_hostile_one(&host, module, ("beside hostile", &question))?);
    let tireless = Quarantine { faults: usize::MAX, ..Limits::default().quarantine };
    let (other, _other_folder) = self::host(tireless)?;
    rows.push(beside_a_hostile_one(&other, module, ("none resting", &question))?);
    rows.extend(of_a_remote_driver(&question)?);
    rows.extend(memory(&driver, &question)?);
    Ok(rows)
}

fn row(bench: &str, work: &str, subject: &str, size: usize, mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at =
        |share: usize| times.get(times.len() * share / 100).map(|time| time.as_secs_f64() * 1000.0);
    json!({
        "bench": bench, "work": work, "subject": subject, "size": size, "n": times.len(),
        "p50_ms": at(50), "p95_ms": at(95), "p99_ms": at(99),
    })
}

fn ask(driver: &LoadedDriver, question: &Question) -> Done<Duration> {
    let begun = Instant::now();
    driver.endpoint(&question.context, &question.network, &question.endpoint)?;
    Ok(begun.elapsed())
}

fn alone(driver: &LoadedDriver, question: &Question, calls: usize) -> Done<Vec<Duration>> {
    for _ in 0..WARM_UP {
        ask(driver, question)?;
    }
    (0..calls).map(|_| ask(driver, question)).collect()
}

/// All callers share the calls; also how many were answered in a second.
fn together(
    driver: &Arc<LoadedDriver>,
    question: &Question,
    callers: usize,
) -> Done<(Vec<Duration>, f64)> {
    let left = AtomicUsize::new(CALLS);
    let begun = Instant::now();
    let times = thread::scope(|scope| {
        let work = || {
            let mut times = Vec::new();
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                times.push(ask(driver, question).map_err(|error| error.to_string())?);
            }
            Ok::<_, String>(times)
        };
        let running: Vec<_> = (0..callers).map(|_| scope.spawn(work)).collect();
        let ended = running.into_iter();
        let ended =
            ended.map(|one| one.join().unwrap_or_else(|_| Err("a caller ended".to_owned())));
        ended.collect::<Result<Vec<_>, _>>()
    })?;
    let times: Vec<Duration> = times.into_iter().flatten().collect();
    let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
    Ok((times, rate))
}

/// The same calls while another driver is told to go round for ever, again and again.
fn beside_a_hostile_one(
    host: &DriverHost,
    module: &Path,
    (subject, question): (&str, &Question),
) -> Done<Value> {
    let driver = bridge(host)?;
    let info = host.load(&std::fs::read(module)?, false, &Grants::default())?;
    let other = host.driver(info.manifest.name.as_str()).ok_or("it is not there")?;
    let mut endless = question.network.clone();
    endless.options.insert("do".to_owned(), "loop".to_owned());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // It fails; in quarantine it fails at once.
                drop(other.network(&question.context, &endless));
                thread::sleep(Duration::from_millis(1));
            }
        });
        let times = alone(&driver, question, CALLS);
        stop.store(true, Ordering::Relaxed);
        Ok(row("driver", "decision", subject, 0, times?))
    })
}

/// The responder, ended when it is dropped.
struct Responder(Child);

impl Drop for Responder {
    fn drop(&mut self) {
        // Only fails if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn of_a_remote_driver(question: &Question) -> Done<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("plugin.sock");
    let mut child = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take();
    let _responder = Responder(child);
    let mut ready = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(output.ok_or("no output")?),
        &mut ready,
    )?;
    let (whole, single) = remote::measure(&path, question, CALLS)?;
    Ok(vec![
        row("driver", "decision", "docker remote", 0, whole),
        row("driver", "decision", "one HTTP call", 0, single),
    ])
}

/// Resident memory as calls go on.
fn memory(driver: &LoadedDriver, question: &Question) -> Done<Vec<Value>> {
    let mut rows = Vec::new();
    let mut made = 0;
    for mark in MARKS {
        while made < mark {
            ask(driver, question)?;
            made += 1;
        }
        let mut row = row("driver", "memory after calls", "postern", mark, Vec::new());
        row["rss_kib"] = json!(resident()?);
        rows.push(row);
    }
    Ok(rows)
}

fn resident() -> Done<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
    Ok(number.parse()?)
}
