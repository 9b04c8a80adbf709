//! `cargo xtask demo`: the whole daemon at work, seen from outside, on a host that is
//! made for it out of namespaces and gone afterwards.

mod drivers;
pub(crate) mod overlay;
mod policies;
mod stage;
mod story;

use crate::process::{Failure, cargo, need_root, run as run_command};
use crate::report::Report;
use crate::setup;

use stage::Stage;

/// Builds what is shown, and shows it.
pub(crate) fn run() -> Result<(), Failure> {
    need_root("the demo")?;
    setup::programs()?;
    setup::compilers()?;
    run_command(cargo().args(["build", "--locked", "-p", "posternd", "-p", "postern-cli"]))?;
    let modules = drivers::build()?;
    println!(
        "\nEverything below happens in a network and a mount namespace made for this demo:\n\
         a host with an uplink ({}), and the world outside ({}).",
        stage::HOST,
        stage::OUTSIDE
    );
    let mut stage = Stage::build()?;
    let mut report = Report::new();
    story::tell(&mut stage, &mut report, &modules)?;
    report.finish()
}
