//! From what a driver answers to the model: the edge where its texts are parsed, once.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;
use postern_model::decision::{
    Desired, EndpointDecision, Link, LinkKind, LinkSysctl, MacvlanMode, NetworkDecision,
    PeerDecision, Reach, Side,
};
use postern_model::driver::{Attach, Capability, Manifest, OptionScope, OptionSpec};
use postern_model::name::{LABEL_KEY_MAX, Name};
use postern_model::network::Family;
use postern_model::port::{PortBinding, PortRange, Protocol};

use crate::contract::v0_1::{self as wit, types};
use crate::limits::{Limit, LimitHit, Limits};

/// A value that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// Where in the answer.
    pub(crate) path: String,
    /// What is wrong.
    pub(crate) reason: String,
}

/// A place in the answer, and the limits there.
#[derive(Debug, Clone)]
struct At<'a> {
    limits: &'a Limits,
    path: String,
}

impl<'a> At<'a> {
    const fn root(limits: &'a Limits) -> Self {
        Self { limits, path: String::new() }
    }

    fn field(&self, name: &str) -> Self {
        let separator = if self.path.is_empty() { "" } else { "." };
        Self { limits: self.limits, path: format!("{}{separator}{name}", self.path) }
    }

    fn index(&self, index: usize) -> Self {
        Self { limits: self.limits, path: format!("{}[{index}]", self.path) }
    }

    fn invalid(&self, reason: impl Display) -> Invalid {
        Invalid { path: self.path.clone(), reason: reason.to_string() }
    }

    /// No more entries than can differ.
    fn at_most(&self, count: usize, max: usize) -> Result<(), Invalid> {
        if count <= max {
            return Ok(());
        }
        Err(self.invalid(format_args!("has {count} entries, at most {max} are allowed")))
    }

    fn within(&self, which: Limit, limit: usize, measured: usize) -> Result<(), Invalid> {
        if measured <= limit {
            return Ok(());
        }
        Err(self.invalid(LimitHit::new(which, limit, Some(measured))))
    }

    /// A text of one line.
    fn text(&self, text: &str) -> Result<String, Invalid> {
        self.within(Limit::StringBytes, self.limits.string_bytes, text.len())?;
        if text.chars().any(char::is_control) {
            return Err(self.invalid("has control characters"));
        }
        Ok(text.to_owned())
    }

    fn parse<T: FromStr<Err: Display>>(&self, text: &str) -> Result<T, Invalid> {
        self.text(text)?.parse().map_err(|error| self.invalid(error))
    }

    fn optional<T: FromStr<Err: Display>>(
        &self,
        text: Option<&String>,
    ) -> Result<Option<T>, Invalid> {
        text.map(|text| self.parse(text)).transpose()
    }

    fn state(&self, state: Vec<u8>) -> Result<Vec<u8>, Invalid> {
        self.within(Limit::StateBytes, self.limits.state_bytes, state.len())?;
        Ok(state)
    }
}

pub(crate) fn manifest(raw: &wit::Manifest, limits: &Limits) -> Result<Manifest, Invalid> {
    let root = At::root(limits);
    let name = root.field("name");
    let options = root.field("options");
    options.within(Limit::Options, limits.options, raw.options.len())?;
    let capabilities = root.field("capabilities");
    capabilities.at_most(raw.capabilities.len(), Capability::ALL.len())?;
    Ok(Manifest {
        name: Name::short(&raw.name).map_err(|error| name.invalid(error))?,
        version: root.field("version").text(&raw.version)?,
        summary: root.field("summary").text(&raw.summary)?,
        capabilities: raw.capabilities.iter().map(|raw| capability(*raw)).collect(),
        options: option_specs(&options, &raw.options)?,
        addressing: raw.addressing,
        attach: match raw.attach {
            types::Attach::Own => Attach::Own,
            types::Attach::Host => Attach::Host,
        },
        max_networks: raw.max_networks,
    })
}

fn option_specs(at: &At<'_>, raw: &[types::OptionSpec]) -> Result<Vec<OptionSpec>, Invalid> {
    let mut specs: Vec<OptionSpec> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let at = at.index(index);
        let spec = option_spec(&at, raw)?;
        if specs.iter().any(|other| other.name == spec.name && other.scope == spec.scope) {
            return Err(at.field("name").invalid("is there twice"));
        }
        specs.push(spec);
    }
    Ok(specs)
}

fn option_spec(at: &At<'_>, raw: &types::OptionSpec) -> Result<OptionSpec, Invalid> {
    let name = at.field("name");
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/');
    if raw.name.is_empty() || raw.name.len() > LABEL_KEY_MAX || !raw.name.bytes().all(allowed) {
        return Err(name.invalid("is not the key of an option"));
    }
    Ok(OptionSpec {
        name: raw.name.clone(),
        scope: match raw.scope {
            types::OptionScope::Network => OptionScope::Network,
            types::OptionScope::Endpoint => OptionScope::Endpoint,
        },
        help: at.field("help").text(&raw.help)?,
    })
}

const fn capability(raw: types::Capability) -> Capability {
    match raw {
        types::Capability::Bridge => Capability::Bridge,
        types::Capability::AdoptLink => Capability::AdoptLink,
        types::Capability::Veth => Capability::Veth,
        types::Capability::Macvlan => Capability::Macvlan,
        types::Capability::Vxlan => Capability::Vxlan,
        types::Capability::Address => Capability::Address,
        types::Capability::Route => Capability::Route,
        types::Capability::Filter => Capability::Filter,
        types::Capability::Masquerade => Capability::Masquerade,
        types::Capability::Publish => Capability::Publish,
        types::Capability::Sysctl => Capability::Sysctl,
    }
}

pub(crate) fn network(
    raw: wit::NetworkDecision,
    limits: &Limits,
) -> Result<NetworkDecision, Invalid> {
    let root = At::root(limits);
    Ok(NetworkDecision {
        resources: resources(&root.field("resources"), &raw.resources)?,
        state: root.field("state").state(raw.state)?,
    })
}

pub(crate) fn endpoint(
    raw: wit::EndpointDecision,
    limits: &Limits,
) -> Result<EndpointDecision, Invalid> {
    let root = At::root(limits);
    Ok(EndpointDecision {
        resources: resources(&root.field("resources"), &raw.resources)?,
        gateways: gateways(&root.field("gateways"), &raw.gateways)?,
        state: root.field("state").state(raw.state)?,
    })
}

pub(crate) fn peer(
    raw: &wit::multi_host::PeerDecision,
    limits: &Limits,
) -> Result<PeerDecision, Invalid> {
    let at = At::root(limits).field("resources");
    at.within(Limit::Resources, limits.resources, raw.resources.len())?;
    let reach = |(index, raw)| reach(&at.index(index), raw);
    Ok(PeerDecision {
        resources: raw.resources.iter().enumerate().map(reach).collect::<Result<_, _>>()?,
    })
}

fn reach(at: &At<'_>, raw: &wit::multi_host::Reach) -> Result<Reach, Invalid> {
    match raw {
        wit::multi_host::Reach::Forwarding(raw) => {
            let at = at.field("forwarding");
            Ok(Reach::Forwarding {
                link: at.field("link").parse(&raw.link)?,
                mac: at.field("mac").parse(&raw.mac)?,
                to: at.field("to").parse(&raw.to)?,
            })
        }
        wit::multi_host::Reach::Neighbour(raw) => {
            let at = at.field("neighbour");
            Ok(Reach::Neighbour {
                link: at.field("link").parse(&raw.link)?,
                address: at.field("address").parse(&raw.address)?,
                mac: at.field("mac").parse(&raw.mac)?,
            })
        }
    }
}

fn gateways(at: &At<'_>, raw: &[String]) -> Result<Vec<IpAddr>, Invalid> {
    at.at_most(raw.len(), Family::ALL.len())?;
    let mut gateways: Vec<IpAddr> = Vec::with_capacity(raw.len());
    for (index, text) in raw.iter().enumerate() {
        let at = at.index(index);
        let gateway: IpAddr = at.parse(text)?;
        if gateways.iter().any(|other| Family::of(*other) == Family::of(gateway)) {
            return Err(at.invalid("is the second of its family"));
        }
        gateways.push(gateway);
    }
    Ok(gateways)
}

fn resources(at: &At<'_>, raw: &[types::Desired]) -> Result<Vec<Desired>, Invalid> {
    at.within(Limit::Resources, at.limits.resources, raw.len())?;
    raw.iter().enumerate().map(|(index, raw)| desired(&at.index(index), raw)).collect()
}

fn desired(at: &At<'_>, raw: &types::Desired) -> Result<Desired, Invalid> {
    match raw {
        types::Desired::Link(raw) => link(&at.field("link"), raw).map(Desired::Link),
        types::Desired::Address(raw) => address(&at.field("address"), raw),
        types::Desired::Route(raw) => route(&at.field("route"), raw),
        types::Desired::Filter(raw) => filter(&at.field("filter"), raw),
        types::Desired::Masquerade(raw) => masquerade(&at.field("masquerade"), raw),
        types::Desired::Publish(raw) => binding(&at.field("publish"), raw).map(Desired::Publish),
        types::Desired::Sysctl(raw) => sysctl(&at.field("sysctl"), raw),
    }
}

fn link(at: &At<'_>, raw: &types::Link) -> Result<Link, Invalid> {
    Ok(Link {
        handle: at.field("handle").parse(&raw.handle)?,
        kind: link_kind(&at.field("kind"), &raw.kind)?,
        mtu: raw.mtu,
        mac: at.field("mac").optional(raw.mac.as_ref())?,
    })
}

fn link_kind(at: &At<'_>, raw: &types::LinkKind) -> Result<LinkKind, Invalid> {
    Ok(match raw {
        types::LinkKind::Bridge(bridge) => {
            let at = at.field("bridge.name");
            LinkKind::Bridge { name: at.optional(bridge.name.as_ref())? }
        }
        types::LinkKind::Adopt(link) => {
            LinkKind::Adopt { name: at.field("adopt.name").parse(&link.name)? }
        }
        types::LinkKind::Veth(pair) => LinkKind::Veth {
            master: at.field("veth.master").parse(&pair.master)?,
            interface: at.field("veth.interface-name").parse(&pair.interface_name)?,
            hairpin: pair.hairpin,
        },
        types::LinkKind::Macvlan(link) => LinkKind::Macvlan {
            parent: at.field("macvlan.parent").parse(&link.parent)?,
            interface: at.field("macvlan.interface-name").parse(&link.interface_name)?,
            mode: match link.mode {
                types::MacvlanMode::Private => MacvlanMode::Private,
                types::MacvlanMode::Vepa => MacvlanMode::Vepa,
                types::MacvlanMode::Bridge => MacvlanMode::Bridge,
                types::MacvlanMode::Passthru => MacvlanMode::Passthru,
            },
        },
        types::LinkKind::Vxlan(link) => {
            LinkKind::Vxlan { master: at.field("vxlan.master").parse(&link.master)? }
        }
    })
}

fn address(at: &At<'_>, raw: &types::Address) -> Result<Desired, Invalid> {
    Ok(Desired::Address {
        link: at.field("link").parse(&raw.link)?,
        address: prefix(&at.field("address"), &raw.address)?,
        side: side(raw.side),
    })
}

fn route(at: &At<'_>, raw: &types::Route) -> Result<Desired, Invalid> {
    Ok(Desired::Route {
        link: at.field("link").parse(&raw.link)?,
        destination: prefix(&at.field("destination"), &raw.destination)?,
        via: at.field("via").optional(raw.via.as_ref())?,
    })
}

fn filter(at: &At<'_>, raw: &types::Filter) -> Result<Desired, Invalid> {
    Ok(Desired::Filter {
        link: at.field("link").parse(&raw.link)?,
        neighbours: raw.neighbours,
        networks: raw.networks,
        world: raw.world,
        direct: raw.direct,
    })
}

fn masquerade(at: &At<'_>, raw: &types::Masquerade) -> Result<Desired, Invalid> {
    let family = family(raw.family);
    let to: Option<IpAddr> = at.field("to").optional(raw.to.as_ref())?;
    if to.is_some_and(|to| Family::of(to) != family) {
        return Err(at.field("to").invalid("is not of the family"));
    }
    Ok(Desired::Masquerade { link: at.field("link").parse(&raw.link)?, family, to })
}

fn sysctl(at: &At<'_>, raw: &types::Sysctl) -> Result<Desired, Invalid> {
    let key = at.field("key");
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    // The key becomes a file name under /proc/sys.
    if raw.key.is_empty() || raw.key.len() > LABEL_KEY_MAX || !raw.key.bytes().all(allowed) {
        return Err(key.invalid("is not the key of a kernel parameter"));
    }
    Ok(Desired::Sysctl {
        link: at.field("link").parse(&raw.link)?,
        side: side(raw.side),
        sysctl: LinkSysctl { family: family(raw.family), key: raw.key.clone() },
        value: at.field("value").text(&raw.value)?,
    })
}

fn binding(at: &At<'_>, raw: &types::PortBinding) -> Result<PortBinding, Invalid> {
    let binding = PortBinding {
        protocol: match raw.protocol {
            types::Protocol::Tcp => Protocol::Tcp,
            types::Protocol::Udp => Protocol::Udp,
            types::Protocol::Sctp => Protocol::Sctp,
        },
        host_ip: at.field("host-ip").parse(&raw.host_ip)?,
        host: PortRange::new(raw.host_first.into(), raw.host_last.into())
            .map_err(|error| at.field("host-first").invalid(error))?,
        target: at.field("target").parse(&raw.target)?,
        target_first: raw.target_first,
    };
    let target = at.field("target-first");
    let last = u32::from(raw.target_first) + (binding.host.count() - 1);
    PortRange::new(raw.target_first.into(), last).map_err(|error| target.invalid(error))?;
    if Family::of(binding.host_ip) != Family::of(binding.target) {
        return Err(at.field("target").invalid("is not of the family of `host-ip`"));
    }
    Ok(binding)
}

/// A prefix with its length written out: a driver that forgets it means a network, not a
/// single address.
fn prefix(at: &At<'_>, text: &str) -> Result<IpNetwork, Invalid> {
    if !text.contains('/') {
        return Err(at.invalid("has no prefix length"));
    }
    at.parse(text)
}

const fn side(raw: types::Side) -> Side {
    match raw {
        types::Side::Host => Side::Host,
        types::Side::Sandbox => Side::Sandbox,
    }
}

const fn family(raw: types::Family) -> Family {
    match raw {
        types::Family::V4 => Family::V4,
        types::Family::V6 => Family::V6,
    }
}

#[cfg(test)]
mod tests;
