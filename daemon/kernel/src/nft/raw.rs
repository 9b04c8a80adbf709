//! The rules that `nft` cannot be asked for.
//!
//! `nft` 1.0.6 does not know the fields, and refuses to look raw bytes up in a set of
//! addresses. So the ruleset declares these chains and jumps to them, and the rules are put
//! there as the kernel has them.
//!
//! - The target of a neighbour advertisement must be an address of the endpoint that sends it,
//!   or that could draw its neighbours' IPv6 traffic to itself, from its own address.
//! - Frames of a network that hosts share come from hosts of which the cluster says that they
//!   have endpoints on it, and from nobody else in the underlay.
//! - What carries these frames is not tracked: each would be a flow that nobody answers, for
//!   rules to look at in full, and the frames' own flows are tracked where they are bridged.

use netlink_packet_netfilter::nftables::{
    DataAttribute, Expressions, Immediate, ListAttribute, Lookup, Meta, MetaKey, NfTablesMessage,
    Payload, Register, RuleAttribute, RuleMessage, Verdict, VerdictAttribute,
};

use super::comment::userdata;
use super::schema::{TABLE, Table};

/// Of neighbour advertisements.
pub(super) const ADVERT: &str = "advert";
/// Of VXLAN (RFC 7348) by IPv4.
pub(super) const TUNNEL4: &str = "tunnel4";
/// Of VXLAN by IPv6.
pub(super) const TUNNEL6: &str = "tunnel6";

/// Of VXLAN that is not to be tracked.
pub(super) const UNTRACKED: &str = "untracked";

const BASE_LINK: u32 = 0;
const BASE_NETWORK: u32 = 1;
const BASE_TRANSPORT: u32 = 2;
/// `NFT_LOOKUP_F_INV`: goes on if the key is not there.
const INVERTED: u32 = 1;
/// `NF_DROP`.
const DROP: u32 = 0;

/// One rule, alone in its chain.
pub(super) struct RawRule {
    pub(super) table: Table,
    pub(super) chain: &'static str,
    pub(super) comment: &'static str,
    expressions: Vec<Expressions>,
}

/// All of them.
pub(super) fn all() -> [RawRule; 4] {
    [
        RawRule {
            table: Table::Bridge,
            chain: ADVERT,
            comment: "advertised address of another",
            // `iifname . ether saddr . icmpv6 taddr != @guard6 drop`
            expressions: vec![
                Expressions::Meta(vec![
                    Meta::Key(MetaKey::Iifname),
                    Meta::DestinationRegister(Register::Reg32_00),
                ]),
                load(BASE_LINK, 6, 6, Register::Reg32_04),
                load(BASE_TRANSPORT, 8, 16, Register::Reg32_06),
                lookup("guard6", Register::Reg32_00, INVERTED),
                drop(),
            ],
        },
        tunnel(TUNNEL4, (12, 4), Register::Reg32_01, "tunnel-from4"),
        tunnel(TUNNEL6, (8, 16), Register::Reg32_04, "tunnel-from6"),
        RawRule {
            table: Table::Inet,
            chain: UNTRACKED,
            comment: "frames of ours on their way",
            // `vxlan vni @tunnels notrack`
            expressions: vec![
                vni(Register::Reg32_00),
                lookup("tunnels", Register::Reg32_00, 0),
                Expressions::Other {
                    expression_type: "notrack".to_owned(),
                    attributes: Vec::new(),
                },
            ],
        },
    ]
}

/// The VNI with the zeros after it, as the header has them: after the UDP header, and the
/// VXLAN header's flags.
fn vni(register: Register) -> Expressions {
    load(BASE_TRANSPORT, 8 + 4, 4, register)
}

/// `vxlan vni @tunnels  ip saddr . vxlan vni != @tunnel-from drop`
fn tunnel(
    chain: &'static str,
    (offset, length): (u32, u32),
    number: Register,
    hosts: &'static str,
) -> RawRule {
    let expressions = vec![
        vni(number),
        lookup("tunnels", number, 0),
        load(BASE_NETWORK, offset, length, Register::Reg32_00),
        lookup(hosts, Register::Reg32_00, INVERTED),
        drop(),
    ];
    let comment = "no host of this network";
    RawRule { table: Table::Inet, chain, comment, expressions }
}

impl RawRule {
    /// Empties the chain.
    pub(super) fn flush(&self) -> NfTablesMessage {
        NfTablesMessage::DeleteRule(RuleMessage { attributes: self.place() })
    }

    /// Puts the rule there.
    pub(super) fn put(self) -> NfTablesMessage {
        let mut attributes = self.place();
        let expressions = self.expressions.into_iter().map(ListAttribute::from).collect();
        attributes.push(RuleAttribute::Expressions(expressions));
        attributes.push(RuleAttribute::UserData(userdata(self.comment)));
        NfTablesMessage::NewRule(RuleMessage { attributes })
    }

    fn place(&self) -> Vec<RuleAttribute> {
        vec![RuleAttribute::Table(TABLE.to_owned()), RuleAttribute::Chain(self.chain.to_owned())]
    }
}

fn lookup(set: &str, key: Register, flags: u32) -> Expressions {
    Expressions::Lookup(vec![
        Lookup::Set(set.to_owned()),
        Lookup::SourceRegister(key),
        Lookup::Flags(flags),
    ])
}

fn drop() -> Expressions {
    let code = VerdictAttribute::Code(Verdict::Other(DROP));
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![code])),
    ])
}

fn load(base: u32, offset: u32, length: u32, register: Register) -> Expressions {
    Expressions::Payload(vec![
        Payload::DestinationRegister(register),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
}
