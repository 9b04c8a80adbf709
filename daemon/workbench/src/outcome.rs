//! What came of a request, as JSON.

use std::net::IpAddr;

use postern_model::decision::{Desired, EndpointDecision, NetworkDecision};
use postern_planner::admission::Rejection;
use postern_plugin::CallError;
use serde::{Deserialize, Serialize};

/// What a driver keeps: a text where it is one, bytes otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum State {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl State {
    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl From<Vec<u8>> for State {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|e| Self::Bytes(e.into_bytes()), Self::Text)
    }
}

/// Which function of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// What should exist for a network.
    Network,
    /// What should exist for an endpoint.
    Endpoint,
}

impl Function {
    /// Its name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Endpoint => "endpoint",
        }
    }
}

/// What came of a request. An endpoint's has the network's outcome where that is not a
/// decision: the daemon would not have come to ask for the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whose answer it is.
    pub of: Function,
    /// The answer.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// An answer, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// What would be in the kernel.
    Decision(Decision),
    /// The driver says no.
    Fault(Fault),
    /// The daemon does not admit the decision.
    Rejections(Vec<Objection>),
    /// The driver crashed, hit a limit, or answered with something that is no decision.
    Failure(String),
}

/// A decision that was admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The resources.
    pub resources: Vec<Desired>,
    /// An endpoint's offers for default routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<IpAddr>,
    /// What the driver wants to be shown next time.
    #[serde(default, skip_serializing_if = "State::is_empty")]
    pub state: State,
}

/// What a driver says against a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// A field of the request is wrong.
    Invalid {
        /// The field as the API names it.
        field: String,
        /// What is wrong.
        description: String,
    },
    /// The driver cannot do what is asked.
    Unsupported(String),
    /// What is asked contradicts an earlier decision.
    Conflict(String),
    /// The driver is at fault.
    Internal(String),
}

/// What the daemon has against a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objection {
    /// Which resource, as `resources[3]`.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl From<NetworkDecision> for Verdict {
    fn from(decision: NetworkDecision) -> Self {
        Self::Decision(Decision {
            resources: decision.resources,
            gateways: Vec::new(),
            state: decision.state.into(),
        })
    }
}

impl From<EndpointDecision> for Verdict {
    fn from(decision: EndpointDecision) -> Self {
        Self::Decision(Decision {
            resources: decision.resources,
            gateways: decision.gateways,
            state: decision.state.into(),
        })
    }
}

impl From<Vec<Rejection>> for Verdict {
    fn from(rejections: Vec<Rejection>) -> Self {
        let objection = |Rejection { path, reason }| Objection { path, reason };
        Self::Rejections(rejections.into_iter().map(objection).collect())
    }
}

impl From<CallError> for Verdict {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Fault(fault) => Self::Fault(fault.into()),
            other => Self::Failure(other.to_string()),
        }
    }
}

impl From<postern_plugin::Fault> for Fault {
    fn from(fault: postern_plugin::Fault) -> Self {
        use postern_plugin::Fault as Of;
        match fault {
            Of::Invalid { field, description } => Self::Invalid { field, description },
            Of::Unsupported(text) => Self::Unsupported(text),
            Of::Conflict(text) => Self::Conflict(text),
            Of::Internal(text) => Self::Internal(text),
        }
    }
}

impl Verdict {
    /// Whether it is a decision.
    pub const fn is_decision(&self) -> bool {
        matches!(self, Self::Decision(_))
    }

    /// What is against it, one line for each objection.
    pub fn objections(&self) -> Vec<String> {
        match self {
            Self::Decision(_) => Vec::new(),
            Self::Fault(Fault::Invalid { field, description }) => {
                vec![format!("{field}: {description}")]
            }
            Self::Fault(Fault::Unsupported(text)) => vec![format!("unsupported: {text}")],
            Self::Fault(Fault::Conflict(text)) => vec![format!("conflict: {text}")],
            Self::Fault(Fault::Internal(text)) => vec![format!("internal: {text}")],
            Self::Rejections(objections) => {
                objections.iter().map(|o| format!("{}: {}", o.path, o.reason)).collect()
            }
            Self::Failure(text) => vec![text.clone()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(verdict: Verdict) -> String {
        let outcome = Outcome { of: Function::Endpoint, verdict };
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
        text
    }

    #[test]
    fn outcomes_are_read_as_they_are_written() {
        let decision = EndpointDecision {
            gateways: vec!["10.1.0.1".parse().unwrap()],
            state: vec![0xff],
            ..EndpointDecision::default()
        };
        assert_eq!(
            round(decision.into()),
            r#"{"of":"endpoint","decision":{"resources":[],"gateways":["10.1.0.1"],"state":[255]}}"#
        );
        let fault = Fault::Invalid { field: "a".into(), description: "b".into() };
        assert_eq!(
            round(Verdict::Fault(fault)),
            r#"{"of":"endpoint","fault":{"invalid":{"field":"a","description":"b"}}}"#
        );
        let rejection = Rejection { path: "resources[0]".into(), reason: "no".into() };
        assert_eq!(
            round(vec![rejection].into()),
            r#"{"of":"endpoint","rejections":[{"path":"resources[0]","reason":"no"}]}"#
        );
        round(Verdict::Failure("crashed".into()));
    }
}
