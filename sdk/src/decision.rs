//! Writing decisions.

use crate::{
    Address, AdoptLink, BridgeLink, Desired, EndpointDecision, Family, Filter, Forwarding, Link,
    LinkKind, MacvlanLink, MacvlanMode, Masquerade, Neighbour, NetworkDecision, PeerDecision,
    PeerView, PortBinding, Reach, Route, Side, Sysctl, VethLink, VxlanLink,
};

impl Link {
    fn new(handle: &str, kind: LinkKind) -> Self {
        Self { handle: handle.to_owned(), kind, mtu: None, mac: None }
    }

    /// A bridge that the host makes, and names if `name` is none.
    pub fn bridge(handle: &str, name: Option<&str>) -> Self {
        let name = name.map(str::to_owned);
        Self::new(handle, LinkKind::Bridge(BridgeLink { name }))
    }

    /// A bridge that exists already.
    pub fn adopt(handle: &str, name: &str) -> Self {
        Self::new(handle, LinkKind::Adopt(AdoptLink { name: name.to_owned() }))
    }

    /// A pair: one end a port of `master`, the other called `interface` in the sandbox.
    pub fn veth(handle: &str, master: &str, interface: &str, hairpin: bool) -> Self {
        let pair =
            VethLink { master: master.to_owned(), interface_name: interface.to_owned(), hairpin };
        Self::new(handle, LinkKind::Veth(pair))
    }

    /// A link called `interface` in the sandbox, on `parent`, a link of the host.
    pub fn macvlan(handle: &str, parent: &str, interface: &str, mode: MacvlanMode) -> Self {
        let link =
            MacvlanLink { parent: parent.to_owned(), interface_name: interface.to_owned(), mode };
        Self::new(handle, LinkKind::Macvlan(link))
    }

    /// The port of `master`, a bridge, by which frames reach other hosts.
    pub fn vxlan(handle: &str, master: &str) -> Self {
        Self::new(handle, LinkKind::Vxlan(VxlanLink { master: master.to_owned() }))
    }

    /// With an MTU, in bytes.
    #[must_use]
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// With a MAC address.
    #[must_use]
    pub fn mac(mut self, mac: &str) -> Self {
        self.mac = Some(mac.to_owned());
        self
    }
}

impl Filter {
    /// A bridge that nothing may pass yet.
    pub fn closed(link: &str) -> Self {
        Self {
            link: link.to_owned(),
            neighbours: false,
            networks: false,
            world: false,
            direct: false,
        }
    }

    /// With flows between its ports, or without.
    #[must_use]
    pub fn neighbours(mut self, pass: bool) -> Self {
        self.neighbours = pass;
        self
    }

    /// With flows to and from other networks that say the same, or without.
    #[must_use]
    pub fn networks(mut self, pass: bool) -> Self {
        self.networks = pass;
        self
    }

    /// With flows to the world, or without.
    #[must_use]
    pub fn world(mut self, pass: bool) -> Self {
        self.world = pass;
        self
    }

    /// With flows from outside to ports that are not published, or without.
    #[must_use]
    pub fn direct(mut self, pass: bool) -> Self {
        self.direct = pass;
        self
    }
}

macro_rules! desired {
    ($($kind:ident($record:ty)),* $(,)?) => {
        $(impl From<$record> for Desired {
            fn from(record: $record) -> Self {
                Self::$kind(record)
            }
        })*
    };
}

desired!(
    Link(Link),
    Address(Address),
    Route(Route),
    Filter(Filter),
    Masquerade(Masquerade),
    Publish(PortBinding),
    Sysctl(Sysctl),
);

impl Desired {
    /// An address, with prefix length, on a link.
    pub fn address(link: &str, side: Side, address: &str) -> Self {
        Self::Address(Address { link: link.to_owned(), address: address.to_owned(), side })
    }

    /// A route in the sandbox.
    pub fn route(link: &str, destination: &str, via: Option<&str>) -> Self {
        Self::Route(Route {
            link: link.to_owned(),
            destination: destination.to_owned(),
            via: via.map(str::to_owned),
        })
    }

    /// Source address translation; `to` none takes the outgoing link's address.
    pub fn masquerade(link: &str, family: Family, to: Option<&str>) -> Self {
        Self::Masquerade(Masquerade { link: link.to_owned(), family, to: to.map(str::to_owned) })
    }

    /// A kernel parameter of a link.
    pub fn sysctl(link: &str, side: Side, family: Family, key: &str, value: &str) -> Self {
        Self::Sysctl(Sysctl {
            link: link.to_owned(),
            side,
            family,
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

#[expect(clippy::derivable_impls, reason = "the generated types share one set of derives")]
impl Default for NetworkDecision {
    fn default() -> Self {
        Self { resources: Vec::new(), state: Vec::new() }
    }
}

#[expect(clippy::derivable_impls, reason = "the generated types share one set of derives")]
impl Default for EndpointDecision {
    fn default() -> Self {
        Self { resources: Vec::new(), gateways: Vec::new(), state: Vec::new() }
    }
}

impl PeerDecision {
    /// What reaches a peer: frames for its MAC leave by `tunnel`, a VXLAN link, and `bridge`
    /// answers for its addresses.
    pub fn reaching(peer: &PeerView, tunnel: &str, bridge: &str) -> Self {
        let forwarding = Reach::Forwarding(Forwarding {
            link: tunnel.to_owned(),
            mac: peer.mac.clone(),
            to: peer.host.clone(),
        });
        let neighbours = peer.addresses.iter().map(|address| {
            let (address, _) = address.split_once('/').unwrap_or((address, ""));
            Reach::Neighbour(Neighbour {
                link: bridge.to_owned(),
                address: address.to_owned(),
                mac: peer.mac.clone(),
            })
        });
        Self { resources: std::iter::once(forwarding).chain(neighbours).collect() }
    }
}

impl NetworkDecision {
    /// Adds a resource.
    pub fn push(&mut self, desired: impl Into<Desired>) {
        self.resources.push(desired.into());
    }
}

impl EndpointDecision {
    /// Adds a resource.
    pub fn push(&mut self, desired: impl Into<Desired>) {
        self.resources.push(desired.into());
    }

    /// Publishes ports as the host bound them: what it offered, and nothing else.
    pub fn publish(&mut self, bindings: &[PortBinding]) {
        self.resources.extend(bindings.iter().cloned().map(Desired::Publish));
    }

    /// Offers a gateway for the sandbox's default route, at most one of each family.
    pub fn gateway(&mut self, address: &str) {
        self.gateways.push(address.to_owned());
    }
}
