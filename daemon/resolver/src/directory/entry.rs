//! What the directory keeps of each record.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use hickory_proto::rr::Name;
use ipnetwork::IpNetwork;
use postern_model::dns::HostAddress;
use postern_model::endpoint::{Attachment, Endpoint};
use postern_model::id::{NetworkId, SandboxId};
use postern_model::network::Network;
use postern_model::port::{PortRange, Protocol};
use postern_model::sandbox::Sandbox;

/// What matters of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NetworkFacts {
    pub(super) name: Box<str>,
    pub(super) lower: Box<str>,
    pub(super) subnets: Vec<IpNetwork>,
    pub(super) internal: bool,
    pub(super) servers: Vec<SocketAddr>,
}

impl NetworkFacts {
    pub(super) fn of(network: &Network) -> Self {
        Self {
            name: network.name.as_str().into(),
            lower: lower(network.name.as_str()),
            subnets: network.subnets.iter().map(|subnet| subnet.subnet).collect(),
            internal: network.spec.internal,
            servers: network.spec.dns_servers.clone(),
        }
    }

    pub(super) fn prefixes(&self) -> impl Iterator<Item = IpNetwork> {
        self.subnets.iter().copied()
    }
}

/// What matters of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SandboxFacts {
    /// As it is written.
    pub(super) name: Box<str>,
    /// What its endpoints are called by, in lower case.
    pub(super) names: Vec<Box<str>>,
    /// It is on another host.
    pub(super) remote: bool,
    /// It is told nothing.
    pub(super) quarantined: bool,
    pub(super) servers: Vec<SocketAddr>,
    pub(super) hosts: HashMap<Box<str>, Vec<HostAddress>>,
    /// The name of the sandbox that each alias leads to.
    pub(super) links: HashMap<Box<str>, Box<str>>,
}

impl SandboxFacts {
    pub(super) fn of(sandbox: &Sandbox) -> Self {
        let mut names = vec![
            lower(sandbox.name.as_str()),
            lower(sandbox.hostname().as_str()),
            sandbox.id.short().into(),
        ];
        names.extend(sandbox.fqdn().map(|fqdn| lower(fqdn.as_str())));
        let mut hosts: HashMap<Box<str>, Vec<HostAddress>> = HashMap::new();
        for host in &sandbox.spec.extra_hosts {
            hosts.entry(host.name.as_str().into()).or_default().push(host.address);
        }
        let links = sandbox.spec.links.iter();
        Self {
            name: sandbox.name.as_str().into(),
            names,
            remote: false,
            quarantined: sandbox.quarantined,
            servers: sandbox.spec.dns.servers.clone(),
            hosts,
            links: links.map(|l| (l.alias.as_str().into(), l.source.as_str().into())).collect(),
        }
    }
}

/// A port with a name, as SRV tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    /// In lower case, without the underscore.
    pub(crate) name: Box<str>,
    /// The transport.
    pub(crate) protocol: Protocol,
    /// The first port of its range.
    pub(crate) port: u16,
}

/// A joined endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The sandbox it is in.
    pub(crate) sandbox: SandboxId,
    /// Its addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// Its ports that have names.
    pub(crate) services: Vec<Service>,
    /// The name its addresses lead back to; none where it cannot be a DNS name.
    pub(crate) canonical: Option<Name>,
    pub(super) network: NetworkId,
    pub(super) name: Box<str>,
    /// Of its own, in lower case.
    pub(super) names: Vec<Box<str>>,
    /// Under which it stands in its network.
    pub(super) announced: Vec<Box<str>>,
    /// The host's address and ports of what is published on a certain address.
    pub(super) published: Vec<(IpAddr, PortRange)>,
    pub(super) gateways: Vec<IpAddr>,
    pub(super) gateway_priority: i32,
}

impl Member {
    pub(super) fn of(endpoint: &Endpoint, attachment: &Attachment) -> Self {
        let mut names = vec![lower(endpoint.name.as_str()), endpoint.id.short().into()];
        names.extend(endpoint.spec.aliases.iter().map(|alias| Box::from(alias.as_str())));
        let service = |port: &postern_model::port::ExposedPort| {
            let name = lower(port.name.as_deref()?);
            Some(Service { name, protocol: port.protocol, port: port.ports.first() })
        };
        let certain = attachment.bindings.iter().filter(|b| !b.host_ip.is_unspecified());
        Self {
            sandbox: attachment.sandbox,
            addresses: endpoint.addresses.iter().map(IpNetwork::ip).collect(),
            services: endpoint.spec.exposed.iter().filter_map(service).collect(),
            canonical: None,
            network: endpoint.network,
            name: endpoint.name.as_str().into(),
            names,
            announced: Vec::new(),
            published: certain.map(|binding| (binding.host_ip, binding.host)).collect(),
            gateways: attachment.decision.gateways.clone(),
            gateway_priority: endpoint.spec.gateway_priority,
        }
    }

    /// Whether what is sent to this address arrives here.
    pub(super) fn is_reached_at(&self, server: SocketAddr) -> bool {
        let published = |(host, ports): &(IpAddr, PortRange)| {
            *host == server.ip() && (ports.first()..=ports.last()).contains(&server.port())
        };
        self.addresses.contains(&server.ip()) || self.published.iter().any(published)
    }
}

fn lower(text: &str) -> Box<str> {
    text.to_ascii_lowercase().into()
}
