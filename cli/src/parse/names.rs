//! Links and hosts, as people type them.

use postern_proto::v1::{ExtraHost, Link};

/// Why a text is not a link or a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidNames {
    /// A part is empty.
    #[error("expected `{0}`")]
    Form(&'static str),
}

/// Reads `SOURCE` or `SOURCE:ALIAS`.
///
/// # Errors
/// A part is empty.
pub(crate) fn link(text: &str) -> Result<Link, InvalidNames> {
    let (source, alias) = text.split_once(':').unwrap_or((text, text));
    if source.is_empty() || alias.is_empty() {
        return Err(InvalidNames::Form("SOURCE[:ALIAS]"));
    }
    Ok(Link { source: source.to_owned(), alias: alias.to_owned() })
}

/// Reads `NAME:ADDRESS` or `NAME=ADDRESS`, an IPv6 address with or without brackets.
///
/// # Errors
/// A part is missing. Whether the address is one is for the daemon to say.
pub(crate) fn host(text: &str) -> Result<ExtraHost, InvalidNames> {
    let form = InvalidNames::Form("NAME:ADDRESS");
    let (name, address) =
        text.split_once('=').or_else(|| text.split_once(':')).ok_or(form.clone())?;
    let inside = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = inside.unwrap_or(address);
    if name.is_empty() || address.is_empty() {
        return Err(form);
    }
    Ok(ExtraHost { name: name.to_owned(), address: address.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let parts = |text: &str| link(text).map(|link| (link.source, link.alias));
        assert_eq!(parts("db:webdb"), Ok(("db".into(), "webdb".into())));
        assert_eq!(parts("db"), Ok(("db".into(), "db".into())));
        for bad in ["", ":", "db:", ":x"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts() {
        let parts = |text: &str| host(text).map(|host| (host.name, host.address));
        for (text, name, address) in [
            ("nas:10.0.0.9", "nas", "10.0.0.9"),
            ("nas=10.0.0.9", "nas", "10.0.0.9"),
            ("nas:[fd00::9]", "nas", "fd00::9"),
            ("nas:fd00::9", "nas", "fd00::9"),
            ("me:host-gateway", "me", "host-gateway"),
        ] {
            assert_eq!(parts(text), Ok((name.into(), address.into())), "{text}");
        }
        for bad in ["", "nas", "nas:", ":10.0.0.9"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }
}
