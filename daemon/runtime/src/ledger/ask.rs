//! Asking a driver: what it is shown, and the admission of what it answers.

use std::net::IpAddr;

use postern_kernel::Kernel;
use postern_model::cluster::{Peer, Vni};
use postern_model::decision::{Desired, EndpointDecision, LinkKind, NetworkDecision, PeerDecision};
use postern_model::driver::{Context, EndpointView, NetworkView, PeerView, SubnetView, TunnelView};
use postern_model::id::NetworkId;
use postern_model::mac::MacAddr;
use postern_model::name::IfName;
use postern_model::network::{Network, NetworkSpec, Subnet};
use postern_model::port::PortBinding;
use postern_model::refusal::Refusal;
use postern_model::resource::Owner;
use postern_planner::admission::{Admitted, NamedLink, admit_endpoint, admit_network, admit_peer};
use postern_planner::names;
use postern_plugin::LoadedDriver;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use super::{Core, now, outcome, seed};

/// A network on the way to its record.
pub(super) struct NetworkDraft<'a> {
    pub(super) id: NetworkId,
    pub(super) name: &'a str,
    pub(super) spec: &'a NetworkSpec,
    pub(super) subnets: &'a [Subnet],
    pub(super) state: &'a [u8],
    pub(super) vni: Option<Vni>,
}

impl<'a> NetworkDraft<'a> {
    pub(super) fn of(network: &'a Network) -> Self {
        Self {
            id: network.id,
            name: network.name.as_str(),
            spec: &network.spec,
            subnets: &network.subnets,
            state: &network.decision.state,
            vni: network.vni,
        }
    }

    fn view(&self, default_mtu: u32, underlay: Option<IpAddr>) -> NetworkView {
        let subnet = |s: &Subnet| SubnetView { subnet: s.subnet, gateway: s.gateway };
        NetworkView {
            id: self.id.to_string(),
            name: self.name.to_owned(),
            subnets: self.subnets.iter().map(subnet).collect(),
            internal: self.spec.internal,
            icc: self.spec.icc,
            mtu: self.spec.mtu.unwrap_or(default_mtu),
            // Pinned: a bridge without a MAC of its own takes its lowest port's, and
            // every neighbour would learn the gateway anew when that port goes.
            mac: bridge_mac(self.id),
            tunnel: self.vni.zip(underlay).map(|(vni, local)| TunnelView { vni, local }),
            labels: self.spec.labels.clone(),
            options: self.spec.options.clone(),
            state: self.state.to_vec(),
        }
    }
}

/// The MAC that a network's own link is offered.
pub(super) const fn bridge_mac(network: NetworkId) -> MacAddr {
    MacAddr::from_seed(network.uuid().as_u64_pair().1)
}

fn context(request_id: Option<&str>) -> Context {
    Context { request_id: request_id.unwrap_or_default().to_owned(), now: now().0, seed: seed() }
}

/// Calls a driver where it holds up nobody: a call may take as long as its limit, and the
/// runtime has few threads. Handing the thread's other work on costs less than handing the
/// call to another thread, which would have to own all it borrows.
fn elsewhere<T>(call: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    // There is nobody to hand it to where there is one thread, as in tests.
    if flavor.is_ok_and(|flavor| flavor == RuntimeFlavor::MultiThread) {
        block_in_place(call)
    } else {
        call()
    }
}

/// What a network finds on the bridge it adopts; empty if it adopts none.
pub(super) struct AdoptedBridge {
    /// The bridge's own addresses with their prefixes.
    pub(super) prefixes: Vec<ipnetwork::IpNetwork>,
}

impl<K: Kernel> Core<K> {
    /// The address by which other hosts reach this one; none where it is alone.
    pub(super) fn underlay(&self) -> Option<IpAddr> {
        self.membership.as_ref().map(|membership| membership.about().underlay)
    }

    /// Asks a driver what reaches an endpoint on another host, and admits it.
    pub(super) fn ask_for_peer(
        &self,
        driver: &LoadedDriver,
        network: &Network,
        peer: &Peer,
    ) -> Result<PeerDecision, Refusal> {
        let network_view = NetworkDraft::of(network).view(self.options.mtu, self.underlay());
        let view = PeerView {
            id: peer.id().to_string(),
            name: peer.endpoint.name.to_string(),
            addresses: peer.endpoint.addresses.clone(),
            mac: peer.endpoint.mac,
            host: peer.underlay,
        };
        let info = driver.info();
        let decision = elsewhere(|| driver.peer(&context(None), &network_view, &view))
            .map_err(|error| outcome::of_call(info.manifest.name.as_str(), &error))?;
        let admitted = admit_peer(decision, &info.granted, &network.decision, &view);
        admitted.map(Admitted::into_inner).map_err(|r| outcome::of_rejections(driver, r))
    }

    /// Asks a driver what a network needs, and admits it.
    pub(super) async fn ask_network(
        &self,
        driver: &LoadedDriver,
        draft: &NetworkDraft<'_>,
        request_id: Option<&str>,
    ) -> Result<(NetworkDecision, AdoptedBridge), Refusal> {
        let view = draft.view(self.options.mtu, self.underlay());
        let info = driver.info();
        let mut decision = elsewhere(|| driver.network(&context(request_id), &view))
            .map_err(|error| outcome::of_call(info.manifest.name.as_str(), &error))?;
        let (named, adopted) = self.named_link(draft.id, &mut decision).await?;
        let name = bridge_name(&decision);
        let admitted =
            admit_network(decision, &info.granted, &view, named).map_err(|rejections| {
                let refusal = outcome::of_rejections(driver, rejections);
                match (named, option_of(draft.spec, name.as_ref())) {
                    (NamedLink::Other | NamedLink::Ours, Some(field)) => refusal.at(field),
                    _ => refusal,
                }
            })?;
        Ok((admitted.into_inner(), adopted))
    }

    /// Looks up the bridge that a decision names. Gateway addresses that somebody else's
    /// bridge has already are dropped from the decision: they are not ours to remove.
    async fn named_link(
        &self,
        network: NetworkId,
        decision: &mut NetworkDecision,
    ) -> Result<(NamedLink, AdoptedBridge), Refusal> {
        let none = AdoptedBridge { prefixes: Vec::new() };
        let Some(name) = bridge_name(decision) else { return Ok((NamedLink::Absent, none)) };
        // In this order: what was being made is a record, or it is still being made.
        if !self.drafts.claim_bridge(network, &name) || self.bridge_of_another(network, &name) {
            return Ok((NamedLink::Ours, none));
        }
        let facts = self.kernel.link(&name).await.map_err(|e| outcome::of_observe(&e))?;
        let Some(facts) = facts else { return Ok((NamedLink::Absent, none)) };
        Ok(match facts.ours {
            Some(Owner::Network(owner)) if owner == network => (NamedLink::Absent, none),
            Some(_) => (NamedLink::Ours, none),
            None if facts.is_bridge => {
                let kept = self.kept_addresses(network);
                decision.resources.retain(|resource| match resource {
                    Desired::Address { address, .. } => {
                        kept.contains(address) || !facts.addresses.contains(address)
                    }
                    _ => true,
                });
                (NamedLink::Bridge, AdoptedBridge { prefixes: facts.addresses })
            }
            None => (NamedLink::Other, none),
        })
    }

    fn bridge_of_another(&self, network: NetworkId, name: &IfName) -> bool {
        let state = self.state();
        let mut others = state.topology().networks().filter(|other| other.id != network);
        others.any(|other| {
            names::bridge_of(other.id, &other.decision).is_some_and(|(_, bridge)| bridge == *name)
        })
    }

    /// Addresses that this network has put on its adopted bridge before.
    fn kept_addresses(&self, network: NetworkId) -> Vec<ipnetwork::IpNetwork> {
        let state = self.state();
        let resources = state.topology().network(network).map(|n| n.decision.resources.clone());
        let address = |resource| match resource {
            Desired::Address { address, .. } => Some(address),
            _ => None,
        };
        resources.into_iter().flatten().filter_map(address).collect()
    }

    /// Asks a driver what an endpoint needs in its sandbox, and admits it.
    pub(super) async fn ask_endpoint(
        &self,
        driver: &LoadedDriver,
        network: &Network,
        view: &EndpointView,
        request_id: Option<&str>,
    ) -> Result<EndpointDecision, Refusal> {
        let network_view = NetworkDraft::of(network).view(self.options.mtu, self.underlay());
        let info = driver.info();
        let decision = elsewhere(|| driver.endpoint(&context(request_id), &network_view, view))
            .map_err(|error| outcome::of_call(info.manifest.name.as_str(), &error))?;
        let parent = self.parent(view, &decision).await?;
        let of_network = &network.decision;
        let admitted =
            admit_endpoint(decision, &info.granted, of_network, &network_view, view, parent)
                .map_err(|r| outcome::of_rejections(driver, r))?;
        let decision = admitted.into_inner();
        check_published(info.manifest.name.as_str(), view, &decision)?;
        Ok(decision)
    }
}

/// A port that was asked for and leads nowhere is refused, not forgotten.
fn check_published(
    driver: &str,
    view: &EndpointView,
    decision: &EndpointDecision,
) -> Result<(), Refusal> {
    let leads = |binding: &PortBinding| {
        decision
            .resources
            .iter()
            .any(|resource| matches!(resource, Desired::Publish(published) if published == binding))
    };
    if view.bindings.iter().all(leads) {
        return Ok(());
    }
    let text = format!("driver `{driver}` publishes no ports on this network");
    Err(Refusal::field("spec.published_ports", text))
}

/// The option by which a client chose the name of a bridge.
fn option_of(spec: &NetworkSpec, name: Option<&IfName>) -> Option<String> {
    let name = name?.as_str();
    let (key, _) = spec.options.iter().find(|(_, value)| value.as_str() == name)?;
    Some(format!("spec.options[\"{key}\"]"))
}

fn bridge_name(decision: &NetworkDecision) -> Option<IfName> {
    decision.resources.iter().find_map(|resource| match resource {
        Desired::Link(link) => match &link.kind {
            LinkKind::Bridge { name } => name.clone(),
            LinkKind::Adopt { name } => Some(name.clone()),
            LinkKind::Veth { .. } | LinkKind::Macvlan { .. } | LinkKind::Vxlan { .. } => None,
        },
        _ => None,
    })
}
