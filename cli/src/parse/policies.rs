//! Files of policies: YAML or JSON, in the form of the API or as Kubernetes has them.

use postern_proto::v1::ApplyPolicyRequest;
use serde_json::Value;

use super::{kubernetes, messages};

/// Why a file is not one of policies.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidDocument {
    /// It is no YAML.
    #[error("is neither YAML nor JSON: {0}")]
    Syntax(String),
    /// There is nothing in it.
    #[error("has no document")]
    Empty,
    /// A document is not a policy.
    #[error("document {number}: {why}")]
    Policy {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// The requests that a file's documents make.
///
/// # Errors
/// The first document that is none.
pub(crate) fn documents(text: &str) -> Result<Vec<ApplyPolicyRequest>, InvalidDocument> {
    // YAML 1.2, in which `y`, `no` and `on` are words: labels have them as values.
    let options = serde_saphyr::options! { strict_booleans: true };
    let all: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| InvalidDocument::Syntax(error.to_string()))?;
    let all: Vec<Value> = all.into_iter().filter(|document| !document.is_null()).collect();
    if all.is_empty() {
        return Err(InvalidDocument::Empty);
    }
    let parsed = all.into_iter().zip(1..).map(|(document, number)| {
        request(document).map_err(|why| InvalidDocument::Policy { number, why })
    });
    parsed.collect()
}

fn request(document: Value) -> Result<ApplyPolicyRequest, String> {
    let kind = document.get("kind").and_then(Value::as_str);
    match (document.get("apiVersion").and_then(Value::as_str), kind) {
        (None, None) => own(document),
        (Some("networking.k8s.io/v1"), Some("NetworkPolicy")) => kubernetes::policy(document),
        (version, kind) => {
            let (version, kind) = (version.unwrap_or("?"), kind.unwrap_or("?"));
            Err(format!(
                "{version} {kind} is not known here; networking.k8s.io/v1 NetworkPolicy is"
            ))
        }
    }
}

fn own(document: Value) -> Result<ApplyPolicyRequest, String> {
    let request: ApplyPolicyRequest = messages::message(document)?;
    if request.validate_only || !request.request_id.is_empty() {
        return Err("requestId and validateOnly are flags of the command line".to_owned());
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use postern_proto::v1::policy_peer::Kind;

    use super::*;

    const OWN: &str = "
name: db
spec:
  tier: TIER_ADMIN
  log: true
  subject: {endpoints: {matchLabels: {app: db}}}
  ingress:
    - peers: [{selector: {endpoints: {matchLabels: {app: web}}}}, {entity: ENTITY_HOST}]
      ports: [{port: 5432}]
";

    #[test]
    fn the_form_of_the_api() {
        let [request] = &documents(OWN).unwrap()[..] else { panic!("one document") };
        let spec = request.spec.as_ref().unwrap();
        assert_eq!((request.name.as_str(), spec.tier), ("db", 1));
        assert!(spec.log);
        assert_eq!(spec.ingress[0].ports[0].port, 5432);
        assert_eq!(spec.ingress[0].peers[1].kind, Some(Kind::Entity(1)));
        let words = OWN.replace("app: web", "app: y");
        assert!(documents(&words).is_ok(), "a word is no boolean");
        assert_eq!(documents(r#"{"name": "x", "spec": {}}"#).unwrap()[0].name, "x");
    }

    #[test]
    fn several_documents_and_empty_ones() {
        let text = format!("---\n{OWN}\n---\n---\nname: two\n");
        let names: Vec<_> = documents(&text).unwrap().into_iter().map(|r| r.name).collect();
        assert_eq!(names, ["db", "two"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("", "no document"),
            ("a: [", "neither YAML nor JSON"),
            ("name: x\nspecc: {}", "specc"),
            ("name: x\nspec: {tier: TIER_X}", "TIER_X"),
            ("name: x\nvalidateOnly: true", "flags of the command line"),
            ("apiVersion: v1\nkind: Pod", "v1 Pod is not known"),
            ("name: x\n---\nname: [1]", "document 2"),
        ] {
            let error = documents(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }
}
