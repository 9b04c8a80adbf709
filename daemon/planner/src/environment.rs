//! Docker's environment variables of a link, in Docker's order: the lowest port, runs of
//! consecutive ports, every port, the name, the source's own environment.

use std::net::IpAddr;

use postern_model::port::Protocol;
use postern_model::sandbox::Sandbox;

use crate::links::{Resolved, ports};

/// Never passed on: they are about the source's own file system.
const PRIVATE: [&str; 2] = ["HOME", "PATH"];

/// The variables of one link, name and value; none while it leads nowhere. `ALIAS` is the
/// alias in capitals, with `_` for what cannot stand in the name of a variable.
pub fn variables(sandbox: &Sandbox, link: &Resolved<'_>) -> Vec<(String, String)> {
    let Some(source) = link.source else { return Vec::new() };
    let Some((_, endpoint)) = link.pairs.first() else { return Vec::new() };
    let Some(address) = endpoint.addresses.first().map(ipnetwork::IpNetwork::ip) else {
        return Vec::new();
    };
    let alias = variable(link.link.alias.as_str());
    let ports = ports(endpoint);
    let mut all = Vec::new();
    // TCP sorts before the others.
    if let Some(first) = ports.first() {
        all.push((format!("{alias}_PORT"), url(*first, address)));
    }
    for run in runs(&ports) {
        all.extend(run_variables(&alias, run, address));
    }
    for port in &ports {
        all.extend(port_variables(&alias, *port, address));
    }
    let name = format!("/{}/{}", sandbox.name, link.link.alias);
    all.push((format!("{alias}_NAME"), name));
    let passed = source.spec.environment.iter().filter(|(key, _)| !PRIVATE.contains(&key.as_str()));
    all.extend(passed.map(|(key, value)| (format!("{alias}_ENV_{key}"), value.clone())));
    all
}

fn variable(text: &str) -> String {
    let each = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    each.collect::<String>().to_ascii_uppercase()
}

fn url((protocol, port): (Protocol, u16), address: IpAddr) -> String {
    format!("{protocol}://{}", std::net::SocketAddr::new(address, port))
}

/// Runs of at least two consecutive ports of one protocol.
fn runs(ports: &[(Protocol, u16)]) -> impl Iterator<Item = &[(Protocol, u16)]> {
    let consecutive =
        |a: &(Protocol, u16), b: &(Protocol, u16)| a.0 == b.0 && a.1.checked_add(1) == Some(b.1);
    ports.chunk_by(consecutive).filter(|run| run.len() > 1)
}

fn run_variables(alias: &str, run: &[(Protocol, u16)], address: IpAddr) -> Vec<(String, String)> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Vec::new() };
    let prefix = prefix(alias, *first);
    [
        ("START", url(*first, address)),
        ("PORT_START", first.1.to_string()),
        ("END", url(*last, address)),
        ("PORT_END", last.1.to_string()),
    ]
    .map(|(what, value)| (format!("{prefix}_{what}"), value))
    .into()
}

fn port_variables(alias: &str, port: (Protocol, u16), address: IpAddr) -> [(String, String); 4] {
    let prefix = prefix(alias, port);
    [
        (prefix.clone(), url(port, address)),
        (format!("{prefix}_ADDR"), address.to_string()),
        (format!("{prefix}_PORT"), port.1.to_string()),
        (format!("{prefix}_PROTO"), port.0.to_string()),
    ]
}

fn prefix(alias: &str, (protocol, port): (Protocol, u16)) -> String {
    format!("{alias}_PORT_{port}_{}", protocol.to_string().to_uppercase())
}
