//! A Kubernetes `NetworkPolicy` (networking.k8s.io/v1) as a policy of tier APP.
//!
//! A namespace is the network of its name, a pod is an endpoint. What has no counterpart is
//! refused rather than left out: a policy that says less than it seems to is none.

use std::collections::BTreeMap;

use postern_proto::v1::label_requirement::Operator;
use postern_proto::v1::policy_peer::Kind;
use postern_proto::v1::policy_port::Protocol;
use postern_proto::v1::{
    ApplyPolicyRequest, CidrBlock, Direction, EndpointSelector, LabelRequirement, LabelSelector,
    PolicyPeer, PolicyPort, PolicyRule, PolicySpec, PolicySubject, Tier,
};
use serde::Deserialize;
use serde_json::Value;

/// The label by which Kubernetes knows a namespace's name.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";
/// The label by which networks are known by name here.
const NETWORK_LABEL: &str = "postern.io/name";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "named so that nothing unknown passes")]
struct NetworkPolicy {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Value,
}

/// What a cluster adds beside these says nothing of the policy.
#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    #[serde(default)]
    pod_selector: Selector,
    policy_types: Option<Vec<PolicyType>>,
    ingress: Option<Vec<Ingress>>,
    egress: Option<Vec<Egress>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
enum PolicyType {
    Ingress,
    Egress,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    #[serde(default)]
    match_labels: BTreeMap<String, String>,
    #[serde(default)]
    match_expressions: Vec<Expression>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ingress {
    #[serde(default)]
    from: Vec<Peer>,
    #[serde(default)]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Egress {
    #[serde(default)]
    to: Vec<Peer>,
    #[serde(default)]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Peer {
    pod_selector: Option<Selector>,
    namespace_selector: Option<Selector>,
    ip_block: Option<IpBlock>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IpBlock {
    cidr: String,
    #[serde(default)]
    except: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Port {
    protocol: Option<String>,
    port: Option<NumberOrName>,
    end_port: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrName {
    Number(u32),
    Name(String),
}

/// The request that a document makes.
///
/// # Errors
/// It is no `NetworkPolicy`, or says what has no counterpart.
pub(super) fn policy(document: Value) -> Result<ApplyPolicyRequest, String> {
    let NetworkPolicy { metadata, spec, .. } =
        serde_json::from_value(document).map_err(|error| error.to_string())?;
    let namespace = metadata.namespace.unwrap_or_else(|| "default".to_owned());
    let Spec { pod_selector, policy_types, ingress, egress } = spec;
    let types = policy_types.unwrap_or_else(|| {
        let egress = egress.is_some().then_some(PolicyType::Egress);
        std::iter::once(PolicyType::Ingress).chain(egress).collect()
    });
    let given = [
        (PolicyType::Ingress, ingress.as_ref().is_some_and(|rules| !rules.is_empty()), "ingress"),
        (PolicyType::Egress, egress.as_ref().is_some_and(|rules| !rules.is_empty()), "egress"),
    ];
    for (kind, has_rules, name) in given {
        if has_rules && !types.contains(&kind) {
            return Err(format!("spec.{name} has rules, but spec.policyTypes leaves it out"));
        }
    }
    let ingress = ingress.unwrap_or_default().into_iter().map(|rule| (rule.from, rule.ports));
    let egress = egress.unwrap_or_default().into_iter().map(|rule| (rule.to, rule.ports));
    let direction = |kind: &PolicyType| match kind {
        PolicyType::Ingress => Direction::Ingress.into(),
        PolicyType::Egress => Direction::Egress.into(),
    };
    let of_network = [(NETWORK_LABEL.to_owned(), namespace.clone())].into();
    Ok(ApplyPolicyRequest {
        name: format!("{namespace}.{}", metadata.name),
        spec: Some(PolicySpec {
            tier: Tier::App.into(),
            subject: Some(PolicySubject {
                networks: Some(LabelSelector { match_labels: of_network, ..Default::default() }),
                endpoints: Some(selector(pod_selector)?),
                endpoint_names: Vec::new(),
            }),
            directions: types.iter().map(direction).collect(),
            ingress: ingress.map(rule).collect::<Result<_, _>>()?,
            egress: egress.map(rule).collect::<Result<_, _>>()?,
            labels: metadata.labels,
            ..PolicySpec::default()
        }),
        ..ApplyPolicyRequest::default()
    })
}

fn rule((peers, ports): (Vec<Peer>, Vec<Port>)) -> Result<PolicyRule, String> {
    Ok(PolicyRule {
        peers: peers.into_iter().map(peer).collect::<Result<_, _>>()?,
        ports: ports.into_iter().map(port).collect::<Result<_, _>>()?,
        ..PolicyRule::default()
    })
}

fn peer(peer: Peer) -> Result<PolicyPeer, String> {
    let kind = match peer {
        Peer { ip_block: Some(block), pod_selector: None, namespace_selector: None } => {
            Kind::Cidr(CidrBlock { cidr: block.cidr, except: block.except })
        }
        Peer { ip_block: Some(_), .. } => {
            return Err("ipBlock cannot stand beside a selector".to_owned());
        }
        Peer { pod_selector: None, namespace_selector: None, .. } => {
            return Err("a peer needs podSelector, namespaceSelector or ipBlock".to_owned());
        }
        Peer { pod_selector, namespace_selector, .. } => Kind::Selector(EndpointSelector {
            networks: namespace_selector.map(networks).transpose()?,
            endpoints: pod_selector.map(selector).transpose()?,
        }),
    };
    Ok(PolicyPeer { kind: Some(kind) })
}

/// Of namespaces the one label that the cluster itself sets is the network's name here.
fn networks(given: Selector) -> Result<LabelSelector, String> {
    let named = |key: String| if key == NAMESPACE_LABEL { NETWORK_LABEL.to_owned() } else { key };
    let mut selector = selector(given)?;
    selector.match_labels =
        selector.match_labels.into_iter().map(|(key, value)| (named(key), value)).collect();
    for requirement in &mut selector.match_expressions {
        requirement.key = named(std::mem::take(&mut requirement.key));
    }
    Ok(selector)
}

fn selector(given: Selector) -> Result<LabelSelector, String> {
    let requirement = |Expression { key, operator, values }| {
        let operator = match operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => return Err(format!("`{other}` is not an operator of a selector")),
        };
        Ok(LabelRequirement { key, operator: operator.into(), values })
    };
    Ok(LabelSelector {
        match_labels: given.match_labels,
        match_expressions: given
            .match_expressions
            .into_iter()
            .map(requirement)
            .collect::<Result<_, _>>()?,
    })
}

fn port(given: Port) -> Result<PolicyPort, String> {
    let Port { protocol, port, end_port } = given;
    let protocol = match protocol.as_deref() {
        None | Some("TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        Some(other) => return Err(format!("`{other}` is not a protocol of a port")),
    };
    let whole = PolicyPort { protocol: protocol.into(), ..PolicyPort::default() };
    match (port, end_port) {
        (None, None) => Ok(whole),
        (Some(NumberOrName::Number(port)), end) => {
            Ok(PolicyPort { port, port_end: end.unwrap_or(0), ..whole })
        }
        (Some(NumberOrName::Name(name)), None) => Ok(PolicyPort { name, ..whole }),
        (_, Some(_)) => Err("endPort needs a port with a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<ApplyPolicyRequest, String> {
        policy(serde_saphyr::from_str(text).unwrap())
    }

    /// The example of the Kubernetes documentation's shape, in our words.
    #[test]
    fn a_whole_policy() {
        let request = parsed(
            "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: blue, creationTimestamp: null}
spec:
  podSelector: {matchLabels: {role: db}}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - ipBlock: {cidr: 172.17.0.0/16, except: [172.17.1.0/24]}
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: red}}
        - podSelector: {matchExpressions: [{key: role, operator: In, values: [web]}]}
      ports: [{protocol: TCP, port: 6379}, {port: http}]
  egress:
    - ports: [{protocol: UDP, port: 32000, endPort: 32768}]
",
        )
        .unwrap();
        let spec = request.spec.unwrap();
        assert_eq!((request.name.as_str(), spec.directions.len()), ("blue.db", 2));
        assert_eq!(spec.subject.unwrap().networks.unwrap().match_labels[NETWORK_LABEL], "blue");
        let kinds: Vec<_> = spec.ingress[0].peers.iter().map(|p| p.kind.clone().unwrap()).collect();
        assert!(matches!(&kinds[0], Kind::Cidr(block) if block.except == ["172.17.1.0/24"]));
        let Kind::Selector(red) = &kinds[1] else { panic!("{:?}", kinds[1]) };
        assert_eq!(red.networks.as_ref().unwrap().match_labels[NETWORK_LABEL], "red");
        assert!(matches!(&kinds[2], Kind::Selector(near) if near.networks.is_none()));
        assert_eq!(spec.ingress[0].ports[1].name, "http");
        assert_eq!(
            (spec.egress[0].ports[0].port, spec.egress[0].ports[0].port_end),
            (32000, 32768)
        );
    }

    #[test]
    fn defaults_are_those_of_kubernetes() {
        let spec = |rest: &str| {
            let text = format!(
                "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p}}, spec: {{{rest}}}}}"
            );
            parsed(&text).unwrap().spec.unwrap()
        };
        assert_eq!(spec("podSelector: {}").directions, [i32::from(Direction::Ingress)]);
        let both = [Direction::Ingress, Direction::Egress].map(i32::from);
        assert_eq!(spec("podSelector: {}, egress: []").directions, both);
    }

    #[test]
    fn what_has_no_counterpart_is_refused() {
        let refused = |rest: &str| {
            let text = format!(
                "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p}}, spec: {{{rest}}}}}"
            );
            parsed(&text).unwrap_err()
        };
        for (rest, said) in [
            ("podSelector: {}, ingres: []", "ingres"),
            ("podSelector: {matchLabel: {}}", "matchLabel"),
            ("ingress: [{from: [{}]}]", "needs podSelector"),
            ("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]", "beside"),
            ("ingress: [{ports: [{protocol: ICMP}]}]", "ICMP"),
            ("ingress: [{ports: [{port: http, endPort: 9}]}]", "endPort"),
            ("policyTypes: [Egress], ingress: [{}]", "policyTypes"),
        ] {
            let error = refused(rest);
            assert!(error.contains(said), "{rest}: {error}");
        }
    }
}
