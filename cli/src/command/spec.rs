//! What an endpoint should be: from flags, and as changed by flags.

use postern_proto::v1::{EndpointSpec, ExposedPort, Protocol, PublishedPort};

use crate::args::endpoint::{SpecArgs, UpdateArgs};
use crate::parse::pairs;

/// The spec that the flags describe.
pub(super) fn from_args(args: SpecArgs) -> EndpointSpec {
    EndpointSpec {
        ipv4_address: args.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        ipv6_address: args.ip6.map(|ip| ip.to_string()).unwrap_or_default(),
        mac_address: args.mac_address,
        interface_name: args.interface,
        gateway_priority: args.gw_priority,
        aliases: args.alias,
        exposed_ports: args.expose,
        published_ports: args.publish,
        labels: pairs::map(&args.label),
        options: pairs::map(&args.opt),
    }
}

/// Changes `spec`: removals first, so that a port can be replaced in one go. What is
/// there already is not added twice, and what is not there need not be removed.
pub(super) fn change(spec: &mut EndpointSpec, args: &UpdateArgs) {
    spec.aliases.retain(|alias| !args.alias_rm.contains(alias));
    add(&mut spec.aliases, &args.alias_add, |a, b| a == b);
    spec.exposed_ports.retain(|port| !has(&args.expose_rm, exposed(port)));
    add(&mut spec.exposed_ports, &args.expose_add, |a, b| exposed(a) == exposed(b));
    spec.published_ports.retain(|port| !has(&args.publish_rm, target(port)));
    add(&mut spec.published_ports, &args.publish_add, |a, b| published(a) == published(b));
    pairs::change(&mut spec.labels, &args.labels.label_add, &args.labels.label_rm);
}

/// Ports of the sandbox, in one form for each meaning: protocol, first and last.
type Target = (Protocol, u32, u32);

fn has(removed: &[ExposedPort], port: Target) -> bool {
    removed.iter().any(|removed| exposed(removed) == port)
}

fn add<T: Clone>(held: &mut Vec<T>, more: &[T], same: impl Fn(&T, &T) -> bool) {
    for item in more {
        if !held.iter().any(|held| same(held, item)) {
            held.push(item.clone());
        }
    }
}

fn exposed(port: &ExposedPort) -> Target {
    (transport(port.protocol()), port.port, port.port_end.max(port.port))
}

fn target(port: &PublishedPort) -> Target {
    let last = port.container_port_end.max(port.container_port);
    (transport(port.protocol()), port.container_port, last)
}

fn published(port: &PublishedPort) -> (Target, &str, u32, u32, &[String]) {
    let target = target(port);
    // An absent end means as many as container ports.
    let last = match port.host_port_end {
        0 => port.host_port.saturating_add(target.2.saturating_sub(target.1)),
        last => last,
    };
    (target, &port.host_ip, port.host_port, last, &port.allow_from)
}

fn transport(protocol: Protocol) -> Protocol {
    if protocol == Protocol::Unspecified { Protocol::Tcp } else { protocol }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::endpoint::EndpointCommand;
    use crate::args::{Cli, Command};
    use crate::parse::ports;

    fn changed(spec: &EndpointSpec, flags: &[&str]) -> EndpointSpec {
        let line = [&["postern", "endpoint", "update", "a"], flags].concat();
        let Command::Endpoint(EndpointCommand::Update(args)) = Cli::parse_from(line).command else {
            panic!("not an update");
        };
        let mut spec = spec.clone();
        change(&mut spec, &args);
        spec
    }

    fn spec(published: &[&str], exposed: &[&str]) -> EndpointSpec {
        EndpointSpec {
            published_ports: published.iter().map(|text| ports::published(text).unwrap()).collect(),
            exposed_ports: exposed.iter().map(|text| ports::exposed(text).unwrap()).collect(),
            ..EndpointSpec::default()
        }
    }

    #[test]
    fn ports_are_removed_by_what_they_are_in_the_sandbox() {
        let before = spec(&["8080:80", "127.0.0.1:81:80", "53:53/udp"], &["80", "90-91"]);
        let after = changed(&before, &["--publish-rm", "80/tcp", "--expose-rm", "90-91"]);
        assert_eq!(after, spec(&["53:53/udp"], &["80"]));
    }

    #[test]
    fn a_port_can_be_replaced_in_one_go() {
        let after = changed(&spec(&["8080:80"], &[]), &["--publish-rm=80", "--publish-add=81:80"]);
        assert_eq!(after, spec(&["81:80"], &[]));
    }

    #[test]
    fn what_is_there_is_not_added_twice() {
        let mut before = spec(&["8080:80", "8000-8001:80-81"], &["80"]);
        // As a daemon may say it: defaults filled in.
        for port in &mut before.published_ports {
            port.host_port_end = port.host_port_end.max(port.host_port);
        }
        let flags =
            ["--publish-add=8080:80", "--publish-add=8000-8001:80-81", "--expose-add=80/tcp"];
        assert_eq!(changed(&before, &flags), before);
        let more =
            changed(&before, &["--alias-add=x", "--alias-add=x", "--publish-add=8080:80/udp"]);
        assert_eq!((more.aliases.len(), more.published_ports.len()), (1, 3));
    }
}
