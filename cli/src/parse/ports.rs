//! Docker's shorthand of ports: `-p` and `--expose`.

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;
use postern_proto::v1::{ExposedPort, Protocol, PublishedPort};

/// Why a text is not a port specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidPort {
    /// Not a number from 1 to 65535.
    #[error("`{0}` is not a port from 1 to 65535")]
    Number(String),
    /// The end lies before the beginning.
    #[error("the range `{0}` is reversed")]
    Reversed(String),
    /// Neither tcp, udp nor sctp.
    #[error("`{0}` is not a protocol: use tcp, udp or sctp")]
    Protocol(String),
    /// Nothing where the container's port should be.
    #[error("no container port is given")]
    NoContainerPort,
    /// Nothing where the host's port should be, as an unset variable leaves it.
    #[error("no host port is given; for a free one write only the container port")]
    NoHostPort,
    /// Not an address.
    #[error("`{0}` is not an IP address")]
    HostIp(String),
    /// Not a prefix.
    #[error("`{0}` is not a prefix of the form 10.0.0.0/8")]
    Prefix(String),
    /// An IPv6 address that cannot be told from the ports behind it.
    #[error("an IPv6 address must stand in brackets: `[::]:8080:80`")]
    Brackets,
    /// Ranges that cannot be paired.
    #[error("the host's ports `{host}` and the container's `{container}` differ in number")]
    Lengths {
        /// The host's part.
        host: String,
        /// The container's part.
        container: String,
    },
}

/// First and last port; equal for a single one.
type Ports = (u32, u32);

/// Reads `[[ip]:[host[-host]]:]container[-container][/protocol][@prefix[,prefix]]`.
///
/// A single container port with a range of host ports takes the first free one of it; a
/// host port that is absent or 0 is chosen by the daemon.
///
/// # Errors
/// The text is not of that form; the error says which part.
pub(crate) fn published(text: &str) -> Result<PublishedPort, InvalidPort> {
    let (text, allow_from) = match text.split_once('@') {
        Some((text, from)) => (text, prefixes(from)?),
        None => (text, Vec::new()),
    };
    let (text, protocol) = protocol(text)?;
    let (host, container_text) = match text.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, text),
    };
    if container_text.is_empty() {
        return Err(InvalidPort::NoContainerPort);
    }
    if host == Some("") {
        return Err(InvalidPort::NoHostPort);
    }
    let container = range(container_text)?;
    let (host_ip, host_text) = host_parts(host.unwrap_or_default())?;
    let host = match host_text {
        "" | "0" => (0, 0),
        ports => range(ports)?,
    };
    let single = container.0 == container.1;
    if host.0 != 0 && !single && host.1 - host.0 != container.1 - container.0 {
        return Err(InvalidPort::Lengths {
            host: host_text.to_owned(),
            container: container_text.to_owned(),
        });
    }
    Ok(PublishedPort {
        protocol: protocol.into(),
        host_ip,
        host_port: host.0,
        host_port_end: end(host),
        container_port: container.0,
        container_port_end: end(container),
        allow_from,
    })
}

/// Whom a port is for.
fn prefixes(text: &str) -> Result<Vec<String>, InvalidPort> {
    let parsed = text.split(',').map(|one| match one.parse::<IpNetwork>() {
        Ok(_) if one.contains('/') => Ok(one.to_owned()),
        _ => Err(InvalidPort::Prefix(one.to_owned())),
    });
    parsed.collect()
}

/// Reads `port[-port][/protocol]`.
///
/// # Errors
/// The text is not of that form; the error says which part.
pub(crate) fn exposed(text: &str) -> Result<ExposedPort, InvalidPort> {
    let (ports, protocol) = protocol(text)?;
    let ports = range(ports)?;
    Ok(ExposedPort {
        protocol: protocol.into(),
        port: ports.0,
        port_end: end(ports),
        name: String::new(),
    })
}

/// Splits off the protocol; TCP where there is none.
fn protocol(text: &str) -> Result<(&str, Protocol), InvalidPort> {
    let Some((rest, name)) = text.split_once('/') else { return Ok((text, Protocol::Tcp)) };
    let protocol = match name.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(InvalidPort::Protocol(name.to_owned())),
    };
    Ok((rest, protocol))
}

/// Splits `[ip:]ports` as it stands before the container's part.
fn host_parts(host: &str) -> Result<(String, &str), InvalidPort> {
    if let Some(rest) = host.strip_prefix('[') {
        let (ip, ports) = rest.split_once("]:").ok_or(InvalidPort::Brackets)?;
        let ip: Ipv6Addr = ip.parse().map_err(|_| InvalidPort::HostIp(ip.to_owned()))?;
        return Ok((ip.to_string(), ports));
    }
    match host.split_once(':') {
        None => Ok((String::new(), host)),
        Some((_, rest)) if rest.contains(':') => Err(InvalidPort::Brackets),
        Some((ip, ports)) => {
            let ip: IpAddr = ip.parse().map_err(|_| InvalidPort::HostIp(ip.to_owned()))?;
            Ok((ip.to_string(), ports))
        }
    }
}

/// Reads `port` or `first-last`.
fn range(text: &str) -> Result<Ports, InvalidPort> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(InvalidPort::Reversed(text.to_owned()));
    }
    Ok((first, last))
}

fn number(text: &str) -> Result<u32, InvalidPort> {
    // `u16::from_str` takes a plus sign, a port has none.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port.into()),
        _ => Err(InvalidPort::Number(text.to_owned())),
    }
}

/// The end as the API has it: 0 for a single port.
fn end((first, last): Ports) -> u32 {
    if first == last { 0 } else { last }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn port(ip: &str, host: Ports, container: Ports, protocol: Protocol) -> PublishedPort {
        PublishedPort {
            protocol: protocol.into(),
            host_ip: ip.to_owned(),
            host_port: host.0,
            host_port_end: host.1,
            container_port: container.0,
            container_port_end: container.1,
            allow_from: Vec::new(),
        }
    }

    #[test]
    fn every_form_of_publish() {
        use Protocol::{Sctp, Tcp, Udp};
        let cases = [
            ("80", port("", (0, 0), (80, 0), Tcp)),
            ("80/udp", port("", (0, 0), (80, 0), Udp)),
            ("8080:80", port("", (8080, 0), (80, 0), Tcp)),
            ("0:80", port("", (0, 0), (80, 0), Tcp)),
            ("127.0.0.1:8080:80/TCP", port("127.0.0.1", (8080, 0), (80, 0), Tcp)),
            ("127.0.0.1::80", port("127.0.0.1", (0, 0), (80, 0), Tcp)),
            ("[::]:8080:80/sctp", port("::", (8080, 0), (80, 0), Sctp)),
            ("[2001:db8::1]::80", port("2001:db8::1", (0, 0), (80, 0), Tcp)),
            ("8000-8003:80-83", port("", (8000, 8003), (80, 83), Tcp)),
            ("8000-8003:80", port("", (8000, 8003), (80, 0), Tcp)),
            ("192.0.2.1:8000-8003:80/udp", port("192.0.2.1", (8000, 8003), (80, 0), Udp)),
            ("80-83", port("", (0, 0), (80, 83), Tcp)),
            ("9000-9000:80-80", port("", (9000, 0), (80, 0), Tcp)),
        ];
        for (text, expected) in cases {
            assert_eq!(published(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        let lengths = |host: &str, container: &str| InvalidPort::Lengths {
            host: host.to_owned(),
            container: container.to_owned(),
        };
        let cases = [
            ("", InvalidPort::NoContainerPort),
            ("8080:", InvalidPort::NoContainerPort),
            (":80", InvalidPort::NoHostPort),
            ("/tcp", InvalidPort::NoContainerPort),
            ("0", InvalidPort::Number("0".into())),
            ("65536", InvalidPort::Number("65536".into())),
            ("+80", InvalidPort::Number("+80".into())),
            ("http", InvalidPort::Number("http".into())),
            ("80:-1", InvalidPort::Number(String::new())),
            ("80/icmp", InvalidPort::Protocol("icmp".into())),
            ("80/tcp/udp", InvalidPort::Protocol("tcp/udp".into())),
            ("90-80", InvalidPort::Reversed("90-80".into())),
            ("8000-8003:80-81", lengths("8000-8003", "80-81")),
            ("8000:80-81", lengths("8000", "80-81")),
            ("localhost:80:80", InvalidPort::HostIp("localhost".into())),
            ("[127.0.0.1]:80:80", InvalidPort::HostIp("127.0.0.1".into())),
            ("::1:80:80", InvalidPort::Brackets),
            ("[::1]80:80", InvalidPort::Brackets),
        ];
        for (text, expected) in cases {
            assert_eq!(published(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn every_form_of_expose() {
        let port = |port, port_end, protocol: Protocol| ExposedPort {
            protocol: protocol.into(),
            port,
            port_end,
            name: String::new(),
        };
        assert_eq!(exposed("80"), Ok(port(80, 0, Protocol::Tcp)));
        assert_eq!(exposed("53/udp"), Ok(port(53, 0, Protocol::Udp)));
        assert_eq!(exposed("80-90/sctp"), Ok(port(80, 90, Protocol::Sctp)));
        assert_eq!(exposed("1:80"), Err(InvalidPort::Number("1:80".into())));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[0-9a-z:./\\[\\]-]{0,24}") {
            if let Ok(port) = published(&text) {
                prop_assert!((1..=65535).contains(&port.container_port));
                prop_assert!(port.host_port_end == 0 || port.host_port_end > port.host_port);
            }
        }

        #[test]
        fn equal_ranges_pair(host in 1u32..60000, container in 1u32..60000, count in 1u32..5000) {
            let (host_end, container_end) = (host + count, container + count);
            let read = published(&format!("{host}-{host_end}:{container}-{container_end}"));
            let expected = port("", (host, host_end), (container, container_end), Protocol::Tcp);
            prop_assert_eq!(read, Ok(expected));
        }
    }

    #[test]
    fn a_port_for_some_alone() {
        let port = published("8080:80/tcp@10.0.0.0/8,fd00::/8").unwrap();
        assert_eq!((port.host_port, port.container_port), (8080, 80));
        assert_eq!(port.allow_from, ["10.0.0.0/8", "fd00::/8"]);
        for bad in ["80@", "80@10.0.0.1", "80@x/8"] {
            assert!(matches!(published(bad), Err(InvalidPort::Prefix(_))), "{bad}");
        }
    }
}
