//! A request as a file has it. What is left out is as an ordinary network or endpoint of
//! the daemon would have it, so that `{}` is a request already.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_model::driver::{
    Context, EndpointView, Manifest, NetworkView, OptionScope, SubnetView,
};
use postern_model::mac::MacAddr;
use postern_model::name::{IfName, Labels, check_labels};
use postern_model::port::{PortBinding, PortRange};
use postern_planner::admission::NamedLink;
use postern_planner::prefix;
use serde::{Deserialize, Serialize};

use crate::outcome::State;

const SUBNETS: [&str; 2] = ["10.1.0.0/24", "fd00:1::/64"];
const NETWORK_ID: &str = "01932c07-a9d0-7000-8abc-0123456789ab";
const ENDPOINT_ID: &str = "01932c07-a9d0-7000-8abc-0123456789ac";
const NETWORK_MAC: [u8; 6] = [0x02, 0, 0x5e, 0, 0x53, 1];
const ENDPOINT_MAC: [u8; 6] = [0x02, 0, 0x5e, 0, 0x53, 2];
const MTU: u32 = 1500;
const NOW: u64 = 1_764_000_000_000;
const SEED: u64 = 7;

/// A request: what a network needs or, where an endpoint is given, what that needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestFile {
    /// What comes in place of a clock and randomness.
    #[serde(skip_serializing_if = "is_default")]
    pub context: ContextFile,
    /// The network.
    pub network: NetworkFile,
    /// The endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointFile>,
    /// What the host has under the name that the decision gives its bridge.
    #[serde(skip_serializing_if = "is_default")]
    pub existing: Existing,
}

/// [`Context`], each field optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContextFile {
    /// The request's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<u64>,
    /// A seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// [`NetworkView`], each field optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkFile {
    /// Its uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its subnets; one of each family if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnets: Option<Vec<SubnetFile>>,
    /// No way out to the world.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal: Option<bool>,
    /// Whether neighbours may talk; they may if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icc: Option<bool>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The MAC address offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Labels,
    /// Options.
    #[serde(skip_serializing_if = "is_default")]
    pub options: Labels,
    /// What the driver said last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// A subnet; its gateway is its first usable address if left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubnetFile {
    /// The prefix.
    pub subnet: IpNetwork,
    /// The gateway's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// [`EndpointView`], each field optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointFile {
    /// Its uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The addresses offered; one of each subnet if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<IpNetwork>>,
    /// The MAC address offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// The interface's name in the sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<IfName>,
    /// The ports to publish.
    #[serde(skip_serializing_if = "is_default")]
    pub bindings: Vec<PortBinding>,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Labels,
    /// Options.
    #[serde(skip_serializing_if = "is_default")]
    pub options: Labels,
    /// What the driver said last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// What the host has under the name of a bridge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Existing {
    /// Nothing.
    #[default]
    Absent,
    /// A bridge of somebody else.
    Bridge,
    /// A link that is no bridge.
    Other,
    /// A link of another network of the daemon.
    Ours,
}

impl Existing {
    /// As admission has it.
    pub const fn named_link(self) -> NamedLink {
        match self {
            Self::Absent => NamedLink::Absent,
            Self::Bridge => NamedLink::Bridge,
            Self::Other => NamedLink::Other,
            Self::Ours => NamedLink::Ours,
        }
    }
}

/// A field of a request with which the daemon would never ask the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which, as `network.options["open"]`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.description)
    }
}

/// A request with which the daemon would never ask the driver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the daemon would not ask the driver this: {}", join(violations))]
pub struct RequestError {
    /// Every field that is wrong.
    pub violations: Vec<Violation>,
}

fn join(violations: &[Violation]) -> String {
    violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("; ")
}

/// A request in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What comes with it.
    pub context: Context,
    /// The network.
    pub network: NetworkView,
    /// Whether the network's state is what the driver itself says first.
    pub own_state: bool,
    /// The endpoint.
    pub endpoint: Option<EndpointView>,
    /// What the host has under the name of the bridge.
    pub named: NamedLink,
}

impl RequestFile {
    /// A request for an endpoint that leaves everything out.
    pub fn of_endpoint() -> Self {
        Self { endpoint: Some(EndpointFile::default()), ..Self::default() }
    }

    /// Fills in what is left out, and checks what the daemon checks before it asks.
    ///
    /// # Errors
    /// Every field with which the daemon would not ask.
    pub fn resolve(&self, manifest: &Manifest) -> Result<Request, RequestError> {
        let mut review = Review { manifest, violations: Vec::new() };
        let network = review.network(&self.network);
        let endpoint = self.endpoint.as_ref().map(|file| review.endpoint(file, &network));
        if !review.violations.is_empty() {
            return Err(RequestError { violations: review.violations });
        }
        let context = &self.context;
        Ok(Request {
            context: Context {
                request_id: context.request_id.clone().unwrap_or_else(|| "case".to_owned()),
                now: context.now.unwrap_or(NOW),
                seed: context.seed.unwrap_or(SEED),
            },
            network,
            own_state: self.network.state.is_none(),
            endpoint,
            named: self.existing.named_link(),
        })
    }
}

struct Review<'a> {
    manifest: &'a Manifest,
    violations: Vec<Violation>,
}

impl Review<'_> {
    fn object(&mut self, field: impl Into<String>, description: impl Into<String>) {
        let violation = Violation { field: field.into(), description: description.into() };
        self.violations.push(violation);
    }

    fn network(&mut self, file: &NetworkFile) -> NetworkView {
        self.labels("network.labels", &file.labels);
        self.options("network.options", OptionScope::Network, &file.options);
        NetworkView {
            id: file.id.clone().unwrap_or_else(|| NETWORK_ID.to_owned()),
            name: file.name.clone().unwrap_or_else(|| "blue".to_owned()),
            subnets: self.subnets(file.subnets.as_deref()),
            internal: file.internal.unwrap_or(false),
            icc: file.icc.unwrap_or(true),
            mtu: file.mtu.unwrap_or(MTU),
            mac: file.mac.unwrap_or_else(|| mac(NETWORK_MAC)),
            tunnel: None,
            labels: file.labels.clone(),
            options: file.options.clone(),
            state: file.state.as_ref().map(State::bytes).unwrap_or_default(),
        }
    }

    fn subnets(&mut self, given: Option<&[SubnetFile]>) -> Vec<SubnetView> {
        let Some(given) = given else {
            let usual = SUBNETS.iter().filter(|_| self.manifest.addressing);
            return usual.filter_map(|text| text.parse().ok()).map(with_gateway).collect();
        };
        if !self.manifest.addressing && !given.is_empty() {
            self.object("network.subnets", "the driver's networks have none");
        }
        let mut families = Vec::new();
        for (index, file) in given.iter().enumerate() {
            let field = format!("network.subnets[{index}]");
            let family = file.subnet.is_ipv4();
            if prefix::has_host_bits(file.subnet) {
                self.object(format!("{field}.subnet"), "has bits beyond its prefix");
            }
            if families.contains(&family) {
                self.object(format!("{field}.subnet"), "is a second one of its family");
            }
            if file.gateway.is_some_and(|gateway| !file.subnet.contains(gateway)) {
                self.object(format!("{field}.gateway"), "lies outside the subnet");
            }
            families.push(family);
        }
        let view = |file: &SubnetFile| SubnetView {
            subnet: file.subnet,
            gateway: file.gateway.or_else(|| with_gateway(file.subnet).gateway),
        };
        let mut subnets: Vec<_> = given.iter().map(view).collect();
        subnets.sort_by_key(|subnet| subnet.subnet.is_ipv6());
        subnets
    }

    fn endpoint(&mut self, file: &EndpointFile, network: &NetworkView) -> EndpointView {
        self.labels("endpoint.labels", &file.labels);
        self.options("endpoint.options", OptionScope::Endpoint, &file.options);
        self.bindings(&file.bindings);
        let offered = || network.subnets.iter().filter_map(second).collect();
        EndpointView {
            id: file.id.clone().unwrap_or_else(|| ENDPOINT_ID.to_owned()),
            name: file.name.clone().unwrap_or_else(|| format!("web.{}", network.name)),
            addresses: file.addresses.clone().unwrap_or_else(offered),
            mac: file.mac.unwrap_or_else(|| mac(ENDPOINT_MAC)),
            interface: file.interface.clone().unwrap_or_else(eth0),
            bindings: file.bindings.clone(),
            labels: file.labels.clone(),
            options: file.options.clone(),
            state: file.state.as_ref().map(State::bytes).unwrap_or_default(),
        }
    }

    fn bindings(&mut self, bindings: &[PortBinding]) {
        for (index, binding) in bindings.iter().enumerate() {
            let field = format!("endpoint.bindings[{index}]");
            let (first, last) = (u32::from(binding.host.first()), u32::from(binding.host.last()));
            let target = u32::from(binding.target_first);
            if let Err(error) = PortRange::new(first, last) {
                self.object(format!("{field}.host"), error.to_string());
            } else if let Err(error) = PortRange::new(target, target + (last - first)) {
                self.object(format!("{field}.target_first"), error.to_string());
            }
            if binding.host_ip.is_ipv4() != binding.target.is_ipv4() {
                self.object(format!("{field}.target"), "is not of the family of `host_ip`");
            }
        }
    }

    fn labels(&mut self, field: &str, labels: &Labels) {
        if let Err(error) = check_labels(labels) {
            self.object(field, error.to_string());
        }
    }

    fn options(&mut self, field: &str, scope: OptionScope, options: &Labels) {
        self.labels(field, options);
        let specs = self.manifest.options.iter().filter(|spec| spec.scope == scope);
        let known: Vec<&str> = specs.map(|spec| spec.name.as_str()).collect();
        for key in options.keys().filter(|key| !known.contains(&key.as_str())) {
            let description = if known.is_empty() {
                "the driver has no options here".to_owned()
            } else {
                format!("is not an option of the driver, which has {}", known.join(", "))
            };
            self.violations.push(Violation { field: format!("{field}[\"{key}\"]"), description });
        }
    }
}

/// A subnet with its first usable address for a gateway.
fn with_gateway(subnet: IpNetwork) -> SubnetView {
    SubnetView { subnet, gateway: nth(subnet, 1) }
}

/// The address after the gateway's, with its prefix length.
fn second(subnet: &SubnetView) -> Option<IpNetwork> {
    IpNetwork::new(nth(subnet.subnet, 2)?, subnet.subnet.prefix()).ok()
}

fn nth(subnet: IpNetwork, n: u128) -> Option<IpAddr> {
    let (first, last) = prefix::bounds(subnet);
    // The last address is left out: in IPv4 it is the broadcast address.
    (first + n < last).then(|| prefix::address(subnet, first + n))
}

fn mac(bytes: [u8; 6]) -> MacAddr {
    MacAddr::new(bytes).unwrap_or_else(|_| MacAddr::from_seed(SEED))
}

fn eth0() -> IfName {
    "eth0".parse().unwrap_or_else(|error| unreachable!("`eth0` is a name: {error}"))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::manifest;

    fn read(text: &str) -> Result<Request, RequestError> {
        serde_json::from_str::<RequestFile>(text).unwrap().resolve(&manifest())
    }

    fn fields(text: &str) -> Vec<String> {
        read(text).unwrap_err().violations.into_iter().map(|v| v.field).collect()
    }

    #[test]
    fn nothing_is_a_request() {
        let request = read("{}").unwrap();
        let subnets: Vec<_> =
            request.network.subnets.iter().map(|s| s.subnet.to_string()).collect();
        assert_eq!(subnets, SUBNETS);
        assert_eq!(request.network.subnets[0].gateway, Some("10.1.0.1".parse().unwrap()));
        assert!(request.network.icc && !request.network.internal && request.own_state);
        assert!(request.endpoint.is_none());
        let endpoint = read(r#"{"endpoint": {}}"#).unwrap().endpoint.unwrap();
        let addresses: Vec<_> = endpoint.addresses.iter().map(IpNetwork::to_string).collect();
        assert_eq!(addresses, ["10.1.0.2/24", "fd00:1::2/64"]);
    }

    #[test]
    fn a_driver_without_addressing_gets_none() {
        let bare = Manifest { addressing: false, ..manifest() };
        let request = RequestFile::of_endpoint().resolve(&bare).unwrap();
        assert!(request.network.subnets.is_empty());
        assert!(request.endpoint.unwrap().addresses.is_empty());
    }

    #[test]
    fn what_the_daemon_refuses_never_reaches_the_driver() {
        assert_eq!(fields(r#"{"network": {"options": {"x": "1"}}}"#), ["network.options[\"x\"]"]);
        assert_eq!(
            fields(
                r#"{"network": {"subnets": [{"subnet": "10.0.0.1/24", "gateway": "10.9.0.1"}]}}"#
            ),
            ["network.subnets[0].subnet", "network.subnets[0].gateway"]
        );
        let binding = r#"{"endpoint": {"bindings": [{"protocol": "tcp", "host_ip": "0.0.0.0",
            "host": {"first": 0, "last": 0}, "target": "fd00::1", "target_first": 80}]}}"#;
        assert_eq!(fields(binding), ["endpoint.bindings[0].host", "endpoint.bindings[0].target"]);
    }

    #[test]
    fn a_slip_of_the_pen_is_named() {
        let error = serde_json::from_str::<RequestFile>(r#"{"network": {"intern": true}}"#);
        assert!(error.unwrap_err().to_string().contains("unknown field `intern`"));
    }

    #[test]
    fn what_was_left_out_is_left_out_again() {
        let text = r#"{"network":{"internal":true},"endpoint":{"state":"a"}}"#;
        let file: RequestFile = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&file).unwrap(), text);
    }
}
