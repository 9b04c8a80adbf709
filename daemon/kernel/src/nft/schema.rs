//! The sets and maps of the two tables: one list, from which the base ruleset is made
//! and against which elements are encoded, dumped and checked.

use netlink_packet_netfilter::NetfilterProtoFamily;
use nftables::types::NfFamily;
use postern_model::network::Family;

/// The name of all our tables.
pub const TABLE: &str = "postern";

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// Routed packets, and bridged ones where the bridge asks for it.
    Inet,
    /// Frames as they come from a port.
    Bridge,
    /// In a sandbox's namespace: the way to its resolver.
    Sandbox,
}

impl Table {
    /// Those of the host's namespace.
    pub(super) const ALL: [Self; 2] = [Self::Inet, Self::Bridge];

    /// The family as netlink has it.
    pub(super) const fn protocol(self) -> NetfilterProtoFamily {
        match self {
            Self::Inet => NetfilterProtoFamily::Inet,
            Self::Bridge => NetfilterProtoFamily::Bridge,
            Self::Sandbox => NetfilterProtoFamily::IPv4,
        }
    }

    /// The family as the ruleset has it.
    pub(super) const fn family(self) -> NfFamily {
        match self {
            Self::Inet => NfFamily::INet,
            Self::Bridge => NfFamily::Bridge,
            Self::Sandbox => NfFamily::IP,
        }
    }
}

/// What a field of a key or a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// An IPv4 address.
    V4,
    /// An IPv6 address.
    V6,
    /// A MAC.
    Mac,
    /// An IP protocol.
    Protocol,
    /// A port, or an ICMP type with its code.
    Port,
    /// The name of a link.
    Link,
    /// An identity of policies.
    Identity,
    /// What to do with the packet; only as a value.
    Verdict,
}

/// A set, or a map where it has values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SetSpec {
    pub(super) table: Table,
    pub(super) name: &'static str,
    pub(super) key: &'static [Field],
    /// Empty: a set.
    pub(super) value: &'static [Field],
    pub(super) kind: Kind,
    /// Each element counts the packets that came upon it.
    pub(super) counted: bool,
}

/// What a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Elements of the model, in a hash.
    Elements,
    /// Elements of the model, each a range of one field: an ordered tree in which every
    /// range is two entries, one where it begins and one past its end.
    Spans,
    /// Elements of the model, whose last field is a range.
    Ranges,
    /// Elements of the model, in a hash, that the kernel forgets by itself.
    Timed,
    /// Prefixes; only the fences.
    Prefixes,
}

use Field::{Identity, Link as IF, Mac as MAC, Port as PORT, Protocol as PROTO, V4, V6, Verdict};

const fn set(table: Table, name: &'static str, key: &'static [Field]) -> SetSpec {
    SetSpec { table, name, key, value: &[], kind: Kind::Elements, counted: false }
}

const fn map(name: &'static str, key: &'static [Field], value: &'static [Field]) -> SetSpec {
    SetSpec { table: Table::Inet, name, key, value, kind: Kind::Elements, counted: false }
}

const fn fence(name: &'static str, key: &'static [Field]) -> SetSpec {
    SetSpec { table: Table::Inet, name, key, value: &[], kind: Kind::Prefixes, counted: false }
}

const fn spans(name: &'static str, key: &'static [Field]) -> SetSpec {
    SetSpec { table: Table::Inet, name, key, value: &[Identity], kind: Kind::Spans, counted: false }
}

/// What policies decide.
const fn decisions(name: &'static str, key: &'static [Field]) -> SetSpec {
    SetSpec { counted: true, ..map(name, key, &[Verdict]) }
}

const fn ranges(name: &'static str, key: &'static [Field]) -> SetSpec {
    SetSpec { kind: Kind::Ranges, ..decisions(name, key) }
}

/// Whom policies isolate.
const fn isolated(name: &'static str, key: &'static [Field]) -> SetSpec {
    SetSpec { counted: true, ..set(Table::Inet, name, key) }
}

const fn from_set(name: &'static str, key: &'static [Field]) -> SetSpec {
    SetSpec { kind: Kind::Ranges, ..set(Table::Inet, name, key) }
}

const fn timed(name: &'static str, key: &'static [Field]) -> SetSpec {
    SetSpec { table: Table::Inet, name, key, value: &[Identity], kind: Kind::Timed, counted: false }
}

const FENCE4: SetSpec = fence("fence4", &[V4]);
const FENCE6: SetSpec = fence("fence6", &[V6]);

/// Every set and map.
///
/// `bridges` and `neighbours` hold pairs of one name with itself: no rule can compare
/// the two interfaces of a packet, but `iifname . oifname` is in such a set only if they
/// are equal, and `iifname . iifname` asks for the one alone.
pub(super) const SETS: [SetSpec; 73] = [
    set(Table::Inet, "bridges", &[IF, IF]),
    set(Table::Inet, "neighbours", &[IF, IF]),
    set(Table::Inet, "open", &[IF]),
    set(Table::Inet, "internal", &[IF]),
    set(Table::Inet, "direct", &[IF]),
    set(Table::Inet, "masquerade4", &[IF]),
    set(Table::Inet, "masquerade6", &[IF]),
    set(Table::Inet, "endpoint4", &[V4, IF]),
    set(Table::Inet, "endpoint6", &[V6, IF]),
    // A VNI and the zeros after it are as long as an IPv4 address, and no type of `nft`'s.
    set(Table::Inet, "tunnels", &[V4]),
    set(Table::Inet, "tunnel-from4", &[V4, V4]),
    set(Table::Inet, "tunnel-from6", &[V6, V4]),
    set(Table::Inet, "remote4", &[V4, IF]),
    set(Table::Inet, "remote6", &[V6, IF]),
    set(Table::Inet, "off-gateway4", &[V4]),
    set(Table::Inet, "off-gateway6", &[V6]),
    set(Table::Inet, "link4", &[V4, V4, PROTO, PORT]),
    set(Table::Inet, "link6", &[V6, V6, PROTO, PORT]),
    map("snat4", &[IF], &[V4]),
    map("snat6", &[IF], &[V6]),
    map("publish4", &[V4, PROTO, PORT], &[V4, PORT]),
    map("publish6", &[V6, PROTO, PORT], &[V6, PORT]),
    map("publish4-any", &[PROTO, PORT], &[V4, PORT]),
    map("publish6-any", &[PROTO, PORT], &[V6, PORT]),
    map("identity4", &[V4], &[Identity]),
    spans("prefix4", &[V4]),
    set(Table::Inet, "policed-in4", &[V4]),
    isolated("isolated-in4", &[V4]),
    decisions("in4-peer-one", &[V4, Identity, PROTO, PORT]),
    ranges("in4-peer-range", &[V4, Identity, PROTO, PORT]),
    decisions("in4-peer", &[V4, Identity]),
    decisions("in4-one", &[V4, PROTO, PORT]),
    ranges("in4-range", &[V4, PROTO, PORT]),
    decisions("in4", &[V4]),
    set(Table::Inet, "policed-out4", &[V4]),
    isolated("isolated-out4", &[V4]),
    decisions("out4-peer-one", &[V4, Identity, PROTO, PORT]),
    ranges("out4-peer-range", &[V4, Identity, PROTO, PORT]),
    decisions("out4-peer", &[V4, Identity]),
    decisions("out4-one", &[V4, PROTO, PORT]),
    ranges("out4-range", &[V4, PROTO, PORT]),
    decisions("out4", &[V4]),
    timed("named4", &[V4, V4]),
    timed("named6", &[V6, V6]),
    map("identity6", &[V6], &[Identity]),
    spans("prefix6", &[V6]),
    set(Table::Inet, "policed-in6", &[V6]),
    isolated("isolated-in6", &[V6]),
    decisions("in6-peer-one", &[V6, Identity, PROTO, PORT]),
    ranges("in6-peer-range", &[V6, Identity, PROTO, PORT]),
    decisions("in6-peer", &[V6, Identity]),
    decisions("in6-one", &[V6, PROTO, PORT]),
    ranges("in6-range", &[V6, PROTO, PORT]),
    decisions("in6", &[V6]),
    set(Table::Inet, "policed-out6", &[V6]),
    isolated("isolated-out6", &[V6]),
    decisions("out6-peer-one", &[V6, Identity, PROTO, PORT]),
    ranges("out6-peer-range", &[V6, Identity, PROTO, PORT]),
    decisions("out6-peer", &[V6, Identity]),
    decisions("out6-one", &[V6, PROTO, PORT]),
    ranges("out6-range", &[V6, PROTO, PORT]),
    decisions("out6", &[V6]),
    set(Table::Inet, "restricted4", &[V4, PROTO, PORT]),
    set(Table::Inet, "restricted6", &[V6, PROTO, PORT]),
    from_set("allow-from4", &[V4, PROTO, PORT, V4]),
    from_set("allow-from6", &[V6, PROTO, PORT, V6]),
    FENCE4,
    FENCE6,
    set(Table::Bridge, "port", &[IF]),
    set(Table::Bridge, "quarantine", &[IF]),
    set(Table::Bridge, "port-mac", &[IF, MAC]),
    set(Table::Bridge, "guard4", &[IF, MAC, V4]),
    set(Table::Bridge, "guard6", &[IF, MAC, V6]),
];

impl SetSpec {
    /// The set of a name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        SETS.iter().find(|set| set.name == name)
    }

    /// The set that, with every address in it, shuts a family's foreign forwarding.
    pub(super) const fn fence(family: Family) -> &'static Self {
        match family {
            Family::V4 => &FENCE4,
            Family::V6 => &FENCE6,
        }
    }

    pub(super) const fn is_map(&self) -> bool {
        !self.value.is_empty()
    }

    /// Whether it holds elements of the model that stay until they are removed.
    pub(super) const fn has_elements(&self) -> bool {
        !matches!(self.kind, Kind::Prefixes | Kind::Timed)
    }
}
