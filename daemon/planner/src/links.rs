//! What a sandbox's links come to: which endpoints they lead to, and what of them is open.

use std::net::IpAddr;

use postern_model::dns::{Link, LinkState};
use postern_model::endpoint::Endpoint;
use postern_model::network::{Family, Network};
use postern_model::port::{PortRange, Protocol};
use postern_model::resource::Element;
use postern_model::sandbox::Sandbox;

use crate::view::View;

/// A link with what it leads to.
#[derive(Debug)]
pub struct Resolved<'a> {
    /// The link.
    pub link: &'a Link,
    /// Whether it works.
    pub state: LinkState,
    /// The sandbox it leads to.
    pub source: Option<&'a Sandbox>,
    /// Endpoints of the linking sandbox and of the source on one network.
    pub pairs: Vec<(&'a Endpoint, &'a Endpoint)>,
}

impl Resolved<'_> {
    /// The source's addresses, each once, in the order of the linking sandbox's endpoints.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for address in self.pairs.iter().flat_map(|(_, source)| &source.addresses) {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        addresses
    }

    /// As [`Resolved::elements`], as far as the source is of this host: whether what comes
    /// from another host is let in is decided where it goes.
    pub fn elements_here(mut self, view: &View<'_>) -> Vec<Element> {
        self.pairs.retain(|(_, source)| view.is_here(source.id));
        self.elements()
    }

    /// What of the source the linking sandbox reaches though neighbours are kept apart.
    pub fn elements(&self) -> Vec<Element> {
        // Between macvlan links nothing is kept apart by a rule.
        let ruled =
            self.pairs.iter().filter(|(own, source)| !own.is_macvlan() && !source.is_macvlan());
        let pairs = ruled.flat_map(|(own, source)| {
            let ends = Family::ALL
                .into_iter()
                .filter_map(|family| Some((own.address(family)?, source.address(family)?)));
            ends.flat_map(move |(from, to)| {
                ports(source).into_iter().map(move |(protocol, port)| Element::Link {
                    from,
                    to,
                    protocol,
                    port,
                })
            })
        });
        pairs.collect()
    }
}

/// The ports that links to an endpoint open, in order and each once: those it exposes and
/// those it publishes, which are exposed by that.
pub fn ports(endpoint: &Endpoint) -> Vec<(Protocol, u16)> {
    let exposed = endpoint.spec.exposed.iter().map(|port| (port.protocol, port.ports));
    let published = endpoint.spec.published.iter().map(|port| (port.protocol, port.container));
    let each = |(protocol, ports): (Protocol, PortRange)| ports.iter().map(move |p| (protocol, p));
    let mut ports: Vec<_> = exposed.chain(published).flat_map(each).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// What the links of a sandbox come to, in their order.
pub fn resolve<'a>(view: &View<'a>, sandbox: &'a Sandbox) -> Vec<Resolved<'a>> {
    if sandbox.spec.links.is_empty() {
        return Vec::new();
    }
    let own = view.joined(sandbox.id);
    sandbox.spec.links.iter().map(|link| follow(view, &own, link)).collect()
}

fn follow<'a>(
    view: &View<'a>,
    own: &[(&'a Endpoint, &'a Network)],
    link: &'a Link,
) -> Resolved<'a> {
    let source = view.sandbox_named(link.source.as_str());
    let theirs = source.map(|source| view.joined(source.id)).unwrap_or_default();
    let pairs: Vec<_> = own
        .iter()
        .flat_map(|(mine, _)| {
            let there = theirs.iter().filter(|(other, _)| other.network == mine.network);
            // Where there are no addresses, as on `none`, there is nothing to reach.
            let there = there.filter(|(other, _)| {
                Family::ALL
                    .iter()
                    .any(|f| mine.address(*f).is_some() && other.address(*f).is_some())
            });
            there.map(|(other, _)| (*mine, *other))
        })
        .collect();
    let state = match source {
        None => LinkState::NoSource,
        Some(_) if own.is_empty() || theirs.is_empty() => LinkState::NotJoined,
        Some(_) if pairs.is_empty() => LinkState::NoCommonNetwork,
        Some(_) => LinkState::Live,
    };
    Resolved { link, state, source, pairs }
}
