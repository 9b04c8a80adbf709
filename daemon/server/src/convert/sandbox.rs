//! Sandboxes.

use std::path::{Component, PathBuf};

use postern_model::intent::{CreateSandbox, DeleteSandbox, ListSandboxes, Mutation, UpdateSandbox};
use postern_model::name::Name;
use postern_model::refusal::Refusal;
use postern_model::sandbox::{NamespaceSpec, SandboxSpec};
use postern_proto::v1;
use postern_proto::v1::sandbox_spec::Namespace;

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
    let spec = sandbox_spec(&mut fields, spec.unwrap_or_default());
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

fn sandbox_spec(fields: &mut Fields, spec: v1::SandboxSpec) -> Option<SandboxSpec> {
    let v1::SandboxSpec { labels: given, namespace } = spec;
    let labels = labels(fields, "spec.labels", given);
    let namespace = match namespace {
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
    };
    Some(SandboxSpec { namespace: namespace?, labels: labels? })
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
    let SandboxFacts { sandbox, endpoints } = facts;
    let namespace = match sandbox.spec.namespace {
        NamespaceSpec::Create => Namespace::Create(()),
        NamespaceSpec::Host => Namespace::Host(()),
        NamespaceSpec::Path(path) => Namespace::Path(path.to_string_lossy().into_owned()),
        NamespaceSpec::Pid(pid) => Namespace::Pid(pid),
    };
    v1::Sandbox {
        uid: sandbox.id.to_string(),
        name: sandbox.name.to_string(),
        revision: sandbox.revision,
        create_time: Some(timestamp(sandbox.created)),
        spec: Some(v1::SandboxSpec {
            namespace: Some(namespace),
            labels: sandbox.spec.labels.into_iter().collect(),
        }),
        netns_path: sandbox.path.to_string_lossy().into_owned(),
        endpoints,
    }
}
