//! Endpoints.

use std::net::{IpAddr, Ipv4Addr};

use postern_model::dns::DnsName;
use postern_model::endpoint::EndpointSpec;
use postern_model::intent::{
    Connect, CreateEndpoint, DeleteEndpoint, Disconnect, JoinEndpoint, LeaveEndpoint,
    ListEndpoints, Mutation, UpdateEndpoint,
};
use postern_model::name::Name;
use postern_model::network::Family;
use postern_model::port::{ExposedPort, HostPorts, PortBinding, PortRange, PublishedPort};
use postern_model::refusal::Refusal;
use postern_proto::v1;

use super::fields::Fields;
use super::network::prefix;
use super::shared::{
    filter, finish, labels, mutation, page, protocol, protocol_out, reference_in, timestamp,
};
use crate::backend::EndpointFacts;

/// Most aliases, exposed and published entries each. A range is one entry.
const ENTRIES_MAX: usize = 1024;
/// RFC 6335 §5.1.
const SERVICE_NAME_MAX: usize = 15;
/// Most prefixes that a published port is for.
const ALLOW_FROM_MAX: usize = 64;

pub(crate) fn create_endpoint(
    request: v1::CreateEndpointRequest,
) -> Result<Mutation<CreateEndpoint>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::CreateEndpointRequest { name, network, spec, request_id, validate_only } = request;
    let name = fields.required::<Name>("name", &name);
    let network = reference_in(&mut fields, "network", &network);
    let spec = endpoint_spec(&mut fields, spec.unwrap_or_default());
    let intent = name.zip(network).zip(spec).map(|((name, network), spec)| CreateEndpoint {
        name,
        network,
        spec,
    });
    let mutation =
        mutation(&mut fields, ("create_endpoint", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn join_endpoint(
    request: v1::JoinEndpointRequest,
) -> Result<Mutation<JoinEndpoint>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::JoinEndpointRequest { endpoint, sandbox, request_id, validate_only } = request;
    let endpoint = reference_in(&mut fields, "endpoint", &endpoint);
    let sandbox = reference_in(&mut fields, "sandbox", &sandbox);
    let intent =
        endpoint.zip(sandbox).map(|(endpoint, sandbox)| JoinEndpoint { endpoint, sandbox });
    let mutation =
        mutation(&mut fields, ("join_endpoint", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn leave_endpoint(
    request: v1::LeaveEndpointRequest,
) -> Result<Mutation<LeaveEndpoint>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::LeaveEndpointRequest { endpoint, request_id, validate_only } = request;
    let intent =
        reference_in(&mut fields, "endpoint", &endpoint).map(|endpoint| LeaveEndpoint { endpoint });
    let mutation =
        mutation(&mut fields, ("leave_endpoint", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn delete_endpoint(
    request: v1::DeleteEndpointRequest,
) -> Result<Mutation<DeleteEndpoint>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::DeleteEndpointRequest { endpoint, request_id, validate_only } = request;
    let intent = reference_in(&mut fields, "endpoint", &endpoint)
        .map(|endpoint| DeleteEndpoint { endpoint });
    let mutation =
        mutation(&mut fields, ("delete_endpoint", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn connect(request: v1::ConnectRequest) -> Result<Mutation<Connect>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::ConnectRequest { network, sandbox, name, spec, request_id, validate_only } = request;
    let network = reference_in(&mut fields, "network", &network);
    let sandbox = reference_in(&mut fields, "sandbox", &sandbox);
    let name = fields.optional::<Name>("name", &name);
    let spec = endpoint_spec(&mut fields, spec.unwrap_or_default());
    let intent = network.zip(sandbox).zip(spec).map(|((network, sandbox), spec)| Connect {
        network,
        sandbox,
        name,
        spec,
    });
    let mutation = mutation(&mut fields, ("connect", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn disconnect(request: v1::DisconnectRequest) -> Result<Mutation<Disconnect>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::DisconnectRequest { endpoint, network, sandbox, request_id, validate_only } = request;
    let intent = if endpoint.is_empty() {
        let network = reference_in(&mut fields, "network", &network);
        let sandbox = reference_in(&mut fields, "sandbox", &sandbox);
        network.zip(sandbox).map(|(network, sandbox)| Disconnect::Pair { network, sandbox })
    } else {
        if !network.is_empty() || !sandbox.is_empty() {
            fields.wrong("endpoint", "cannot be given together with network and sandbox");
        }
        reference_in(&mut fields, "endpoint", &endpoint).map(Disconnect::Endpoint)
    };
    let mutation =
        mutation(&mut fields, ("disconnect", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn list_endpoints(request: v1::ListEndpointsRequest) -> Result<ListEndpoints, Refusal> {
    let mut fields = Fields::default();
    let v1::ListEndpointsRequest { page: wanted, filter: matching, network, sandbox } = request;
    let page = page(&mut fields, wanted);
    let filter = filter(&mut fields, matching);
    let given = |text: String| (!text.is_empty()).then_some(text);
    let (network, sandbox) = (given(network), given(sandbox));
    let query =
        page.zip(filter).map(|(page, filter)| ListEndpoints { page, filter, network, sandbox });
    finish(fields, query)
}

pub(crate) fn update_endpoint(
    request: v1::UpdateEndpointRequest,
) -> Result<Mutation<UpdateEndpoint>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::UpdateEndpointRequest {
        endpoint,
        aliases,
        exposed_ports,
        published_ports,
        labels: given,
        revision,
        request_id,
        validate_only,
    } = request;
    let endpoint = reference_in(&mut fields, "endpoint", &endpoint);
    let aliases = all_aliases(&mut fields, "aliases", aliases);
    let exposed = all_exposed(&mut fields, "exposed_ports", exposed_ports);
    let published = all_published(&mut fields, "published_ports", published_ports);
    let labels = labels(&mut fields, "labels", given);
    let intent = (|| {
        Some(UpdateEndpoint {
            endpoint: endpoint?,
            aliases: aliases?,
            exposed: exposed?,
            published: published?,
            labels: labels?,
            revision,
        })
    })();
    let mutation =
        mutation(&mut fields, ("update_endpoint", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

fn endpoint_spec(fields: &mut Fields, spec: v1::EndpointSpec) -> Option<EndpointSpec> {
    let v1::EndpointSpec {
        ipv4_address,
        ipv6_address,
        mac_address,
        interface_name,
        gateway_priority,
        aliases,
        exposed_ports,
        published_ports,
        labels: given,
        options,
    } = spec;
    let ipv4 = fields.optional("spec.ipv4_address", &ipv4_address);
    let ipv6 = fields.optional("spec.ipv6_address", &ipv6_address);
    let mac = fields.optional("spec.mac_address", &mac_address);
    let interface = fields.optional("spec.interface_name", &interface_name);
    let aliases = all_aliases(fields, "spec.aliases", aliases);
    let exposed = all_exposed(fields, "spec.exposed_ports", exposed_ports);
    let published = all_published(fields, "spec.published_ports", published_ports);
    let checked = labels(fields, "spec.labels", given);
    let options = labels(fields, "spec.options", options);
    Some(EndpointSpec {
        ipv4,
        ipv6,
        mac,
        interface,
        gateway_priority,
        aliases: aliases?,
        exposed: exposed?,
        published: published?,
        labels: checked?,
        options: options?,
    })
}

fn all_aliases(fields: &mut Fields, path: &str, aliases: Vec<String>) -> Option<Vec<DnsName>> {
    let parsed = fields.all((path, ENTRIES_MAX), aliases, |fields, path, alias| {
        fields.take(path, alias.parse::<DnsName>())
    })?;
    for (index, alias) in parsed.iter().enumerate() {
        if parsed[..index].contains(alias) {
            fields.wrong(format!("{path}[{index}]"), format!("`{alias}` is given twice"));
        }
    }
    Some(parsed)
}

fn all_exposed(
    fields: &mut Fields,
    path: &str,
    ports: Vec<v1::ExposedPort>,
) -> Option<Vec<ExposedPort>> {
    fields.all((path, ENTRIES_MAX), ports, |fields, path, exposed| {
        let v1::ExposedPort { protocol: number, port, port_end, name } = exposed;
        let protocol = protocol(fields, format!("{path}.protocol"), number);
        let last = if port_end == 0 { port } else { port_end };
        let ports = fields.take(format!("{path}.port"), PortRange::new(port, last));
        if !name.is_empty() {
            fields.take(format!("{path}.name"), service_name(&name))?;
        }
        let name = (!name.is_empty()).then_some(name);
        Some(ExposedPort { protocol: protocol?, ports: ports?, name })
    })
}

/// RFC 6335 §5.1: 1 to 15 letters, digits and single hyphens, a letter among them.
fn service_name(name: &str) -> Result<(), String> {
    let allowed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let letter = name.bytes().any(|b| b.is_ascii_alphabetic());
    let hyphens = !name.starts_with('-') && !name.ends_with('-') && !name.contains("--");
    if name.len() <= SERVICE_NAME_MAX && allowed && letter && hyphens {
        return Ok(());
    }
    Err(format!("`{name}` is not a service name"))
}

fn all_published(
    fields: &mut Fields,
    path: &str,
    ports: Vec<v1::PublishedPort>,
) -> Option<Vec<PublishedPort>> {
    fields.all((path, ENTRIES_MAX), ports, |fields, path, port| published(fields, &path, port))
}

fn published(fields: &mut Fields, path: &str, port: v1::PublishedPort) -> Option<PublishedPort> {
    let v1::PublishedPort {
        protocol: number,
        host_ip,
        host_port,
        host_port_end,
        container_port,
        container_port_end,
        allow_from,
    } = port;
    let protocol = protocol(fields, format!("{path}.protocol"), number);
    let host_ip: Option<IpAddr> = fields.optional(format!("{path}.host_ip"), &host_ip);
    if let Some(ip) = host_ip.filter(|ip| ip.is_multicast() || *ip == Ipv4Addr::BROADCAST) {
        fields.wrong(format!("{path}.host_ip"), format!("{ip} is no host's address"));
    }
    let last = if container_port_end == 0 { container_port } else { container_port_end };
    let container =
        fields.take(format!("{path}.container_port"), PortRange::new(container_port, last))?;
    let host = host_ports(fields, path, host_port, host_port_end, container)?;
    let allow_from = fields.all(
        (&format!("{path}.allow_from"), ALLOW_FROM_MAX),
        allow_from,
        |fields, path, text| fields.take(path, prefix(&text)),
    )?;
    Some(PublishedPort { protocol: protocol?, host_ip, host, container, allow_from })
}

fn host_ports(
    fields: &mut Fields,
    path: &str,
    first: u32,
    end: u32,
    container: PortRange,
) -> Option<HostPorts> {
    let field = format!("{path}.host_port");
    match (first, end) {
        (0, 0) => Some(HostPorts::Ephemeral),
        (0, _) => {
            fields.wrong(field, "must be given where host_port_end is");
            None
        }
        (first, 0) => {
            let last = first.saturating_add(container.count() - 1);
            fields.take(field, PortRange::new(first, last)).map(HostPorts::Exactly)
        }
        (first, last) => {
            let host = fields.take(&field, PortRange::new(first, last))?;
            if host.count() == container.count() {
                Some(HostPorts::Exactly(host))
            } else if container.count() == 1 {
                Some(HostPorts::FirstFreeOf(host))
            } else {
                let (host, container) = (host.count(), container.count());
                fields.wrong(field, format!("{host} host ports for {container} container ports"));
                None
            }
        }
    }
}

/// An endpoint as the API shows it.
pub(crate) fn endpoint(facts: EndpointFacts) -> v1::Endpoint {
    let EndpointFacts { endpoint, network, sandbox } = facts;
    let cidr = |family| {
        let of_family = endpoint.addresses.iter().find(|a| Family::of(a.ip()) == family);
        of_family.map(ToString::to_string).unwrap_or_default()
    };
    let attachment = endpoint.attachment.as_ref();
    let gateway = |family| {
        let offered = attachment.and_then(|a| {
            a.decision.gateways.iter().find(|gateway| Family::of(**gateway) == family)
        });
        offered.map(ToString::to_string).unwrap_or_default()
    };
    v1::Endpoint {
        uid: endpoint.id.to_string(),
        name: endpoint.name.to_string(),
        revision: endpoint.revision,
        create_time: Some(timestamp(endpoint.created)),
        network_uid: endpoint.network.to_string(),
        network,
        sandbox_uid: endpoint.sandbox().map(|id| id.to_string()).unwrap_or_default(),
        sandbox: sandbox.unwrap_or_default(),
        ipv4_address: cidr(Family::V4),
        ipv6_address: cidr(Family::V6),
        mac_address: endpoint.mac.to_string(),
        interface_name: attachment
            .and_then(|a| a.interface.as_ref())
            .map(ToString::to_string)
            .unwrap_or_default(),
        ipv4_gateway: gateway(Family::V4),
        ipv6_gateway: gateway(Family::V6),
        bindings: attachment.map(|a| a.bindings.iter().map(binding).collect()).unwrap_or_default(),
        spec: Some(spec_out(endpoint.spec)),
    }
}

fn binding(binding: &PortBinding) -> v1::PortBinding {
    v1::PortBinding {
        protocol: protocol_out(binding.protocol).into(),
        host_ip: binding.host_ip.to_string(),
        host_port: binding.host.first().into(),
        container_ip: binding.target.to_string(),
        container_port: binding.target_first.into(),
        count: binding.host.count(),
    }
}

fn spec_out(spec: EndpointSpec) -> v1::EndpointSpec {
    let EndpointSpec {
        ipv4,
        ipv6,
        mac,
        interface,
        gateway_priority,
        aliases,
        exposed,
        published,
        labels,
        options,
    } = spec;
    v1::EndpointSpec {
        ipv4_address: ipv4.map(|a| a.to_string()).unwrap_or_default(),
        ipv6_address: ipv6.map(|a| a.to_string()).unwrap_or_default(),
        mac_address: mac.map(|a| a.to_string()).unwrap_or_default(),
        interface_name: interface.map(|a| a.to_string()).unwrap_or_default(),
        gateway_priority,
        aliases: aliases.into_iter().map(String::from).collect(),
        exposed_ports: exposed.into_iter().map(exposed_out).collect(),
        published_ports: published.iter().map(published_out).collect(),
        labels: labels.into_iter().collect(),
        options: options.into_iter().collect(),
    }
}

/// The end of a range as the API gives it: 0 where it is a single port.
fn end(range: PortRange) -> u32 {
    if range.count() == 1 { 0 } else { range.last().into() }
}

fn exposed_out(exposed: ExposedPort) -> v1::ExposedPort {
    v1::ExposedPort {
        protocol: protocol_out(exposed.protocol).into(),
        port: exposed.ports.first().into(),
        port_end: end(exposed.ports),
        name: exposed.name.unwrap_or_default(),
    }
}

fn published_out(published: &PublishedPort) -> v1::PublishedPort {
    let (host_port, host_port_end) = match published.host {
        HostPorts::Ephemeral => (0, 0),
        HostPorts::Exactly(range) | HostPorts::FirstFreeOf(range) => {
            (range.first().into(), end(range))
        }
    };
    v1::PublishedPort {
        protocol: protocol_out(published.protocol).into(),
        host_ip: published.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        host_port,
        host_port_end,
        container_port: published.container.first().into(),
        container_port_end: end(published.container),
        allow_from: published.allow_from.iter().map(ToString::to_string).collect(),
    }
}
