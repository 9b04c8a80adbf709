//! Drivers.

use postern_model::driver::{DriverInfo, OptionScope};
use postern_model::grant::{Grant, Grants};
use postern_model::intent::{EnableDriver, GrantDriver, InstallDriver, Mutation, RemoveDriver};
use postern_model::refusal::Refusal;
use postern_proto::v1;
use prost::Message;

use super::fields::Fields;
use super::shared::{finish, mutation, reference_in, timestamp};
use crate::backend::{DecisionChange, DriverFacts, DriverOutcome, DriverState};

/// Most grants of a request.
const GRANTS_MAX: usize = 64;
/// `sha256:` and its digits.
const DIGEST_BYTES: usize = 7 + 64;

pub(crate) fn install_driver(
    header: v1::InstallDriverHeader,
    module: Vec<u8>,
) -> Result<Mutation<InstallDriver>, Refusal> {
    let mut fields = Fields::default();
    // The module is a part of what a retry must repeat.
    let whole = v1::InstallDriverHeader { signature: module.clone(), ..header.clone() };
    let v1::InstallDriverHeader {
        grants: granted,
        digest,
        signature,
        upgrade,
        accept_changes,
        request_id,
        validate_only,
    } = header;
    let keep = upgrade && granted.is_empty();
    let granted = grants(&mut fields, "header.grants", granted);
    if accept_changes && !upgrade {
        fields.wrong("header.accept_changes", "only with `upgrade`");
    }
    let signature = match signature.len() {
        0 => None,
        _ => fields.take(
            "header.signature",
            <[u8; 64]>::try_from(signature).map_err(|_| "an Ed25519 signature has 64 bytes"),
        ),
    };
    if !digest.is_empty() && (digest.len() != DIGEST_BYTES || !digest.starts_with("sha256:")) {
        fields.wrong("header.digest", "must be `sha256:` and 64 hexadecimal digits");
    }
    let intent = granted.map(|granted| InstallDriver {
        module,
        grants: (!keep).then_some(granted),
        digest: (!digest.is_empty()).then_some(digest),
        signature,
        upgrade,
        accept_changes,
    });
    let mutation =
        mutation(&mut fields, ("install_driver", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

fn grants(fields: &mut Fields, path: &str, given: Vec<String>) -> Option<Grants> {
    let parsed = fields.all((path, GRANTS_MAX), given, |fields, path, text| {
        let grant: Option<Grant> = fields.required(path, &text);
        grant.map(|grant| grant.to_string())
    })?;
    fields.take(path, Grants::try_from(parsed))
}

pub(crate) fn enable_driver(
    request: v1::EnableDriverRequest,
) -> Result<Mutation<EnableDriver>, Refusal> {
    let whole = request.clone();
    let v1::EnableDriverRequest { driver, request_id } = request;
    set_enabled(&driver, true, ("enable_driver", &whole), &request_id)
}

pub(crate) fn disable_driver(
    request: v1::DisableDriverRequest,
) -> Result<Mutation<EnableDriver>, Refusal> {
    let whole = request.clone();
    let v1::DisableDriverRequest { driver, request_id } = request;
    set_enabled(&driver, false, ("disable_driver", &whole), &request_id)
}

fn set_enabled(
    driver: &str,
    enabled: bool,
    method: (&str, &impl Message),
    request_id: &str,
) -> Result<Mutation<EnableDriver>, Refusal> {
    let mut fields = Fields::default();
    let driver = reference_in(&mut fields, "driver", driver);
    let intent = driver.map(|driver| EnableDriver { driver, enabled });
    let mutation = mutation(&mut fields, method, request_id, false, intent);
    finish(fields, mutation)
}

pub(crate) fn grant_driver(
    request: v1::GrantDriverRequest,
) -> Result<Mutation<GrantDriver>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::GrantDriverRequest { driver, grants: granted, request_id } = request;
    let driver = reference_in(&mut fields, "driver", &driver);
    let granted = grants(&mut fields, "grants", granted);
    let intent = driver.zip(granted).map(|(driver, grants)| GrantDriver { driver, grants });
    let mutation = mutation(&mut fields, ("grant_driver", &whole), &request_id, false, intent);
    finish(fields, mutation)
}

pub(crate) fn remove_driver(
    request: v1::RemoveDriverRequest,
) -> Result<Mutation<RemoveDriver>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::RemoveDriverRequest { driver, request_id } = request;
    let intent = reference_in(&mut fields, "driver", &driver).map(|driver| RemoveDriver { driver });
    let mutation = mutation(&mut fields, ("remove_driver", &whole), &request_id, false, intent);
    finish(fields, mutation)
}

/// The answer to an installation.
pub(crate) fn installed(
    outcome: DriverOutcome,
    plan: Option<v1::Plan>,
) -> v1::InstallDriverResponse {
    let DriverOutcome { driver: facts, missing, changes } = outcome;
    let change = |DecisionChange { object, changes }| v1::DecisionChange { object, changes };
    v1::InstallDriverResponse {
        driver: Some(driver(facts)),
        missing: missing.iter().map(ToString::to_string).collect(),
        changes: changes.into_iter().map(change).collect(),
        plan,
    }
}

/// A driver.
pub(crate) fn driver(facts: DriverFacts) -> v1::Driver {
    let DriverFacts { name, record, info, state, networks, counters } = facts;
    let (state, problem, left) = match state {
        DriverState::Enabled => (v1::DriverState::Enabled, String::new(), None),
        DriverState::Disabled => (v1::DriverState::Disabled, String::new(), None),
        DriverState::Broken { reason } => (v1::DriverState::Broken, reason, None),
        DriverState::Quarantined { left, reason } => {
            (v1::DriverState::Quarantined, reason, left.try_into().ok())
        }
    };
    let mut shown = v1::Driver {
        name,
        state: state.into(),
        problem,
        quarantine: left,
        networks: u32::try_from(networks).unwrap_or(u32::MAX),
        counters: counters.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        built_in: record.is_none(),
        ..info.map(of_module).unwrap_or_default()
    };
    if let Some(record) = record {
        shown.digest = record.digest;
        shown.install_time = Some(timestamp(record.installed));
        shown.revision = record.revision;
        shown.signed_by = record.signed_by.unwrap_or_default();
    }
    shown
}

fn of_module(info: DriverInfo) -> v1::Driver {
    let DriverInfo { manifest, digest, built_in: _, multi_host: _, granted } = info;
    let options = manifest.options.into_iter().map(|option| v1::DriverOption {
        name: option.name,
        scope: match option.scope {
            OptionScope::Network => "network".to_owned(),
            OptionScope::Endpoint => "endpoint".to_owned(),
        },
        help: option.help,
    });
    v1::Driver {
        version: manifest.version,
        summary: manifest.summary,
        digest,
        asks: manifest.capabilities.iter().map(ToString::to_string).collect(),
        granted: granted.into(),
        options: options.collect(),
        addressing: manifest.addressing,
        ..v1::Driver::default()
    }
}
