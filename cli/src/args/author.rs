//! `postern driver`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use postern_workbench::{Grants, case};

use super::driver::each;
use crate::error::Error;

/// The verbs of a driver's author; none needs a daemon.
#[derive(Debug, Subcommand)]
pub(crate) enum AuthorCommand {
    /// Make the project of a new driver, in Rust (needs no daemon)
    New(NewArgs),
    /// Check a driver as the daemon would before it loads it (needs no daemon)
    Check(CheckArgs),
    /// Ask a driver for one network or endpoint, and admit its decision (needs no daemon)
    #[command(after_help = REQUEST)]
    Run(RunArgs),
    /// Compare what comes of golden cases with what they expect (needs no daemon)
    #[command(after_help = CASE)]
    Test(TestArgs),
    /// Measure how long calls of a driver take, and what fuel they use (needs no daemon)
    Bench(BenchArgs),
}

/// What a request can say.
const REQUEST: &str = "\
A request is JSON. What is left out is as an ordinary network or endpoint has it:

  {\"network\": {}}                                  what does a network need?
  {\"network\": {\"internal\": true, \"options\": {\"uplink\": \"false\"}}}
  {\"network\": {}, \"endpoint\": {}}                  what does an endpoint on it need?

network   id name subnets internal icc mtu mac labels options state
endpoint  id name addresses mac interface bindings labels options state
context   request_id now seed
existing  what the host has under the bridge's name: absent, bridge, other, ours

For an endpoint the driver is asked for the network first, as the daemon has done by then.
The exit code is 0 for a decision that is admitted, 3 otherwise.";

/// What a case is.
const CASE: &str = "\
A case is a JSON file with a `request` (see `driver run --help`), perhaps a `description` and
`grants`, and what to `expect`: a decision, a fault, rejections or a failure, as `driver run
-o json` prints it. `--bless` writes what comes of each into its file.";

/// `driver new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The driver's name: 1 to 63 letters, digits, `_`, `.`, `-`
    pub name: String,
    /// The folder to make; postern-driver-NAME if not given
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
    /// The folder `sdk` of Postern's sources; from its git repository if not given
    #[arg(long, value_name = "DIR")]
    pub sdk: Option<PathBuf>,
}

/// `driver check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The driver: a component, or a core module as `cargo build` leaves it
    pub file: PathBuf,
}

/// What an operator would grant.
#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// Grant this of what it asks for, alone or with a scope (`driver install --help`), and
    /// nothing else; all of it if not given; with commas between, repeatable
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<String>,
}

impl GrantArgs {
    /// Together; none if nothing was said.
    ///
    /// # Errors
    /// One of them is no grant.
    pub(crate) fn whole(&self) -> Result<Option<Grants>, Error> {
        if self.grants.is_empty() {
            return Ok(None);
        }
        let grants = Grants::try_from(each(&self.grants));
        grants.map(Some).map_err(|error| Error::usage(error.to_string()))
    }
}

/// `driver run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The driver
    pub file: PathBuf,
    /// The request: a file of its own, or a case
    #[arg(short, long, value_name = "FILE")]
    pub request: PathBuf,
    /// What is granted.
    #[command(flatten)]
    pub grants: GrantArgs,
}

/// `driver test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The driver
    pub file: PathBuf,
    /// Cases, or folders of them
    #[arg(default_value = case::FOLDER)]
    pub cases: Vec<PathBuf>,
    /// Write what comes of each case into its file, as what is expected
    #[arg(long)]
    pub bless: bool,
}

/// `driver bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The driver
    pub file: PathBuf,
    /// The request: a file of its own, or a case; an ordinary endpoint if not given
    #[arg(short, long, value_name = "FILE")]
    pub request: Option<PathBuf>,
    /// How many calls
    #[arg(short = 'n', long, value_name = "N", default_value = "2000")]
    pub calls: NonZeroU32,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::driver::DriverCommand;
    use crate::args::{Cli, Command};

    fn parse(line: &str) -> Result<AuthorCommand, clap::Error> {
        let words = ["postern", "driver"].into_iter().chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| match cli.command {
            Command::Driver(DriverCommand::Author(command)) => command,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn grants_have_scopes() {
        let grants = |line: &str| {
            let Ok(AuthorCommand::Run(run)) = parse(&format!("run a.wasm -r r.json {line}")) else {
                panic!("not a run");
            };
            run.grants.whole()
        };
        let some = grants("--grant bridge,publish=80,8000-8999").unwrap().unwrap();
        assert_eq!(Vec::<String>::from(some), ["bridge", "publish=80,8000-8999"]);
        assert_eq!(grants("").unwrap(), None);
        let error = grants("--grant root").unwrap_err().to_string();
        assert!(error.contains("no capability `root`"), "{error}");
    }

    #[test]
    fn cases_are_in_their_folder() {
        let Ok(AuthorCommand::Test(test)) = parse("test a.wasm") else { panic!("not a test") };
        assert_eq!(test.cases, [PathBuf::from("cases")]);
        assert!(parse("bench a.wasm -n 0").is_err());
    }
}
