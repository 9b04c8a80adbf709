//! Networks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_model::cluster::{Peer, Vni};
use postern_model::intent::{
    CreateNetwork, DeleteNetwork, ListNetworks, ListPeers, Mutation, PruneNetworks, UpdateNetwork,
};
use postern_model::name::{LABEL_KEY_MAX, LABELS_MAX, Name};
use postern_model::network::{Family, NetworkSpec, Subnet, SubnetSpec, special_purpose};
use postern_model::refusal::Refusal;
use postern_proto::v1;

use super::dns::{server_out, servers};
use super::fields::Fields;
use super::shared::{
    filter, finish, labels, mutation, page, reference_in, timestamp, timestamp_in,
};
use crate::backend::NetworkFacts;

const DEFAULT_DRIVER: &str = "bridge";
/// RFC 791: every link carries 576 bytes.
const MTU_MIN_V4: u32 = 576;
/// RFC 8200 §5.
const MTU_MIN_V6: u32 = 1280;
const MTU_MAX: u32 = 65535;

pub(crate) fn create_network(
    request: v1::CreateNetworkRequest,
) -> Result<Mutation<CreateNetwork>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::CreateNetworkRequest { name, spec, request_id, validate_only } = request;
    let name = fields.take("name", Name::short(&name));
    let spec = network_spec(&mut fields, spec.unwrap_or_default());
    let intent = name.zip(spec).map(|(name, spec)| CreateNetwork { name, spec });
    let mutation =
        mutation(&mut fields, ("create_network", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn update_network(
    request: v1::UpdateNetworkRequest,
) -> Result<Mutation<UpdateNetwork>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::UpdateNetworkRequest { network, spec, revision, request_id, validate_only } = request;
    let network = reference_in(&mut fields, "network", &network);
    let spec = network_spec(&mut fields, spec.unwrap_or_default());
    let intent = network.zip(spec).map(|(network, spec)| UpdateNetwork { network, spec, revision });
    let mutation =
        mutation(&mut fields, ("update_network", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn delete_network(
    request: v1::DeleteNetworkRequest,
) -> Result<Mutation<DeleteNetwork>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::DeleteNetworkRequest { network, request_id, validate_only } = request;
    let intent =
        reference_in(&mut fields, "network", &network).map(|network| DeleteNetwork { network });
    let mutation =
        mutation(&mut fields, ("delete_network", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn prune_networks(request: v1::PruneNetworksRequest) -> Result<PruneNetworks, Refusal> {
    let mut fields = Fields::default();
    let v1::PruneNetworksRequest { filter: wanted, created_before, validate_only } = request;
    let filter = filter(&mut fields, wanted);
    let created_before =
        created_before.and_then(|time| timestamp_in(&mut fields, "created_before", &time));
    finish(fields, filter.map(|filter| PruneNetworks { filter, created_before, validate_only }))
}

pub(crate) fn list_networks(request: v1::ListNetworksRequest) -> Result<ListNetworks, Refusal> {
    let mut fields = Fields::default();
    let v1::ListNetworksRequest { page: wanted, filter: matching, driver } = request;
    let page = page(&mut fields, wanted);
    let filter = filter(&mut fields, matching);
    let driver = (!driver.is_empty()).then_some(driver);
    finish(fields, page.zip(filter).map(|(page, filter)| ListNetworks { page, filter, driver }))
}

fn network_spec(fields: &mut Fields, spec: v1::NetworkSpec) -> Option<NetworkSpec> {
    let v1::NetworkSpec {
        driver,
        subnets,
        ipv4,
        ipv6,
        internal,
        icc,
        mtu,
        labels: given,
        options,
        dns_servers,
    } = spec;
    let driver = if driver.is_empty() { DEFAULT_DRIVER } else { &driver };
    let driver = fields.take("spec.driver", Name::short(driver));
    let subnets = all_subnets(fields, subnets)?;
    let has = |family| subnets.iter().any(|s: &SubnetSpec| Family::of(s.subnet.ip()) == family);
    let ipv4 = family_wanted(fields, "spec.ipv4", ipv4.unwrap_or(true), has(Family::V4));
    let ipv6 = family_wanted(fields, "spec.ipv6", ipv6.unwrap_or(has(Family::V6)), has(Family::V6));
    if !ipv4 && !ipv6 {
        fields.wrong("spec.ipv4", "and spec.ipv6 cannot both be off");
    }
    let mtu = mtu_in(fields, mtu, ipv6);
    let checked = labels(fields, "spec.labels", given);
    let options = labels(fields, "spec.options", options);
    let dns_servers = servers(fields, "spec.dns_servers", dns_servers);
    Some(NetworkSpec {
        driver: driver?,
        subnets,
        ipv4,
        ipv6,
        internal,
        icc: icc.unwrap_or(true),
        mtu,
        dns_servers: dns_servers?,
        labels: checked?,
        options: options?,
    })
}

fn family_wanted(fields: &mut Fields, field: &str, wanted: bool, given: bool) -> bool {
    if !wanted && given {
        fields.wrong(field, "is off, but a subnet of this family is given");
    }
    wanted
}

fn mtu_in(fields: &mut Fields, mtu: u32, ipv6: bool) -> Option<u32> {
    let least = if ipv6 { MTU_MIN_V6 } else { MTU_MIN_V4 };
    match mtu {
        0 => None,
        mtu if (least..=MTU_MAX).contains(&mtu) => Some(mtu),
        mtu => {
            fields.wrong("spec.mtu", format!("{mtu} is not from {least} to {MTU_MAX}"));
            None
        }
    }
}

fn all_subnets(fields: &mut Fields, subnets: Vec<v1::Subnet>) -> Option<Vec<SubnetSpec>> {
    let parsed: Vec<_> = subnets
        .into_iter()
        .enumerate()
        .map(|(index, subnet)| subnet_spec(fields, &format!("spec.subnets[{index}]"), subnet))
        .collect();
    let parsed: Vec<SubnetSpec> = parsed.into_iter().collect::<Option<_>>()?;
    for (index, subnet) in parsed.iter().enumerate() {
        let family = Family::of(subnet.subnet.ip());
        if parsed[..index].iter().any(|other| Family::of(other.subnet.ip()) == family) {
            fields.wrong(format!("spec.subnets[{index}].subnet"), "is a second one of its family");
        }
    }
    Some(parsed)
}

/// A prefix in its canonical form; `10.0.0.0` without a length is not one.
pub(super) fn prefix(text: &str) -> Result<IpNetwork, String> {
    if !text.contains('/') {
        return Err(format!("`{text}` is not a prefix of the form 10.0.0.0/8"));
    }
    let prefix: IpNetwork =
        text.parse().map_err(|_| format!("`{text}` is not a prefix of the form 10.0.0.0/8"))?;
    if prefix.network() != prefix.ip() {
        let network = prefix.network();
        return Err(format!("`{text}` has host bits set, {network}/{} has none", prefix.prefix()));
    }
    Ok(prefix)
}

/// A subnet that endpoints can have addresses of, or a length of one from the pools.
fn usable(subnet: IpNetwork) -> Result<(), String> {
    if subnet.ip().is_unspecified() && subnet.prefix() > 0 {
        return Ok(());
    }
    match special_purpose(subnet) {
        Some(what) => Err(format!("{subnet} has addresses with a meaning of their own: {what}")),
        None => Ok(()),
    }
}

fn subnet_spec(fields: &mut Fields, path: &str, subnet: v1::Subnet) -> Option<SubnetSpec> {
    let v1::Subnet { subnet, ip_range, gateway, auxiliary_addresses } = subnet;
    let field = format!("{path}.subnet");
    let subnet = fields.take(&field, prefix(&subnet))?;
    fields.take(field, usable(subnet))?;
    let range = range_in(fields, &format!("{path}.ip_range"), subnet, &ip_range);
    let gateway = fields.optional::<IpAddr>(format!("{path}.gateway"), &gateway);
    if let Some(gateway) = gateway {
        inside(fields, &format!("{path}.gateway"), subnet, gateway);
    }
    let auxiliary = auxiliary_in(fields, path, (subnet, gateway), auxiliary_addresses)?;
    if subnet.ip().is_unspecified()
        && (range.is_some() || gateway.is_some() || !auxiliary.is_empty())
    {
        let rule = "asks for a prefix from the pools, so range, gateway and auxiliary addresses cannot be given";
        fields.wrong(format!("{path}.subnet"), rule);
    }
    Some(SubnetSpec { subnet, range, gateway, auxiliary })
}

fn range_in(fields: &mut Fields, field: &str, subnet: IpNetwork, text: &str) -> Option<IpNetwork> {
    if text.is_empty() {
        return None;
    }
    let range = fields.take(field, prefix(text))?;
    if !subnet.contains(range.ip()) || range.prefix() < subnet.prefix() {
        fields.wrong(field, format!("{range} is not inside {subnet}"));
    }
    Some(range)
}

/// Checks that an interface of the subnet can have the address.
fn inside(fields: &mut Fields, field: &str, subnet: IpNetwork, address: IpAddr) {
    let point_to_point = subnet.prefix() + 1 >= Family::of(subnet.ip()).bits();
    if !subnet.contains(address) {
        fields.wrong(field, format!("{address} is not inside {subnet}"));
    } else if !point_to_point && address == subnet.network() {
        fields.wrong(field, format!("{address} is the address of {subnet} itself"));
    } else if !point_to_point && subnet.is_ipv4() && address == subnet.broadcast() {
        fields.wrong(field, format!("{address} is the broadcast address of {subnet}"));
    }
}

fn auxiliary_in(
    fields: &mut Fields,
    path: &str,
    (subnet, gateway): (IpNetwork, Option<IpAddr>),
    given: BTreeMap<String, String>,
) -> Option<BTreeMap<String, IpAddr>> {
    let path = format!("{path}.auxiliary_addresses");
    if given.len() > LABELS_MAX {
        fields.wrong(path, format!("{} entries, at most {LABELS_MAX} are allowed", given.len()));
        return None;
    }
    let mut parsed: BTreeMap<String, IpAddr> = BTreeMap::new();
    for (name, text) in given {
        let field = format!("{path}[\"{name}\"]");
        if name.is_empty() || name.len() > LABEL_KEY_MAX {
            fields.wrong(&field, format!("the name must have 1 to {LABEL_KEY_MAX} bytes"));
        }
        if let Some(address) = fields.required::<IpAddr>(&field, &text) {
            inside(fields, &field, subnet, address);
            if gateway == Some(address) {
                fields.wrong(&field, format!("{address} is the gateway"));
            }
            if let Some((other, _)) = parsed.iter().find(|(_, taken)| **taken == address) {
                fields.wrong(&field, format!("{address} is `{other}` already"));
            }
            parsed.insert(name, address);
        }
    }
    Some(parsed)
}

/// A network as the API shows it.
pub(crate) fn network(facts: NetworkFacts) -> v1::Network {
    let NetworkFacts { network, bridge, endpoints, peers } = facts;
    let scope = if network.is_shared() { "global" } else { "local" };
    let NetworkSpec {
        driver,
        subnets: _,
        ipv4,
        ipv6,
        internal,
        icc,
        mtu,
        dns_servers,
        labels,
        options,
    } = network.spec;
    v1::Network {
        uid: network.id.to_string(),
        name: network.name.to_string(),
        revision: network.revision,
        create_time: Some(timestamp(network.created)),
        predefined: network.predefined,
        spec: Some(v1::NetworkSpec {
            driver: driver.to_string(),
            subnets: network.subnets.into_iter().map(subnet).collect(),
            ipv4: Some(ipv4),
            ipv6: Some(ipv6),
            internal,
            icc: Some(icc),
            mtu: mtu.unwrap_or(0),
            labels: labels.into_iter().collect(),
            options: options.into_iter().collect(),
            dns_servers: dns_servers.iter().map(server_out).collect(),
        }),
        scope: scope.to_owned(),
        bridge: bridge.unwrap_or_default(),
        driver_digest: network.driver_digest,
        endpoint_count: u32::try_from(endpoints).unwrap_or(u32::MAX),
        vni: network.vni.map_or(0, Vni::number),
        blocks: network.blocks.iter().map(ToString::to_string).collect(),
        peer_count: u32::try_from(peers).unwrap_or(u32::MAX),
        peers: Vec::new(),
    }
}

pub(crate) fn list_peers(request: v1::ListPeersRequest) -> Result<ListPeers, Refusal> {
    let mut fields = Fields::default();
    let v1::ListPeersRequest { network, page: wanted } = request;
    let network = reference_in(&mut fields, "network", &network);
    let page = page(&mut fields, wanted);
    finish(fields, network.zip(page).map(|(network, page)| ListPeers { network, page }))
}

/// An endpoint on another host as the API shows it.
pub(crate) fn peer(peer: Peer) -> v1::Peer {
    let address = |family| peer.endpoint.address(family).map(|ip| ip.to_string());
    v1::Peer {
        uid: peer.id().to_string(),
        name: peer.endpoint.name.to_string(),
        sandbox: peer.sandbox.name.to_string(),
        ipv4_address: address(Family::V4).unwrap_or_default(),
        ipv6_address: address(Family::V6).unwrap_or_default(),
        mac_address: peer.endpoint.mac.to_string(),
        host: peer.host.to_string(),
        node_id: peer.node.to_string(),
        underlay_address: peer.underlay.to_string(),
        labels: peer.endpoint.spec.labels.into_iter().collect(),
    }
}

fn subnet(subnet: Subnet) -> v1::Subnet {
    let range = (subnet.range != subnet.subnet).then(|| subnet.range.to_string());
    v1::Subnet {
        subnet: subnet.subnet.to_string(),
        ip_range: range.unwrap_or_default(),
        gateway: subnet.gateway.map(|g| g.to_string()).unwrap_or_default(),
        auxiliary_addresses: subnet
            .auxiliary
            .into_iter()
            .map(|(name, address)| (name, address.to_string()))
            .collect(),
    }
}
