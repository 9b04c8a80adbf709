//! `key=value`.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Why a text is not a pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidPair {
    /// Nothing before the `=`.
    #[error("the key is empty")]
    NoKey,
    /// No `=`.
    #[error("expected `{0}`")]
    NoValue(&'static str),
    /// Not an address.
    #[error("`{0}` is not an IP address")]
    Address(String),
}

/// A key and its value, as typed.
pub(crate) type Pair = (String, String);

/// Reads `key=value`; `key` alone has the empty value, as with Docker's labels.
///
/// # Errors
/// The key is empty.
pub(crate) fn pair(text: &str) -> Result<Pair, InvalidPair> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err(InvalidPair::NoKey);
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads `name=address`.
///
/// # Errors
/// The name is empty, or no address follows it.
pub(crate) fn address(text: &str) -> Result<(String, IpAddr), InvalidPair> {
    if !text.contains('=') {
        return Err(InvalidPair::NoValue("name=address"));
    }
    let (name, address) = pair(text)?;
    match address.parse() {
        Ok(address) => Ok((name, address)),
        Err(_) => Err(InvalidPair::Address(address)),
    }
}

/// The pairs as a map; the last one of a key wins, as with Docker.
pub(crate) fn map(pairs: &[Pair]) -> BTreeMap<String, String> {
    pairs.iter().cloned().collect()
}

/// Changes `map`: `remove` first, so that a key can be replaced in one go.
pub(crate) fn change(map: &mut BTreeMap<String, String>, add: &[Pair], remove: &[String]) {
    map.retain(|key, _| !remove.contains(key));
    map.extend(add.iter().cloned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        let owned = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(pair("a=b"), owned("a", "b"));
        assert_eq!(pair("a=b=c"), owned("a", "b=c"));
        assert_eq!(pair("a="), owned("a", ""));
        assert_eq!(pair("a"), owned("a", ""));
        assert_eq!(pair("=b"), Err(InvalidPair::NoKey));
        assert_eq!(pair(""), Err(InvalidPair::NoKey));
    }

    #[test]
    fn addresses() {
        assert_eq!(address("nas=10.0.0.9"), Ok(("nas".into(), IpAddr::from([10, 0, 0, 9]))));
        assert_eq!(address("nas"), Err(InvalidPair::NoValue("name=address")));
        assert_eq!(address("nas=x"), Err(InvalidPair::Address("x".into())));
    }

    #[test]
    fn a_key_is_removed_before_others_are_added() {
        let mut labels = map(&[("a".into(), "1".into()), ("b".into(), "2".into())]);
        change(&mut labels, &[("a".into(), "3".into())], &["a".into(), "b".into()]);
        assert_eq!(labels, map(&[("a".into(), "3".into())]));
    }
}
