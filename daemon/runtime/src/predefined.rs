//! The networks `bridge`, `host` and `none`, made at the first start and brought in line
//! with the configuration at every later one.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_kernel::Kernel;
use postern_model::intent::{CreateNetwork, DeleteNetwork, UpdateNetwork};
use postern_model::name::{InvalidName, Labels, Name};
use postern_model::network::{Network, NetworkSpec, SubnetSpec};
use postern_model::refusal::Refusal;
use postern_planner::names::DEFAULT_BRIDGE;
use postern_planner::pools::Pool;

use crate::ledger::Ledger;
use crate::settings::BridgeSettings;

/// Docker's local pools: 172.17.0.0/16 to 172.31.0.0/16 whole, 192.168.0.0/16 in /20s.
const POOLS_V4: [(&str, u8); 6] = [
    ("172.17.0.0/16", 16),
    ("172.18.0.0/15", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16),
    ("192.168.0.0/16", 20),
];

/// The default pools: the configured ones of a family, else the built-in ones. IPv6 is a
/// unique local /48 (RFC 4193) made from the store's identity, in /64s.
pub(crate) fn pools(configured: &[Pool], identity: u64) -> Vec<Pool> {
    let has = |ipv4: bool| configured.iter().any(|pool| pool.base().is_ipv4() == ipv4);
    let mut pools = configured.to_vec();
    if !has(true) {
        let built_in =
            POOLS_V4.iter().filter_map(|(base, size)| Pool::new(base.parse().ok()?, *size).ok());
        pools.extend(built_in);
    }
    if !has(false) {
        let global_id = u128::from(identity & 0xff_ffff_ffff);
        let bits = (0xfd_u128 << 120) | (global_id << 80);
        let base = IpNetwork::new(IpAddr::V6(bits.into()), 48).ok();
        pools.extend(base.and_then(|base| Pool::new(base, 64).ok()));
    }
    pools
}

fn spec(driver: &str) -> Result<NetworkSpec, InvalidName> {
    Ok(NetworkSpec {
        driver: driver.parse()?,
        subnets: Vec::new(),
        ipv4: true,
        ipv6: false,
        internal: false,
        icc: true,
        mtu: None,
        dns_servers: Vec::new(),
        labels: Labels::new(),
        options: Labels::new(),
    })
}

fn bridge_spec(settings: &BridgeSettings, mtu: u32) -> Result<NetworkSpec, InvalidName> {
    let mut spec = spec("bridge")?;
    spec.mtu = Some(mtu);
    spec.icc = settings.icc;
    let mut option = |key: &str, value: String| spec.options.insert(key.to_owned(), value);
    option("bridge-name", DEFAULT_BRIDGE.to_owned());
    option("masquerade", settings.masquerade.to_string());
    if let Some(gateway) = settings.gateway {
        option("default-gateway-ipv4", gateway.to_string());
    }
    if let Some(gateway) = settings.gateway_v6 {
        option("default-gateway-ipv6", gateway.to_string());
    }
    let v4 = subnet(
        settings.bip.map(IpNetwork::V4),
        settings.fixed_cidr.map(IpNetwork::V4),
        settings.gateway.map(IpAddr::V4),
    );
    let v6 = subnet(
        settings.bip6.map(IpNetwork::V6),
        settings.fixed_cidr_v6.map(IpNetwork::V6),
        settings.gateway_v6.map(IpAddr::V6),
    );
    spec.ipv6 = v6.is_some();
    spec.subnets.extend(v4.into_iter().chain(v6));
    Ok(spec)
}

/// `bip` gives gateway and subnet; `fixed-cidr` alone gives the subnet. The address of a
/// default gateway is kept from endpoints.
fn subnet(
    bip: Option<IpNetwork>,
    fixed: Option<IpNetwork>,
    gateway: Option<IpAddr>,
) -> Option<SubnetSpec> {
    let whole = bip.or(fixed)?;
    let other = gateway.filter(|gateway| bip.is_none_or(|bip| bip.ip() != *gateway));
    let auxiliary = other.map(|gateway| ("default-gateway".to_owned(), gateway));
    Some(SubnetSpec {
        subnet: IpNetwork::new(whole.network(), whole.prefix()).ok()?,
        range: fixed.filter(|_| bip.is_some()),
        gateway: bip.map(|bip| bip.ip()),
        auxiliary: auxiliary.into_iter().collect(),
    })
}

/// Makes what is missing and updates what differs.
///
/// # Errors
/// One cannot be made, or the default bridge has to change in a way that its endpoints
/// do not allow.
pub(crate) async fn ensure<K: Kernel>(
    ledger: &Ledger<K>,
    settings: &BridgeSettings,
    mtu: u32,
) -> Result<(), Refusal> {
    let internal = |error: InvalidName| Refusal::field("predefined", error);
    for (name, driver) in [("host", "host"), ("none", "null")] {
        if ledger.network(name).is_err() {
            make(ledger, name, spec(driver).map_err(internal)?).await?;
        }
    }
    let wanted = bridge_spec(settings, mtu).map_err(internal)?;
    match ledger.network("bridge") {
        Err(_) => make(ledger, "bridge", wanted).await,
        Ok(facts) => align(ledger, &facts.network, facts.endpoints, wanted).await,
    }
}

async fn make<K: Kernel>(ledger: &Ledger<K>, name: &str, spec: NetworkSpec) -> Result<(), Refusal> {
    let name: Name = name.parse().map_err(|error| Refusal::field("name", error))?;
    let intent = CreateNetwork { name, spec };
    ledger.create_network_now(intent, true, (None, false)).await.map(drop)
}

async fn update<K: Kernel>(
    ledger: &Ledger<K>,
    network: &Network,
    wanted: NetworkSpec,
) -> Result<(), Refusal> {
    let spec = NetworkSpec { labels: network.spec.labels.clone(), ..wanted };
    let intent =
        UpdateNetwork { network: network.name.to_string(), spec, revision: network.revision };
    ledger.update_network_now(intent, (None, false)).await.map(drop)
}

/// What is wanted, with what cannot change while it is in use as it is: that the rest is
/// not done would leave open what was to be shut.
fn keep(network: &Network, wanted: NetworkSpec) -> NetworkSpec {
    let mut options = wanted.options;
    for key in ["default-gateway-ipv4", "default-gateway-ipv6"] {
        match network.spec.options.get(key) {
            Some(value) => options.insert(key.to_owned(), value.clone()),
            None => options.remove(key),
        };
    }
    NetworkSpec {
        subnets: Vec::new(),
        ipv4: network.spec.ipv4,
        ipv6: network.spec.ipv6,
        mtu: network.spec.mtu,
        options,
        ..wanted
    }
}

/// Brings the default bridge in line. What cannot change on a living network is made
/// anew while nothing uses it, and otherwise left as it is, with a warning.
async fn align<K: Kernel>(
    ledger: &Ledger<K>,
    network: &Network,
    endpoints: usize,
    wanted: NetworkSpec,
) -> Result<(), Refusal> {
    let same_subnets = wanted.subnets.iter().all(|asked| {
        network.subnets.iter().any(|subnet| {
            subnet.subnet == asked.subnet
                && asked.range.is_none_or(|range| range == subnet.range)
                && asked.gateway.is_none_or(|gateway| subnet.gateway == Some(gateway))
                && asked.auxiliary == subnet.auxiliary
        })
    });
    let fixed = |spec: &NetworkSpec| (spec.ipv6, spec.mtu);
    if same_subnets && fixed(&wanted) == fixed(&network.spec) {
        if wanted.icc == network.spec.icc && wanted.options == network.spec.options {
            return Ok(());
        }
        return match update(ledger, network, wanted.clone()).await {
            // Default gateways, which its endpoints have.
            Err(_) if endpoints > 0 => update(ledger, network, keep(network, wanted)).await,
            outcome => outcome,
        };
    }
    if endpoints > 0 {
        tracing::warn!(
            endpoints,
            "the default bridge keeps its subnets, default gateways and mtu: the configuration has others, but it is in use"
        );
        return update(ledger, network, keep(network, wanted)).await;
    }
    let intent = DeleteNetwork { network: network.name.to_string() };
    ledger.replace_predefined(&intent).await?;
    make(ledger, "bridge", wanted).await
}

#[cfg(test)]
mod tests {
    use ipnetwork::Ipv4Network;

    use super::*;

    #[test]
    fn the_built_in_pools_are_dockers() {
        let pools = pools(&[], 0x0123_4567_89ab_cdef);
        assert_eq!(pools.len(), 7);
        assert_eq!(pools[6].base(), "fd67:89ab:cdef::/48".parse().unwrap());
        let own = Pool::new("10.0.0.0/8".parse().unwrap(), 24).unwrap();
        assert_eq!(super::pools(&[own], 1).len(), 2, "the family's built-in ones make way");
    }

    #[test]
    fn bip_and_fixed_cidr_as_docker_reads_them() {
        let parse = |text: &str| Some(IpNetwork::V4(text.parse::<Ipv4Network>().unwrap()));
        let both = subnet(parse("10.9.0.1/24"), parse("10.9.0.128/25"), None).unwrap();
        assert_eq!(both.subnet, "10.9.0.0/24".parse().unwrap());
        assert_eq!(both.range, parse("10.9.0.128/25"));
        assert_eq!(both.gateway, Some("10.9.0.1".parse().unwrap()));
        let fixed = subnet(None, parse("10.9.0.0/24"), None).unwrap();
        assert_eq!((fixed.range, fixed.gateway), (None, None));
        assert!(subnet(None, None, None).is_none());
    }
}
