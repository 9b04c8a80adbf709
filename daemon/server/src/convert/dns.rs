//! Names, servers and links.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use postern_model::dns::{
    DnsConfig, DnsName, ExtraHost, HostAddress, Identity, LABEL_MAX, LINKS_MAX, Link, LinkState,
    NAME_MAX, RESOLVER,
};
use postern_model::name::Name;
use postern_proto::v1;
use postern_proto::v1::link_status::State;

use super::fields::Fields;
use crate::backend::LinkFacts;

const SERVERS_MAX: usize = 8;
const SEARCH_MAX: usize = 32;
const OPTIONS_MAX: usize = 16;
/// Longest option of resolv.conf(5).
const OPTION_MAX: usize = 63;
const EXTRA_HOSTS_MAX: usize = 256;
const VARIABLES_MAX: usize = 256;
/// Longest name of an environment variable.
const VARIABLE_MAX: usize = 255;
/// Longest value of an environment variable.
const VALUE_MAX: usize = 4096;
/// What stands for the host in an extra host.
const HOST_GATEWAY: &str = "host-gateway";

/// Addresses of DNS servers.
pub(super) fn servers(
    fields: &mut Fields,
    path: &str,
    given: Vec<String>,
) -> Option<Vec<SocketAddr>> {
    fields.all((path, SERVERS_MAX), given, |fields, path, text| fields.take(path, server(&text)))
}

fn server(text: &str) -> Result<SocketAddr, String> {
    let address = text
        .parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, RESOLVER.port())))
        .map_err(|_| format!("`{text}` is neither an address nor address:port"))?;
    if address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0 {
        return Err(format!("{address} is nobody's address"));
    }
    Ok(address)
}

/// A server as it is given: the port only where it is another one than usual.
pub(super) fn server_out(server: &SocketAddr) -> String {
    if server.port() == RESOLVER.port() { server.ip().to_string() } else { server.to_string() }
}

pub(super) fn config(fields: &mut Fields, given: Option<v1::DnsConfig>) -> Option<DnsConfig> {
    let v1::DnsConfig { servers: given, search, options } = given.unwrap_or_default();
    let servers = servers(fields, "spec.dns.servers", given);
    let search = fields.all(("spec.dns.search", SEARCH_MAX), search, |fields, path, text| {
        fields.take(path, text.parse())
    });
    let options = fields.all(("spec.dns.options", OPTIONS_MAX), options, |fields, path, text| {
        fields.take(path, option(text))
    });
    Some(DnsConfig { servers: servers?, search: search?, options: options? })
}

fn option(text: String) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':');
    if text.is_empty() || text.len() > OPTION_MAX || !text.bytes().all(plain) {
        return Err(format!("`{text}` is not an option of resolv.conf"));
    }
    if let Some(number) = text.strip_prefix("ndots:")
        && !number.parse::<u8>().is_ok_and(|number| number <= 15)
    {
        return Err(format!("`{number}` is not a number of dots from 0 to 15"));
    }
    Ok(text)
}

pub(super) fn config_out(config: DnsConfig) -> v1::DnsConfig {
    let DnsConfig { servers, search, options } = config;
    v1::DnsConfig {
        servers: servers.iter().map(server_out).collect(),
        search: search.into_iter().map(String::from).collect(),
        options,
    }
}

pub(super) fn identity(fields: &mut Fields, hostname: &str, domain_name: &str) -> Identity {
    let hostname: Option<DnsName> = fields.optional("spec.hostname", hostname);
    if hostname.as_ref().is_some_and(|name| name.as_str().contains('.')) {
        fields.wrong("spec.hostname", "is more than one label; the rest goes to domain_name");
    }
    let domain_name: Option<DnsName> = fields.optional("spec.domain_name", domain_name);
    let length = |name: &Option<DnsName>| name.as_ref().map_or(0, |name| name.as_str().len());
    // The sandbox's own name may be the hostname; it has at most 63 bytes.
    let most = length(&hostname).max(LABEL_MAX) + 1 + length(&domain_name);
    if domain_name.is_some() && most > NAME_MAX {
        fields.wrong("spec.domain_name", "leaves no room for a hostname");
    }
    Identity { hostname, domain_name }
}

pub(super) fn extra_hosts(
    fields: &mut Fields,
    given: Vec<v1::ExtraHost>,
) -> Option<Vec<ExtraHost>> {
    fields.all(("spec.extra_hosts", EXTRA_HOSTS_MAX), given, |fields, path, host| {
        let v1::ExtraHost { name, address } = host;
        let name = fields.required(format!("{path}.name"), &name);
        let address = fields.take(format!("{path}.address"), host_address(&address));
        Some(ExtraHost { name: name?, address: address? })
    })
}

fn host_address(text: &str) -> Result<HostAddress, String> {
    if text == HOST_GATEWAY {
        return Ok(HostAddress::HostGateway);
    }
    let address = text.parse().map(HostAddress::Ip);
    address.map_err(|_| format!("`{text}` is neither an address nor `{HOST_GATEWAY}`"))
}

pub(super) fn extra_host_out(host: ExtraHost) -> v1::ExtraHost {
    let address = match host.address {
        HostAddress::Ip(ip) => ip.to_string(),
        HostAddress::HostGateway => HOST_GATEWAY.to_owned(),
    };
    v1::ExtraHost { name: host.name.into(), address }
}

/// The links of a sandbox of this name.
pub(super) fn links(
    fields: &mut Fields,
    sandbox: Option<&Name>,
    given: Vec<v1::Link>,
) -> Option<Vec<Link>> {
    let path = "spec.links";
    let links = fields
        .all((path, LINKS_MAX), given, |fields, path, given| link(fields, &path, sandbox, given))?;
    for (index, link) in links.iter().enumerate() {
        if links.iter().take(index).any(|earlier| earlier.alias == link.alias) {
            let text = format!("`{}` is given twice", link.alias);
            fields.wrong(format!("{path}[{index}].alias"), text);
        }
    }
    Some(links)
}

/// One link of a sandbox, whose name is not known where it is given by uid.
pub(super) fn link(
    fields: &mut Fields,
    path: &str,
    sandbox: Option<&Name>,
    given: v1::Link,
) -> Option<Link> {
    let v1::Link { source, alias } = given;
    let alias = if alias.is_empty() { source.clone() } else { alias };
    let source = fields.take(format!("{path}.source"), Name::short(&source));
    if source.is_some() && source.as_ref() == sandbox {
        fields.wrong(format!("{path}.source"), "is the sandbox itself");
    }
    let alias = fields.required(format!("{path}.alias"), &alias);
    Some(Link { source: source?, alias: alias? })
}

fn link_out(link: Link) -> v1::Link {
    v1::Link { source: link.source.into(), alias: link.alias.into() }
}

pub(super) fn links_out(links: Vec<Link>) -> Vec<v1::Link> {
    links.into_iter().map(link_out).collect()
}

pub(super) fn status_out(sandbox: &Name, facts: LinkFacts) -> v1::LinkStatus {
    let LinkFacts { link, state, addresses } = facts;
    let source = &link.source;
    let (state, reason) = match state {
        LinkState::Live => (State::Live, String::new()),
        LinkState::NoSource => (State::NoSource, format!("there is no sandbox `{source}`")),
        LinkState::NotJoined => {
            (State::NotJoined, format!("`{sandbox}` or `{source}` is on no network yet"))
        }
        LinkState::NoCommonNetwork => (
            State::NoCommonNetwork,
            format!(
                "`{sandbox}` and `{source}` are on no network together, and a link does not \
                 join networks: connect one of them to a network of the other"
            ),
        ),
    };
    v1::LinkStatus {
        state: state.into(),
        reason,
        addresses: addresses.iter().map(IpAddr::to_string).collect(),
        link: Some(link_out(link)),
    }
}

pub(super) fn environment(
    fields: &mut Fields,
    given: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let path = "spec.environment";
    if given.len() > VARIABLES_MAX {
        let text = format!("{} entries, at most {VARIABLES_MAX} are allowed", given.len());
        fields.wrong(path, text);
    }
    for (name, value) in &given {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let begins = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if !begins || name.len() > VARIABLE_MAX || !name.bytes().all(plain) {
            fields.wrong(format!("{path}[\"{name}\"]"), "is not the name of a variable");
        }
        if value.len() > VALUE_MAX || value.contains('\0') {
            let text = format!("must be at most {VALUE_MAX} bytes without NUL");
            fields.wrong(format!("{path}[\"{name}\"]"), text);
        }
    }
    given
}
