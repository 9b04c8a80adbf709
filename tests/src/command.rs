//! Programs that are run to their end.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

/// What a program left behind.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a program in the calling thread's namespaces.
///
/// # Panics
/// The program cannot be started.
pub fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S]) -> Finished {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a command line, split at white space, and returns what it printed.
///
/// # Panics
/// It does not end with 0.
pub fn sh(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (program, args) = words.split_first().unwrap_or_else(|| panic!("an empty command line"));
    let done = run(program, args);
    assert_eq!(done.code, Some(0), "`{line}` failed:\n{}{}", done.stdout, done.stderr);
    done.stdout
}

/// The path of one of the workspace's programs, beside the running one.
///
/// # Panics
/// It has not been built.
pub fn binary(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap_or_else(|error| panic!("current_exe: {error}"));
    // Test programs lie in `<target>/<profile>/deps`, all others one folder up.
    let found = here.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|p| p.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "`{name}` is not built beside {}: run `cargo build -p posternd -p postern-cli`, \
             or `cargo xtask test`, which does",
            here.display()
        )
    })
}
