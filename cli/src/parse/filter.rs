//! `--filter key=value`, with Docker's keys.

use std::time::SystemTime;

use postern_proto::v1::{Filter, ListNetworksRequest, Network, PruneNetworksRequest};

use super::pairs::{Pair, pair};
use super::time;

/// Why a filter is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidFilter {
    /// Not a key of this command.
    #[error("`{key}` is not a filter here: use {known}")]
    Key {
        /// The key given.
        key: String,
        /// The keys there are.
        known: &'static str,
    },
    /// Not a value of its key.
    #[error("filter {key}: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with the value.
        why: String,
    },
}

/// What `network ls` asks the daemon for, and what it leaves out by itself.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct NetworkFilter {
    /// What the daemon filters by.
    pub request: ListNetworksRequest,
    /// `type`: predefined ones only (`builtin`), or none of them (`custom`).
    pub predefined: Option<bool>,
    /// Networks without endpoints only, or with some only.
    pub dangling: Option<bool>,
}

impl NetworkFilter {
    /// Whether `network` passes what the daemon cannot filter by.
    pub(crate) fn passes(&self, network: &Network) -> bool {
        let dangling = !network.predefined && network.endpoint_count == 0;
        self.predefined.is_none_or(|wanted| wanted == network.predefined)
            && self.dangling.is_none_or(|wanted| wanted == dangling)
    }
}

/// Reads the filters of `network ls`.
///
/// # Errors
/// An unknown key, or a value that its key does not take.
pub(crate) fn networks(filters: &[Pair]) -> Result<NetworkFilter, InvalidFilter> {
    let mut read = NetworkFilter::default();
    let mut common = Filter::default();
    for (key, value) in filters {
        match key.as_str() {
            "driver" => once(&mut read.request.driver, value)?,
            "type" => read.predefined = Some(one_of("type", value, "builtin", "custom")?),
            "dangling" => read.dangling = Some(one_of("dangling", value, "true", "false")?),
            _ => add(&mut common, key, value, "name, id, label, driver, type or dangling")?,
        }
    }
    read.request.filter = Some(common);
    Ok(read)
}

/// Reads the filters that every list has.
///
/// # Errors
/// An unknown key.
pub(crate) fn common(filters: &[Pair]) -> Result<Filter, InvalidFilter> {
    let mut read = Filter::default();
    for (key, value) in filters {
        add(&mut read, key, value, "name, id or label")?;
    }
    Ok(read)
}

/// Reads the filters of `network prune`.
///
/// # Errors
/// An unknown key, or a time that is none.
pub(crate) fn prune(
    filters: &[Pair],
    now: SystemTime,
) -> Result<PruneNetworksRequest, InvalidFilter> {
    let mut read = PruneNetworksRequest::default();
    let mut common = Filter::default();
    for (key, value) in filters {
        match key.as_str() {
            "label" => label(&mut common, value)?,
            "until" => {
                let time = time::until(value, now)
                    .map_err(|why| InvalidFilter::Value { key: "until", why })?;
                read.created_before = Some(time);
            }
            _ => return Err(unknown(key, "label or until")),
        }
    }
    read.filter = Some(common);
    Ok(read)
}

fn add(
    filter: &mut Filter,
    key: &str,
    value: &str,
    known: &'static str,
) -> Result<(), InvalidFilter> {
    match key {
        "name" | "id" => filter.names.push(value.to_owned()),
        "label" => label(filter, value)?,
        _ => return Err(unknown(key, known)),
    }
    Ok(())
}

fn label(filter: &mut Filter, value: &str) -> Result<(), InvalidFilter> {
    let (key, value) =
        pair(value).map_err(|why| InvalidFilter::Value { key: "label", why: why.to_string() })?;
    filter.labels.insert(key, value);
    Ok(())
}

fn once(held: &mut String, value: &str) -> Result<(), InvalidFilter> {
    if !held.is_empty() {
        let why = "can be given only once".to_owned();
        return Err(InvalidFilter::Value { key: "driver", why });
    }
    value.clone_into(held);
    Ok(())
}

fn one_of(key: &'static str, value: &str, yes: &str, no: &str) -> Result<bool, InvalidFilter> {
    if value == yes {
        Ok(true)
    } else if value == no {
        Ok(false)
    } else {
        Err(InvalidFilter::Value { key, why: format!("`{value}` is neither {yes} nor {no}") })
    }
}

fn unknown(key: &str, known: &'static str) -> InvalidFilter {
    InvalidFilter::Key { key: key.to_owned(), known }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(texts: &[&str]) -> Vec<Pair> {
        texts.iter().map(|text| pair(text).unwrap()).collect()
    }

    #[test]
    fn networks_filter_by_the_daemon_and_by_themselves() {
        let texts = ["name=a", "id=b", "label=x=1", "label=y", "driver=bridge", "type=custom"];
        let read = networks(&pairs(&texts)).unwrap();
        let filter = read.request.filter.clone().unwrap();
        assert_eq!(filter.names, ["a", "b"]);
        assert_eq!(filter.labels, [("x".into(), "1".into()), ("y".into(), String::new())].into());
        assert_eq!(read.request.driver, "bridge");
        assert!(read.passes(&Network::default()));
        assert!(!read.passes(&Network { predefined: true, ..Network::default() }));
    }

    #[test]
    fn dangling_leaves_out_what_cannot_be_pruned() {
        let read = networks(&pairs(&["dangling=true"])).unwrap();
        assert!(read.passes(&Network::default()));
        assert!(!read.passes(&Network { predefined: true, ..Network::default() }));
        assert!(!read.passes(&Network { endpoint_count: 1, ..Network::default() }));
    }

    #[test]
    fn unknown_keys_and_values_are_refused() {
        for text in ["colour=red", "type=odd", "dangling=maybe", "label==x"] {
            assert!(networks(&pairs(&[text])).is_err(), "{text}");
        }
        assert!(networks(&pairs(&["driver=a", "driver=b"])).is_err());
        assert!(common(&pairs(&["driver=a"])).is_err());
        assert!(prune(&pairs(&["name=a"]), SystemTime::UNIX_EPOCH).is_err());
        assert!(prune(&pairs(&["until=soon"]), SystemTime::UNIX_EPOCH).is_err());
    }

    #[test]
    fn prune_takes_labels_and_a_time() {
        let read = prune(&pairs(&["label=x", "until=100"]), SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(read.created_before.unwrap().seconds, 100);
        assert_eq!(read.filter.unwrap().labels, [("x".into(), String::new())].into());
        assert!(!read.validate_only);
    }
}
