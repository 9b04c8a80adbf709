//! The files of a sandbox: hosts(5), hostname(5), resolv.conf(5).

use std::fmt::Write;
use std::net::IpAddr;

use postern_model::dns::{HostAddress, RESOLVER};
use postern_model::endpoint::Endpoint;
use postern_model::network::{Family, Network};
use postern_model::resource::{Content, Resource, SandboxFile};
use postern_model::sandbox::Sandbox;

use crate::desired::default_gateway;
use crate::links::Resolved;

const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// Every file of a sandbox, given its endpoints and what its links come to.
pub(crate) fn files(
    sandbox: &Sandbox,
    joined: &[(&Endpoint, &Network)],
    links: &[Resolved<'_>],
) -> impl Iterator<Item = Resource> {
    let contents = [
        (SandboxFile::Hosts, hosts(sandbox, joined, links)),
        (SandboxFile::Hostname, format!("{}\n", sandbox.hostname())),
        (SandboxFile::ResolvConf, resolv_conf(sandbox)),
    ];
    let id = sandbox.id;
    contents.into_iter().map(move |(file, text)| Resource::File {
        sandbox: id,
        file,
        content: Content::Written(text),
    })
}

/// Own names first, then those the client added, then the links'.
fn hosts(sandbox: &Sandbox, joined: &[(&Endpoint, &Network)], links: &[Resolved<'_>]) -> String {
    let mut text = LOCALHOST.to_owned();
    let own = match sandbox.fqdn() {
        Some(fqdn) => format!("{fqdn} {}", sandbox.hostname()),
        None => sandbox.hostname().to_string(),
    };
    for address in joined.iter().flat_map(|(endpoint, _)| &endpoint.addresses) {
        line(&mut text, address.ip(), &own);
    }
    for host in &sandbox.spec.extra_hosts {
        let addresses = match host.address {
            HostAddress::Ip(ip) => vec![ip],
            HostAddress::HostGateway => gateways(joined),
        };
        addresses.into_iter().for_each(|ip| line(&mut text, ip, host.name.as_str()));
    }
    for link in links {
        let mut names = vec![link.link.alias.to_string()];
        if let Some(source) = link.source {
            for name in [source.hostname().to_string(), source.name.to_string()] {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        let names = names.join(" ");
        link.addresses().into_iter().for_each(|ip| line(&mut text, ip, &names));
    }
    text
}

fn line(text: &mut String, address: IpAddr, names: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{address}\t{names}");
}

/// The host as the sandbox reaches it: the gateways of its default routes. That of a
/// macvlan is a router somewhere, and the host is not reached by its parent.
pub(crate) fn gateways(joined: &[(&Endpoint, &Network)]) -> Vec<IpAddr> {
    let bridged: Vec<_> =
        joined.iter().filter(|(endpoint, _)| !endpoint.is_macvlan()).copied().collect();
    let of = |family| default_gateway(&bridged, family).map(|gateway| gateway.via);
    Family::ALL.into_iter().filter_map(of).collect()
}

/// The one server there is. A single name is asked for as it is before the search list is
/// tried, since most of them are of neighbours.
fn resolv_conf(sandbox: &Sandbox) -> String {
    let dns = &sandbox.spec.dns;
    let mut text = format!("nameserver {}\n", RESOLVER.ip());
    if !dns.search.is_empty() {
        let search: Vec<&str> =
            dns.search.iter().map(postern_model::dns::DnsName::as_str).collect();
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    let own_ndots = dns.options.iter().any(|option| option.starts_with("ndots:"));
    let default = (!own_ndots).then_some("ndots:0");
    let options: Vec<&str> =
        default.into_iter().chain(dns.options.iter().map(String::as_str)).collect();
    let _ = writeln!(text, "options {}", options.join(" "));
    text
}
