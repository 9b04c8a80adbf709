//! Messages as proto3 JSON, and other values as JSON.

use std::sync::LazyLock;

use postern_proto::v1;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde::Serialize;
use serde_json::{Value, value::Serializer};

use crate::error::Error;

/// A message whose name in the API is known.
pub(crate) trait Named: Message {
    /// The full name: `postern.v1.Network`.
    const NAME: &'static str;
}

macro_rules! named {
    ($($message:ident),* $(,)?) => {
        $(impl Named for v1::$message {
            const NAME: &'static str = concat!("postern.v1.", stringify!($message));
        })*

        #[cfg(test)]
        const NAMES: &[&str] = &[$(<v1::$message as Named>::NAME),*];
    };
}

named!(
    AddLinkResponse,
    RemoveLinkResponse,
    GetEnvironmentResponse,
    Network,
    Sandbox,
    Endpoint,
    CreateNetworkResponse,
    ListNetworksResponse,
    UpdateNetworkResponse,
    DeleteNetworkResponse,
    PruneNetworksResponse,
    CreateSandboxResponse,
    ListSandboxesResponse,
    UpdateSandboxResponse,
    DeleteSandboxResponse,
    CreateEndpointResponse,
    JoinEndpointResponse,
    LeaveEndpointResponse,
    DeleteEndpointResponse,
    ConnectResponse,
    DisconnectResponse,
    ConnectRequest,
    DisconnectRequest,
    ApplyPolicyRequest,
    ListEndpointsResponse,
    UpdateEndpointResponse,
    Policy,
    Driver,
    InstallDriverResponse,
    ListDriversResponse,
    GrantDriverResponse,
    ExplainResponse,
    QuarantineSandboxResponse,
    ReleaseSandboxResponse,
    GetPolicyCountersResponse,
    ApplyPolicyResponse,
    PolicySpec,
    ListPoliciesResponse,
    DeletePolicyResponse,
    WatchEventsResponse,
    WatchFlowsResponse,
    GetInfoResponse,
    GetDriftResponse,
    ReconcileResponse,
);

/// What the API says of a message.
///
/// # Errors
/// In words: the API's descriptors do not hold it.
pub(crate) fn descriptor<M: Named>() -> Result<MessageDescriptor, String> {
    // Decoded once: that takes longer than a call to the daemon.
    static POOL: LazyLock<Result<DescriptorPool, String>> = LazyLock::new(|| {
        DescriptorPool::decode(postern_proto::FILE_DESCRIPTOR_SET).map_err(|e| e.to_string())
    });
    let pool = POOL.as_ref().map_err(String::clone)?;
    pool.get_message_by_name(M::NAME).ok_or_else(|| format!("the API has no {}", M::NAME))
}

/// The message as one document, indented, without a final newline.
///
/// # Errors
/// See [`value`].
pub(crate) fn pretty<M: Named>(message: &M) -> Result<String, Error> {
    Ok(format!("{:#}", value(message)?))
}

/// A value that is no message of the API, indented, without a final newline.
///
/// # Errors
/// It has no form as JSON.
pub(crate) fn plain(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string_pretty(value).map_err(|error| Error::Json(error.to_string()))
}

/// One array of all messages, indented, without a final newline.
///
/// # Errors
/// See [`value`].
pub(crate) fn array<M: Named>(messages: &[M]) -> Result<String, Error> {
    let values: Result<Vec<_>, _> = messages.iter().map(value).collect();
    Ok(format!("{:#}", Value::Array(values?)))
}

/// The message as proto3 JSON: lowerCamelCase names, 64-bit integers and enumerators as
/// strings. Fields with their default are there, so that programs need not know it;
/// messages and optional fields that are unset are not.
///
/// # Errors
/// The descriptors do not hold the message, or a value has no JSON form (a time after
/// the year 9999).
pub(crate) fn value<M: Named>(message: &M) -> Result<Value, Error> {
    let failed = |why: &dyn ToString| Error::Json(why.to_string());
    let descriptor = descriptor::<M>().map_err(Error::Json)?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .map_err(|e| failed(&e))?;
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut value = dynamic.serialize_with_options(Serializer, &options).map_err(|e| failed(&e))?;
    // Maps come in no order of their own; the same reply shall have the same text.
    value.sort_all_objects();
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_name_is_in_the_descriptors() {
        let pool = DescriptorPool::decode(postern_proto::FILE_DESCRIPTOR_SET).unwrap();
        for name in NAMES {
            assert!(pool.get_message_by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_standard_mapping() {
        let sandbox = v1::Sandbox {
            uid: "u".into(),
            revision: u64::MAX,
            create_time: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            spec: Some(v1::SandboxSpec {
                namespace: Some(v1::sandbox_spec::Namespace::Pid(0)),
                labels: [("b".into(), "2".into()), ("a".into(), "1".into())].into(),
                ..v1::SandboxSpec::default()
            }),
            ..v1::Sandbox::default()
        };
        assert_eq!(
            value(&sandbox).unwrap(),
            json!({
                "uid": "u",
                "name": "",
                "revision": "18446744073709551615",
                "createTime": "1970-01-01T00:00:00Z",
                "spec": {
                    "pid": 0,
                    "labels": { "a": "1", "b": "2" },
                    "hostname": "",
                    "domainName": "",
                    "extraHosts": [],
                    "links": [],
                    "environment": {},
                },
                "netnsPath": "",
                "endpoints": [],
                "filesPath": "",
                "links": [],
                "quarantined": false,
            })
        );
    }

    #[test]
    fn enumerators_are_named_and_unset_messages_absent() {
        let reply = v1::GetDriftResponse {
            steps: vec![v1::PlanStep { action: 4, kind: "flows".into(), object: String::new() }],
            last_repair: None,
        };
        let step = json!({ "action": "ACTION_END_FLOWS", "kind": "flows", "object": "" });
        assert_eq!(value(&reply).unwrap(), json!({ "steps": [step] }));
        assert_eq!(value(&v1::DeleteNetworkResponse::default()).unwrap(), json!({}));
    }

    #[test]
    fn several_stand_in_one_array() {
        assert_eq!(array::<v1::Network>(&[]).unwrap(), "[]");
        let sandboxes = [v1::Sandbox::default(), v1::Sandbox::default()];
        let read: Value = serde_json::from_str(&array(&sandboxes).unwrap()).unwrap();
        assert_eq!(read.as_array().map(Vec::len), Some(2));
    }
}
