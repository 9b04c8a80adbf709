//! The daemon's side of a compilation in a child.

use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::{CODE, COMPILE_ARGUMENT, CompileError, NOT_A_COMPONENT, NOT_COMPILED, Terms};
use crate::call::tidy;
use crate::limits::{Limit, LimitHit, Limits};

/// Most bytes of an answer. Compiled code is three to four times the size of its module.
const ANSWER_MAX: u64 = 128 << 20;
/// Most bytes that are repeated of what a child wrote to standard error.
const LAST_WORDS_MAX: u64 = 1 << 10;

/// Compiles an inspected module in a child.
pub(super) fn in_child(
    program: &Path,
    limits: &Limits,
    module: &[u8],
) -> Result<Vec<u8>, CompileError> {
    let failed = |source| CompileError::Spawn { program: program.to_owned(), source };
    let mut child = Command::new(program)
        .arg0("posternd")
        .arg(COMPILE_ARGUMENT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let heard = converse(&mut child, limits, module);
    if heard.is_err() {
        // Only fails if the child has ended already.
        let _ = child.kill();
    }
    let status = child.wait().map_err(failed)?;
    read_answer(limits, status, heard)
}

/// What a child said until its end.
struct Heard {
    /// None if a pipe broke, mostly since the child ended.
    answer: Option<Vec<u8>>,
    /// The beginning of what it wrote to standard error.
    last_words: String,
}

/// Why a child has not been heard to the end.
enum Silence {
    /// The time is up; how much it was.
    Timeout(Duration),
    /// There is no thread or no pipe to hear it by.
    Deaf,
}

fn converse(child: &mut Child, limits: &Limits, module: &[u8]) -> Result<Heard, Silence> {
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut input), Some(output), Some(errors)) = pipes else {
        return Err(Silence::Deaf);
    };
    let (send, receive) = mpsc::channel();
    let mut request = Terms::new(limits).bytes();
    request.extend(module);
    let talk = move || -> io::Result<Vec<u8>> {
        input.write_all(&request)?;
        drop(input);
        let mut answer = Vec::new();
        output.take(ANSWER_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    };
    let hear = move || Heard { answer: talk().ok(), last_words: beginning(errors) };
    let began = Instant::now();
    let speak = thread::Builder::new().name("driver-compile".to_owned());
    // The thread ends by itself: killing the child closes its pipes. When nobody listens
    // any more the answer is of no use.
    speak.spawn(move || drop(send.send(hear()))).map_err(|_| Silence::Deaf)?;
    receive.recv_timeout(limits.compile_wall).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => Silence::Timeout(began.elapsed()),
        mpsc::RecvTimeoutError::Disconnected => Silence::Deaf,
    })
}

/// As much of a text as is worth repeating.
fn beginning(text: impl Read) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is still worth it.
    let _ = text.take(LAST_WORDS_MAX).read_to_end(&mut bytes);
    tidy(lossy(&bytes).trim(), bytes.len())
}

fn read_answer(
    limits: &Limits,
    status: ExitStatus,
    heard: Result<Heard, Silence>,
) -> Result<Vec<u8>, CompileError> {
    let late = |which, limit, measured| {
        Err(CompileError::Limit(LimitHit::of_time(which, limit, measured)))
    };
    let Heard { answer, last_words } = match heard {
        Ok(heard) => heard,
        Err(Silence::Timeout(measured)) => {
            return late(Limit::CompileWall, limits.compile_wall, measured);
        }
        Err(Silence::Deaf) => Heard { answer: None, last_words: String::new() },
    };
    if status.signal() == Some(nix::libc::SIGXCPU) {
        return late(Limit::CompileCpu, limits.compile_cpu, limits.compile_cpu);
    }
    match answer.as_deref().and_then(<[u8]>::split_first) {
        Some((&CODE, code)) if status.success() => Ok(code.to_vec()),
        Some((&NOT_A_COMPONENT, reason)) if status.success() => {
            Err(CompileError::Componentize { reason: lossy(reason) })
        }
        Some((&NOT_COMPILED, reason)) if status.success() => {
            Err(sort(limits, lossy(reason), |reason| CompileError::Compile { reason }))
        }
        _ => Err(sort(limits, last_words, |last_words| CompileError::Died { status, last_words })),
    }
}

/// Tells the end of memory apart: the allocator says so and aborts, or something asked first
/// and was told.
fn sort(limits: &Limits, text: String, other: impl FnOnce(String) -> CompileError) -> CompileError {
    let aborted = text.contains("memory allocation of ") && text.contains(" bytes failed");
    let told = text.contains("(os error 12)") || text.ends_with("out of memory");
    if aborted || told {
        let limit = limits.compile_memory;
        return CompileError::Limit(LimitHit {
            which: Limit::CompileMemory,
            limit,
            measured: None,
        });
    }
    other(text)
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_memory_is_told_apart() {
        let limits = Limits::default();
        let of = |text: &str| sort(&limits, text.into(), |reason| CompileError::Compile { reason });
        for text in [
            "memory allocation of 65536 bytes failed",
            "mmap failed: Cannot allocate memory (os error 12)",
            "cannot speak with the daemon: out of memory",
        ] {
            assert!(
                matches!(of(text), CompileError::Limit(hit) if hit.which == Limit::CompileMemory)
            );
        }
        assert!(matches!(of("unexpected end"), CompileError::Compile { .. }));
    }
}
