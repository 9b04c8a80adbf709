//! The demo's chapter on drivers: somebody else's is installed, granted, misbehaves, and is
//! replaced, while its network carries on.

use std::fs;
use std::path::Path;

use crate::process::{Failure, cargo, run, target};

use super::story::Teller;

/// Where the modules are, in the demo's mount namespace.
const FIRST: &str = "/run/lan-1.wasm";
const SECOND: &str = "/run/lan-2.wasm";

/// Builds both versions of the driver, before the namespaces are made.
pub(super) fn build() -> Result<[Vec<u8>; 2], Failure> {
    let made = target().join("wasm32-unknown-unknown/driver/postern_test_driver.wasm");
    let mut modules = Vec::new();
    for features in [&[][..], &["--features", "two"]] {
        let mut command = cargo();
        command.args(["build", "--locked", "--profile", "driver", "-p", "postern-test-driver"]);
        run(command.args(["--target", "wasm32-unknown-unknown"]).args(features))?;
        modules.push(fs::read(&made).map_err(|error| Failure::during(made.display(), error))?);
    }
    modules.try_into().map_err(|_| Failure::new("two versions"))
}

fn write(path: &str, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(Path::new(path), bytes).map_err(|error| Failure::during(path, error))
}

impl Teller<'_> {
    pub(super) fn drivers(&mut self, [first, second]: &[Vec<u8>; 2]) -> Result<(), Failure> {
        self.report.chapter("A driver by somebody else");
        write(FIRST, first)?;
        write(SECOND, second)?;
        let asks = self.shows(
            &format!("driver install {FIRST}"),
            "it is checked, and shows what it asks for",
        )?;
        let idle = asks.contains("lan: disabled") && asks.contains("asks also for");
        self.report.check("without a grant it is not asked", idle, &asks);
        let grants = "--grant bridge,veth,filter,address=10.60.0.0/16";
        self.shows(
            &format!("driver grant lan {grants}"),
            "it may what it needs, and no other address",
        )?;
        self.does("driver enable lan", "and is enabled")?;
        self.fails(
            "network create far --driver lan --subnet 10.61.0.0/24",
            "outside its grant it is refused",
            "alone, not for `10.61.0.1/24`",
        )?;
        self.does(
            "network create near --driver lan --subnet 10.60.0.0/24",
            "inside its grant it decides",
        )?;
        for name in ["one", "two"] {
            self.does(&format!("sandbox create {name}"), &format!("`{name}` is there"))?;
        }
        self.does("connect near one --ip 10.60.0.10", "it joins")?;
        self.does("connect near two --ip 10.60.0.11", "and so does its neighbour")?;
        self.stage.serve("two", 80)?;
        let url = "http://10.60.0.11/";
        let done = self.stage.fetch_in("one", url)?;
        self.answered("one", url, &done, "two");
        for (what, said) in [("trap", "crashed"), ("loop", "limit of"), ("lie", "not valid")] {
            self.fails(
                &format!("network create bad --driver lan --opt do={what}"),
                "it misbehaves",
                said,
            )?;
        }
        self.fails(
            "network create bad --driver lan",
            "after three faults it is not asked any more",
            "in quarantine",
        )?;
        let done = self.stage.fetch_in("one", url)?;
        self.answered("one", url, &done, "two");
        self.does(
            &format!("driver install {SECOND} --upgrade"),
            "a new version decides the same: nothing is touched",
        )?;
        self.shows("driver ls", "and is at work")?;
        let done = self.stage.fetch_in("one", url)?;
        self.answered("one", url, &done, "two");
        self.fails("driver rm lan", "what is in use stays", "in use by network `near`")?;
        self.stage.end_last_server();
        for line in
            ["sandbox rm one --force", "sandbox rm two --force", "network rm near", "driver rm lan"]
        {
            self.does(line, "unused, it goes")?;
        }
        Ok(())
    }

    /// Runs a command that must fail and say why.
    fn fails(&mut self, line: &str, what: &str, said: &str) -> Result<(), Failure> {
        self.report.command("host", &format!("postern {line}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        let done = self.stage.postern(&words)?;
        self.report.output(&done.stderr);
        self.report.check(what, !done.ok() && done.stderr.contains(said), &done.stderr);
        Ok(())
    }
}
