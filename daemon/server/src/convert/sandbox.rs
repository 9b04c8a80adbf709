//! Sandboxes.

use std::path::{Component, PathBuf};

use postern_model::dns::{DnsConfig, DnsName};
use postern_model::intent::{
    AddLink, CreateSandbox, DeleteSandbox, ListSandboxes, Mutation, RemoveLink, SetQuarantine,
    UpdateSandbox,
};
use postern_model::name::Name;
use postern_model::refusal::Refusal;
use postern_model::sandbox::{NamespaceIdentity, NamespaceSpec, SandboxSpec};
use postern_proto::v1;
use postern_proto::v1::sandbox_spec::Namespace;

use super::dns;
use super::fields::Fields;
use super::shared::{filter, finish, labels, mutation, page, reference_in, timestamp};
use crate::backend::SandboxFacts;

/// `PATH_MAX` less its closing NUL.
const PATH_MAX: usize = 4095;

pub(crate) fn create_sandbox(
    request: v1::CreateSandboxRequest,
) -> Result<Mutation<CreateSandbox>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::CreateSandboxRequest { name, spec, request_id, validate_only } = request;
    let name = fields.take("name", Name::short(&name));
    let spec = sandbox_spec(&mut fields, name.as_ref(), spec.unwrap_or_default());
    let intent = name.zip(spec).map(|(name, spec)| CreateSandbox { name, spec });
    let mutation =
        mutation(&mut fields, ("create_sandbox", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn update_sandbox(
    request: v1::UpdateSandboxRequest,
) -> Result<Mutation<UpdateSandbox>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::UpdateSandboxRequest { sandbox, labels: given, revision, request_id, validate_only } =
        request;
    let sandbox = reference_in(&mut fields, "sandbox", &sandbox);
    let labels = labels(&mut fields, "labels", given);
    let intent =
        sandbox.zip(labels).map(|(sandbox, labels)| UpdateSandbox { sandbox, labels, revision });
    let mutation =
        mutation(&mut fields, ("update_sandbox", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn add_link(request: v1::AddLinkRequest) -> Result<Mutation<AddLink>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::AddLinkRequest { sandbox, link: given, request_id, validate_only } = request;
    let itself = Name::short(&sandbox).ok();
    let sandbox = reference_in(&mut fields, "sandbox", &sandbox);
    let link = dns::link(&mut fields, "link", itself.as_ref(), given.unwrap_or_default());
    let intent = sandbox.zip(link).map(|(sandbox, link)| AddLink { sandbox, link });
    let mutation = mutation(&mut fields, ("add_link", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn remove_link(request: v1::RemoveLinkRequest) -> Result<Mutation<RemoveLink>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::RemoveLinkRequest { sandbox, alias, request_id, validate_only } = request;
    let sandbox = reference_in(&mut fields, "sandbox", &sandbox);
    let alias = fields.required("alias", &alias);
    let intent = sandbox.zip(alias).map(|(sandbox, alias)| RemoveLink { sandbox, alias });
    let mutation =
        mutation(&mut fields, ("remove_link", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn delete_sandbox(
    request: v1::DeleteSandboxRequest,
) -> Result<Mutation<DeleteSandbox>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::DeleteSandboxRequest { sandbox, force, request_id, validate_only } = request;
    let intent = reference_in(&mut fields, "sandbox", &sandbox)
        .map(|sandbox| DeleteSandbox { sandbox, force });
    let mutation =
        mutation(&mut fields, ("delete_sandbox", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn list_sandboxes(request: v1::ListSandboxesRequest) -> Result<ListSandboxes, Refusal> {
    let mut fields = Fields::default();
    let v1::ListSandboxesRequest { page: wanted, filter: matching } = request;
    let page = page(&mut fields, wanted);
    let filter = filter(&mut fields, matching);
    finish(fields, page.zip(filter).map(|(page, filter)| ListSandboxes { page, filter }))
}

fn sandbox_spec(
    fields: &mut Fields,
    name: Option<&Name>,
    spec: v1::SandboxSpec,
) -> Option<SandboxSpec> {
    let v1::SandboxSpec {
        labels: given,
        namespace,
        hostname,
        domain_name,
        dns: config,
        extra_hosts,
        links,
        environment,
    } = spec;
    let labels = labels(fields, "spec.labels", given);
    let namespace = namespace_spec(fields, namespace);
    let identity = dns::identity(fields, &hostname, &domain_name);
    let config = dns::config(fields, config);
    let extra_hosts = dns::extra_hosts(fields, extra_hosts);
    let links = dns::links(fields, name, links);
    let environment = dns::environment(fields, environment);
    let spec = SandboxSpec {
        namespace: namespace?,
        labels: labels?,
        identity,
        dns: config?,
        extra_hosts: extra_hosts?,
        links: links?,
        environment,
    };
    if spec.namespace == NamespaceSpec::Host {
        without_names(fields, &spec);
    }
    Some(spec)
}

/// What shares the host's namespace uses the host's names, and has none of its own.
fn without_names(fields: &mut Fields, spec: &SandboxSpec) {
    let given = [
        (spec.identity.hostname.is_some(), "spec.hostname"),
        (spec.identity.domain_name.is_some(), "spec.domain_name"),
        (spec.dns != DnsConfig::default(), "spec.dns"),
        (!spec.extra_hosts.is_empty(), "spec.extra_hosts"),
        (!spec.links.is_empty(), "spec.links"),
        (!spec.environment.is_empty(), "spec.environment"),
    ];
    for (_, field) in given.into_iter().filter(|(given, _)| *given) {
        fields.wrong(field, "is not for a sandbox that shares the host's namespace");
    }
}

pub(crate) fn quarantine(
    request: v1::QuarantineSandboxRequest,
) -> Result<Mutation<SetQuarantine>, Refusal> {
    let whole = request.clone();
    let v1::QuarantineSandboxRequest { sandbox, request_id, validate_only } = request;
    set_quarantine(("quarantine_sandbox", &whole), &sandbox, true, (&request_id, validate_only))
}

pub(crate) fn release(
    request: v1::ReleaseSandboxRequest,
) -> Result<Mutation<SetQuarantine>, Refusal> {
    let whole = request.clone();
    let v1::ReleaseSandboxRequest { sandbox, request_id, validate_only } = request;
    set_quarantine(("release_sandbox", &whole), &sandbox, false, (&request_id, validate_only))
}

fn set_quarantine(
    whole: (&str, &impl prost::Message),
    sandbox: &str,
    on: bool,
    (request_id, validate_only): (&str, bool),
) -> Result<Mutation<SetQuarantine>, Refusal> {
    let mut fields = Fields::default();
    let sandbox = reference_in(&mut fields, "sandbox", sandbox);
    let intent = sandbox.map(|sandbox| SetQuarantine { sandbox, on });
    let mutation = mutation(&mut fields, whole, request_id, validate_only, intent);
    finish(fields, mutation)
}

fn namespace_spec(fields: &mut Fields, namespace: Option<Namespace>) -> Option<NamespaceSpec> {
    match namespace {
        None | Some(Namespace::Create(())) => Some(NamespaceSpec::Create),
        Some(Namespace::Host(())) => Some(NamespaceSpec::Host),
        Some(Namespace::Path(path)) => {
            fields.take("spec.path", absolute(&path)).map(NamespaceSpec::Path)
        }
        Some(Namespace::Pid(pid)) if pid > 0 && i32::try_from(pid).is_ok() => {
            Some(NamespaceSpec::Pid(pid))
        }
        Some(Namespace::Pid(pid)) => {
            fields.wrong("spec.pid", format!("{pid} is not the id of a process"));
            None
        }
    }
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let climbs = path.components().any(|part| matches!(part, Component::ParentDir));
    if !path.is_absolute() || climbs || text.contains('\0') || text.len() > PATH_MAX {
        return Err("must be an absolute path without `..`".to_owned());
    }
    Ok(path)
}

/// A sandbox as the API shows it.
pub(crate) fn sandbox(facts: SandboxFacts) -> v1::Sandbox {
    let SandboxFacts { sandbox, endpoints, files, links } = facts;
    let links = links.into_iter().map(|link| dns::status_out(&sandbox.name, link)).collect();
    v1::Sandbox {
        uid: sandbox.id.to_string(),
        name: sandbox.name.to_string(),
        revision: sandbox.revision,
        create_time: Some(timestamp(sandbox.created)),
        spec: Some(spec_out(sandbox.spec)),
        netns_path: sandbox.path.to_string_lossy().into_owned(),
        endpoints,
        files_path: files.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        links,
        quarantined: sandbox.quarantined,
        netns_identity: sandbox
            .identity
            .map(|NamespaceIdentity { cookie, inode }| v1::NamespaceIdentity { cookie, inode }),
    }
}

fn spec_out(spec: SandboxSpec) -> v1::SandboxSpec {
    let SandboxSpec { namespace, labels, identity, dns: config, extra_hosts, links, environment } =
        spec;
    let namespace = match namespace {
        NamespaceSpec::Create => Namespace::Create(()),
        NamespaceSpec::Host => Namespace::Host(()),
        NamespaceSpec::Path(path) => Namespace::Path(path.to_string_lossy().into_owned()),
        NamespaceSpec::Pid(pid) => Namespace::Pid(pid),
    };
    let text = |name: Option<DnsName>| name.map(String::from).unwrap_or_default();
    v1::SandboxSpec {
        namespace: Some(namespace),
        labels: labels.into_iter().collect(),
        hostname: text(identity.hostname),
        domain_name: text(identity.domain_name),
        dns: (config != DnsConfig::default()).then(|| dns::config_out(config)),
        extra_hosts: extra_hosts.into_iter().map(dns::extra_host_out).collect(),
        links: dns::links_out(links),
        environment,
    }
}
