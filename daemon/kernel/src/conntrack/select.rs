//! Which flows are meant: by a filter the kernel applies, or by a look at each flow.

use std::net::IpAddr;

use postern_model::network::Family;
use postern_model::plan::Flows;
use postern_model::port::{PortRange, Protocol};

/// The two ends of a flow, whatever was translated in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ends {
    /// Who began it: the source of the original direction.
    pub(super) client: IpAddr,
    /// Who answers: the source of the reply.
    pub(super) server: IpAddr,
    /// The IP protocol.
    pub(super) protocol: u8,
    /// The port that answers, if the protocol has ports.
    pub(super) port: Option<u16>,
    /// Whether the client asked for another address than the one that answers.
    pub(super) translated: bool,
    /// Whether it has answered.
    pub(super) answered: bool,
}

/// What the kernel can be asked to match. All parts that are there must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) family: Family,
    pub(super) client: Option<IpAddr>,
    pub(super) server: Option<IpAddr>,
    pub(super) port: Option<(Protocol, u16)>,
    pub(super) state: State,
}

/// In what state a flow must be to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Any,
    Translated,
    /// And not translated either.
    Unanswered,
}

impl Filter {
    const fn of(family: Family) -> Self {
        Self { family, client: None, server: None, port: None, state: State::Any }
    }
}

/// The kernel's filters that together match exactly these flows; none if it has none:
/// it knows no ranges, and of IPv6 addresses it takes those that differ
/// (seen on Linux 6.18: `ctnetlink_filter_match_tuple` has the comparison the wrong way
/// round), so that a filter would end everybody's flows but the ones that are meant.
pub(super) fn filters(flows: &Flows) -> Option<Vec<Filter>> {
    let filters = match flows {
        Flows::Of(ip) => {
            let none = Filter::of(Family::of(*ip));
            vec![Filter { client: Some(*ip), ..none.clone() }, Filter { server: Some(*ip), ..none }]
        }
        Flows::To { target, protocol, ports } if ports.count() == 1 => vec![Filter {
            server: Some(*target),
            port: Some((*protocol, ports.first())),
            state: State::Translated,
            ..Filter::of(Family::of(*target))
        }],
        Flows::Unanswered { host, protocol, ports } if ports.count() == 1 => vec![Filter {
            server: (!host.is_unspecified()).then_some(*host),
            port: Some((*protocol, ports.first())),
            state: State::Unanswered,
            ..Filter::of(Family::of(*host))
        }],
        Flows::To { .. } | Flows::Unanswered { .. } | Flows::Link { .. } => return None,
    };
    let mistaken = |filter: &Filter| {
        filter.family == Family::V6 && (filter.client.is_some() || filter.server.is_some())
    };
    (!filters.iter().any(mistaken)).then_some(filters)
}

/// The family that the flows are of.
pub(super) const fn family(flows: &Flows) -> Family {
    match flows {
        Flows::Of(ip)
        | Flows::To { target: ip, .. }
        | Flows::Unanswered { host: ip, .. }
        | Flows::Link { to: ip, .. } => Family::of(*ip),
    }
}

/// Whether it takes less time to list all flows than to have the kernel pass through them
/// so often; as measured with 262,144 hash buckets.
pub(super) fn listing_is_cheaper(passes: usize, flows: u32) -> bool {
    let (passes, flows) = (u64::try_from(passes).unwrap_or(u64::MAX), u64::from(flows));
    let pass = 100 + flows / 4;
    let listing = 10_000 + flows * 2;
    passes.saturating_mul(pass) > listing
}

/// Whether a flow is one of these.
pub(super) fn matches(flows: &Flows, ends: &Ends) -> bool {
    let to = |protocol: &Protocol, ports: &PortRange| {
        ends.protocol == protocol.number()
            && ends.port.is_some_and(|port| (ports.first()..=ports.last()).contains(&port))
    };
    match flows {
        Flows::Of(ip) => ends.client == *ip || ends.server == *ip,
        Flows::To { target, protocol, ports } => {
            ends.translated && ends.server == *target && to(protocol, ports)
        }
        Flows::Unanswered { host, protocol, ports } => {
            let there = ends.server == *host
                || (host.is_unspecified() && host.is_ipv4() == ends.server.is_ipv4());
            !ends.translated && !ends.answered && there && to(protocol, ports)
        }
        Flows::Link { from, to: target, protocol, ports } => {
            !ends.translated
                && (ends.client, ends.server) == (*from, *target)
                && to(protocol, ports)
        }
    }
}

#[cfg(test)]
mod tests {
    use postern_model::port::PortRange;
    use proptest::prelude::*;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn ends(client: u8, server: u8) -> Ends {
        Ends {
            client: ip(client),
            server: ip(server),
            protocol: 6,
            port: Some(80),
            translated: true,
            answered: true,
        }
    }

    fn unanswered(host: IpAddr, first: u32, last: u32) -> Flows {
        let ports = PortRange::new(first, last).unwrap();
        Flows::Unanswered { host, protocol: Protocol::Udp, ports }
    }

    fn to(last: u8, first: u32, last_port: u32) -> Flows {
        let ports = PortRange::new(first, last_port).unwrap();
        Flows::To { target: ip(last), protocol: Protocol::Tcp, ports }
    }

    /// What the kernel does with a filter.
    fn applies(filter: &Filter, ends: &Ends) -> bool {
        filter.client.is_none_or(|ip| ip == ends.client)
            && filter.server.is_none_or(|ip| ip == ends.server)
            && filter.port.is_none_or(|(protocol, port)| {
                ends.protocol == protocol.number() && ends.port == Some(port)
            })
            && match filter.state {
                State::Any => true,
                State::Translated => ends.translated,
                State::Unanswered => !ends.translated && !ends.answered,
            }
    }

    #[test]
    fn flows_of_every_kind() {
        assert!(matches(&Flows::Of(ip(1)), &ends(1, 2)));
        assert!(matches(&Flows::Of(ip(2)), &ends(1, 2)));
        assert!(!matches(&Flows::Of(ip(3)), &ends(1, 2)));

        assert!(matches(&to(2, 79, 81), &ends(1, 2)));
        assert!(!matches(&to(2, 81, 82), &ends(1, 2)), "another port");
        assert!(!matches(&to(1, 80, 80), &ends(1, 2)), "the other end");
        assert!(!matches(&to(2, 80, 80), &Ends { translated: false, ..ends(1, 2) }));
        assert!(!matches(&to(2, 80, 80), &Ends { protocol: 17, ..ends(1, 2) }));
        assert!(!matches(&to(2, 80, 80), &Ends { port: None, ..ends(1, 2) }));

        let asked = Ends { translated: false, answered: false, protocol: 17, ..ends(1, 2) };
        let every = IpAddr::from([0, 0, 0, 0]);
        assert!(matches(&unanswered(ip(2), 79, 81), &asked));
        assert!(matches(&unanswered(every, 80, 80), &asked));
        assert!(!matches(&unanswered(ip(1), 80, 80), &asked), "another address");
        assert!(!matches(&unanswered(every, 81, 82), &asked), "another port");
        assert!(!matches(&unanswered("::".parse().unwrap(), 80, 80), &asked), "another family");
        assert!(!matches(&unanswered(every, 80, 80), &Ends { answered: true, ..asked.clone() }));
        assert!(!matches(&unanswered(every, 80, 80), &Ends { translated: true, ..asked }));
    }

    #[test]
    fn few_filters_are_applied_by_the_kernel_many_are_not() {
        for flows in [0, 50_000, u32::MAX] {
            assert!(!listing_is_cheaper(2, flows), "{flows}");
            assert!(listing_is_cheaper(200, flows), "{flows}");
        }
    }

    #[test]
    fn the_kernel_has_no_filter_for_ranges() {
        assert_eq!(filters(&to(1, 1, 2)), None);
    }

    #[test]
    fn of_ipv6_the_kernel_filters_by_port_alone() {
        let (every, one) = ("::".parse().unwrap(), "fd00::1".parse().unwrap());
        assert!(filters(&unanswered(every, 80, 80)).is_some());
        assert_eq!(filters(&unanswered(one, 80, 80)), None);
        assert_eq!(filters(&Flows::Of(one)), None);
    }

    fn flows() -> impl Strategy<Value = Flows> {
        prop_oneof![
            (0..4u8).prop_map(|last| Flows::Of(ip(last))),
            (0..4u8, 79..82u32).prop_map(|(last, port)| to(last, port, port)),
            (0..4u8, 79..82u32).prop_map(|(last, port)| unanswered(ip(last), port, port)),
            (79..82u32).prop_map(|port| unanswered(IpAddr::from([0; 4]), port, port)),
        ]
    }

    proptest! {
        #[test]
        fn filters_match_what_a_look_matches(
            flows in flows(),
            (client, server) in (0..4u8, 0..4u8),
            protocol in prop_oneof![Just(6u8), Just(17)],
            port in prop::option::of(79..82u16),
            (translated, answered) in any::<(bool, bool)>(),
        ) {
            let (client, server) = (ip(client), ip(server));
            let ends = Ends { client, server, protocol, port, translated, answered };
            let Some(filters) = filters(&flows) else {
                prop_assert!(family(&flows) == Family::V6);
                return Ok(());
            };
            let filtered = filters.iter().any(|filter| applies(filter, &ends));
            prop_assert_eq!(filtered, matches(&flows, &ends));
        }
    }
}
