//! What is odd about a policy, though it can be carried out.

use postern_model::policy::{
    Action, Direction, Mode, Peer, Policy, PolicyPort, Rule, Tier, TransportProtocol,
};
use postern_model::port::Protocol;

use super::class::{Class, is_relative};
use super::compiler::Compiler;
use super::elements;
use super::line::Named;

/// One thing that is odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// What kind of thing.
    pub kind: LintKind,
    /// Where, if it is about one rule.
    pub rule: Option<(Direction, usize)>,
    /// In words.
    pub text: String,
}

/// What kind of thing is odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LintKind {
    /// No joined endpoint is selected.
    SelectsNothing,
    /// An endpoint is selected whose flows pass none of the host's rules.
    NotEnforced,
    /// A peer means nobody.
    UnknownPeer,
    /// A port's name is nobody's.
    UnknownPort,
    /// A rule of the same policy decides before it.
    UnreachableRule,
    /// Another policy decides before it, for everybody it is about.
    ShadowedRule,
    /// It accepts a name server that its subjects cannot ask.
    DnsBlocked,
}

impl Compiler {
    /// What is odd about a policy of this compiler.
    pub fn lint(&self, policy: &Policy) -> Vec<Lint> {
        let mut lints = Vec::new();
        let beyond = self.beyond(policy);
        if !beyond.is_empty() {
            let text = format!(
                "selects {}, whose flows pass none of the host's rules: nothing holds them to it",
                beyond.join(", ")
            );
            lints.push(Lint { kind: LintKind::NotEnforced, rule: None, text });
        } else if self.subjects(policy).is_empty() {
            let text = "selects no joined endpoint".to_owned();
            lints.push(Lint { kind: LintKind::SelectsNothing, rule: None, text });
        }
        for direction in Direction::ALL {
            let rules = policy.spec.rules(direction).unwrap_or_default();
            for (index, rule) in rules.iter().enumerate() {
                let at = Some((direction, index));
                lints.extend(self.unknown_peers(policy, rule).map(|text| Lint {
                    kind: LintKind::UnknownPeer,
                    rule: at,
                    text,
                }));
                lints.extend(self.unknown_ports(policy, direction, rule).map(|text| Lint {
                    kind: LintKind::UnknownPort,
                    rule: at,
                    text,
                }));
                let earlier = rules.iter().take(index).position(|earlier| covers(earlier, rule));
                if let Some(earlier) = earlier.filter(|_| policy.spec.tier != Tier::App) {
                    let text = format!("rule {earlier} decides all that it matches");
                    lints.push(Lint { kind: LintKind::UnreachableRule, rule: at, text });
                }
                lints.extend(self.shadowed(policy, direction, rule).map(|text| Lint {
                    kind: LintKind::ShadowedRule,
                    rule: at,
                    text,
                }));
                lints.extend(self.dns_blocked(policy, direction, rule).map(|text| Lint {
                    kind: LintKind::DnsBlocked,
                    rule: at,
                    text,
                }));
            }
        }
        lints
    }

    /// The names of the endpoints that a policy selects in vain, in order.
    fn beyond(&self, policy: &Policy) -> Vec<String> {
        let selected = self
            .beyond
            .values()
            .filter(|member| member.is_selected(&policy.spec.subject, &self.networks));
        let mut names: Vec<String> = selected.map(|member| format!("`{}`", member.name)).collect();
        names.sort();
        names
    }

    /// Which other policy decides, for every subject, all that a rule matches.
    fn shadowed(&self, policy: &Policy, direction: Direction, rule: &Rule) -> Option<String> {
        let place = self.places.get(&policy.id)?;
        let subjects = &self.policies.get(place)?.subjects;
        let mut earlier = self.policies.range(..place).map(|(_, earlier)| earlier);
        let by = earlier.find(|earlier| {
            let other = &earlier.policy.spec;
            let decides = match (other.tier, policy.spec.tier) {
                // Whoever is isolated is never judged by tier BASELINE.
                (Tier::App, Tier::Baseline) => other.directions.contains(&direction),
                (Tier::App, _) => false,
                (tier, own) => {
                    let mut rules = other.rules(direction).unwrap_or_default().iter();
                    // What is passed on skips its own tier alone.
                    rules.any(|of| covers(of, rule) && (of.action != Action::Pass || tier == own))
                }
            };
            let alone = !subjects.is_empty() && subjects.is_subset(&earlier.subjects);
            decides && alone && other.mode == Mode::Enforce
        })?;
        Some(format!("policy `{}` decides all that it matches", by.policy.name))
    }

    /// Whether a rule accepts a resolver that is closed to some subject, because a policy has
    /// names.
    fn dns_blocked(&self, policy: &Policy, direction: Direction, rule: &Rule) -> Option<String> {
        let dns = |port: &PolicyPort| match port {
            PolicyPort::Ports(Protocol::Tcp | Protocol::Udp, ports) => {
                ports.count() == 1 && elements::RESOLVER_PORTS.contains(&ports.first())
            }
            _ => false,
        };
        let asks = direction == Direction::Egress && rule.action == Action::Accept;
        if !asks || !rule.ports.iter().any(dns) {
            return None;
        }
        let by = self.selected(policy).find_map(|member| {
            let policies = member.policies.iter().filter_map(|place| self.policies.get(place));
            let enforced = policies.filter(|of| of.policy.spec.mode == Mode::Enforce);
            enforced.map(|of| &of.policy).find(|policy| elements::by_name(policy))
        })?;
        Some(format!(
            "policy `{}` has names, so that only the daemon's resolver can be asked",
            by.name
        ))
    }

    fn unknown_peers<'a>(
        &'a self,
        policy: &'a Policy,
        rule: &'a Rule,
    ) -> impl Iterator<Item = String> + 'a {
        let networks = self.networks_of(policy);
        // What a name stands for is known when somebody asks for it.
        let known = rule.peers.iter().filter(|peer| !matches!(peer, Peer::Domain(_)));
        known.filter_map(move |peer| {
            let standing = self.peers.get(peer)?;
            let near = |number| {
                let network = self.identities.class(number).and_then(Class::network);
                !is_relative(peer) || network.is_some_and(|network| networks.contains(&network))
            };
            let anybody = standing.identities.iter().any(|number| near(*number));
            (!anybody).then(|| format!("{peer} means nobody now"))
        })
    }

    fn unknown_ports<'a>(
        &'a self,
        policy: &'a Policy,
        direction: Direction,
        rule: &'a Rule,
    ) -> impl Iterator<Item = String> + 'a {
        rule.ports.iter().filter_map(move |port| {
            let PolicyPort::Named(protocol, name) = port else { return None };
            let served = match direction {
                Direction::Egress => !self.serving(*protocol, name).is_empty(),
                Direction::Ingress => self.selected(policy).any(|member| {
                    member.ports.iter().any(|own| own.0 == *protocol && own.1 == *name)
                }),
            };
            (!served).then(|| format!("no endpoint that it is about serves {port}"))
        })
    }
}

/// Whether a rule matches all that another one does, as far as that can be seen.
fn covers(earlier: &Rule, rule: &Rule) -> bool {
    let peers = earlier.peers.is_empty()
        || !rule.peers.is_empty() && rule.peers.iter().all(|peer| earlier.peers.contains(peer));
    let port = |wanted: &PolicyPort| earlier.ports.iter().any(|port| includes(port, wanted));
    let ports = earlier.ports.is_empty() || !rule.ports.is_empty() && rule.ports.iter().all(port);
    peers && ports
}

fn includes(port: &PolicyPort, wanted: &PolicyPort) -> bool {
    match (port, wanted) {
        _ if port == wanted => true,
        (
            PolicyPort::Whole(TransportProtocol::Ports(whole)),
            PolicyPort::Ports(protocol, _) | PolicyPort::Named(protocol, _),
        ) => whole == protocol,
        (PolicyPort::Whole(TransportProtocol::Icmp), PolicyPort::Icmp(_)) => true,
        (PolicyPort::Ports(a, outer), PolicyPort::Ports(b, inner)) => {
            a == b && outer.first() <= inner.first() && inner.last() <= outer.last()
        }
        _ => false,
    }
}
