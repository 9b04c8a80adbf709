//! What a person reads while a task goes on.

use std::io::IsTerminal;

use crate::process::Failure;

/// Prints chapters, commands and checks, and counts what was not as it should be.
#[derive(Debug)]
pub(crate) struct Report {
    colour: bool,
    chapter: u32,
    passed: u32,
    failed: u32,
}

impl Report {
    pub(crate) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = wanted && std::io::stdout().is_terminal();
        Self { colour, chapter: 0, passed: 0, failed: 0 }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Begins a chapter.
    pub(crate) fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        println!("\n{}", self.paint("1", &format!("{}. {title}", self.chapter)));
    }

    /// Shows a command as it is run.
    pub(crate) fn command(&self, place: &str, line: &str) {
        println!("   {} {line}", self.paint("2", &format!("{place}$")));
    }

    /// Shows what a program printed.
    pub(crate) fn output(&self, text: &str) {
        for line in text.trim_end().lines() {
            println!("     {}", self.paint("2", line));
        }
    }

    /// Says whether something is as it should be.
    pub(crate) fn check(&mut self, what: &str, holds: bool, detail: &str) {
        if holds {
            self.passed += 1;
            println!("   {} {what}", self.paint("32", "✓"));
        } else {
            self.failed += 1;
            println!("   {} {what}", self.paint("31", "✗"));
            self.output(detail);
        }
    }

    /// The last line, and whether everything was as it should be.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        println!("\n{} passed, {} failed", self.passed, self.failed);
        match self.failed {
            0 => Ok(()),
            count => Err(Failure::new(format!("{count} of the checks above do not hold"))),
        }
    }
}
