//! `cargo xtask demo --overlay`: one network over three hosts, each a namespace with a daemon in
//! it, with an underlay and an etcd between them.

mod hosts;
mod story;

use crate::process::{Failure, cargo, need_root, run as run_command};
use crate::report::Report;
use crate::setup;

use hosts::Hosts;

/// Builds what is shown, and shows it.
pub(crate) fn run() -> Result<(), Failure> {
    need_root("the demo")?;
    setup::programs()?;
    setup::compilers()?;
    let etcd = setup::etcd()?;
    run_command(cargo().args(["build", "--locked", "-p", "posternd", "-p", "postern-cli"]))?;
    println!(
        "\nEverything below happens in network namespaces and a mount namespace made for this \
         demo:\nthree hosts, `a`, `b` and `c`, at 192.0.2.1, .2 and .3, and between them an \
         underlay, with\netcd at {}.",
        hosts::ETCD
    );
    let mut hosts = Hosts::build(etcd)?;
    let mut report = Report::new();
    story::tell(&mut hosts, &mut report)?;
    report.finish()
}
