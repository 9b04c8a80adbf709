//! Label selectors, with the meaning they have in Kubernetes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Labels;

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// There is a label of this key with one of the values.
    In,
    /// There is none, or it has none of the values.
    NotIn,
    /// There is a label of this key.
    Exists,
    /// There is none.
    DoesNotExist,
}

/// One condition on labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How its value is compared.
    pub operator: Operator,
    /// With what; none for [`Operator::Exists`] and [`Operator::DoesNotExist`].
    pub values: Vec<String>,
}

impl Requirement {
    /// Whether labels meet it.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// All of its requirements must be met; one without any selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Selector(pub Vec<Requirement>);

impl Selector {
    /// Whether labels meet every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::In if self.values.len() == 1 => write!(f, "{key}={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("all");
        }
        for (index, requirement) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_mean_what_they_mean_in_kubernetes() {
        let labels: Labels = [("app".to_owned(), "web".to_owned())].into();
        let holds = |key: &str, operator, values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            Selector(vec![Requirement { key: key.to_owned(), operator, values }]).matches(&labels)
        };
        assert!(holds("app", Operator::In, &["db", "web"]) && !holds("app", Operator::In, &["db"]));
        assert!(!holds("tier", Operator::In, &["web"]));
        assert!(holds("app", Operator::NotIn, &["db"]) && holds("tier", Operator::NotIn, &["x"]));
        assert!(!holds("app", Operator::NotIn, &["web"]));
        assert!(holds("app", Operator::Exists, &[]) && !holds("tier", Operator::Exists, &[]));
        assert!(holds("tier", Operator::DoesNotExist, &[]));
        assert!(!holds("app", Operator::DoesNotExist, &[]));
        assert!(Selector::default().matches(&labels));
    }
}
