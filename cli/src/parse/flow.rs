//! A flow as people type it: two ends and `tcp/5432`.

use std::net::IpAddr;
use std::str::FromStr;

use postern_proto::v1::flow_end::Kind;
use postern_proto::v1::policy_port::Protocol;
use postern_proto::v1::{Entity, FlowEnd, IcmpType, PolicyPort};

/// What is no flow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidFlow {
    /// It is no protocol with a port or type.
    #[error("`{0}` is not of the form tcp/5432, udp/dns, icmp or icmpv6/128")]
    What(String),
}

/// An end: `host`, `world`, an address, or a name. A name is of a sandbox, or with `endpoint/` in
/// front of an endpoint; one with a dot is of an endpoint, as `web.blue` is.
pub(crate) fn end(text: &str) -> FlowEnd {
    let kind = match text {
        "host" => Kind::Entity(Entity::Host.into()),
        "world" => Kind::Entity(Entity::World.into()),
        text => match (text.split_once('/'), IpAddr::from_str(text)) {
            (Some(("endpoint", name)), _) => Kind::Endpoint(name.to_owned()),
            (Some(("sandbox", name)), _) => Kind::Sandbox(name.to_owned()),
            (_, Ok(_)) => Kind::Address(text.to_owned()),
            _ if text.contains('.') => Kind::Endpoint(text.to_owned()),
            _ => Kind::Sandbox(text.to_owned()),
        },
    };
    FlowEnd { kind: Some(kind) }
}

/// What is used: a protocol and a port by number or name, or an ICMP type.
///
/// # Errors
/// The text is of another form.
pub(crate) fn what(text: &str) -> Result<PolicyPort, InvalidFlow> {
    let invalid = || InvalidFlow::What(text.to_owned());
    let (protocol, rest) = match text.split_once('/') {
        Some((protocol, rest)) if !rest.is_empty() => (protocol, Some(rest)),
        Some(_) => return Err(invalid()),
        None => (text, None),
    };
    let transport = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        icmp @ ("icmp" | "icmpv6") => return icmp_type(icmp == "icmpv6", rest).ok_or_else(invalid),
        _ => return Err(invalid()),
    };
    let rest = rest.ok_or_else(invalid)?;
    let whole = PolicyPort { protocol: transport.into(), ..PolicyPort::default() };
    match rest.parse::<u16>() {
        Ok(port) if port > 0 => Ok(PolicyPort { port: port.into(), ..whole }),
        Ok(_) => Err(invalid()),
        Err(_) if rest.bytes().all(|b| b.is_ascii_digit()) => Err(invalid()),
        Err(_) => Ok(PolicyPort { name: rest.to_owned(), ..whole }),
    }
}

/// Without a type an echo request.
fn icmp_type(ipv6: bool, rest: Option<&str>) -> Option<PolicyPort> {
    let echo = if ipv6 { 128 } else { 8 };
    let kind = rest.map_or(Some(echo), |rest| rest.parse::<u8>().ok())?;
    let icmp = IcmpType { ipv6, r#type: kind.into(), code: Some(0) };
    Some(PolicyPort { protocol: Protocol::Icmp.into(), icmp: Some(icmp), ..PolicyPort::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        for (text, kind) in [
            ("host", Kind::Entity(1)),
            ("world", Kind::Entity(2)),
            ("10.0.0.1", Kind::Address("10.0.0.1".into())),
            ("fd00::1", Kind::Address("fd00::1".into())),
            ("web", Kind::Sandbox("web".into())),
            ("web.blue", Kind::Endpoint("web.blue".into())),
            ("endpoint/web", Kind::Endpoint("web".into())),
            ("sandbox/a.b", Kind::Sandbox("a.b".into())),
        ] {
            assert_eq!(end(text).kind, Some(kind), "{text}");
        }
    }

    #[test]
    fn what_is_used() {
        let port = what("tcp/5432").unwrap();
        assert_eq!((port.protocol, port.port), (Protocol::Tcp.into(), 5432));
        assert_eq!(what("UDP/dns").unwrap().name, "dns");
        assert_eq!(what("icmp").unwrap().icmp.unwrap().r#type, 8);
        assert!(what("icmpv6/135").unwrap().icmp.unwrap().ipv6);
        for bad in ["", "tcp", "tcp/", "tcp/0", "tcp/70000", "gre/1", "icmp/x", "5432"] {
            assert!(what(bad).is_err(), "{bad}");
        }
    }
}
