//! The one rule that `nft` cannot be asked for: the target of a neighbour advertisement
//! must be an address of the endpoint that sends it.
//!
//! `nft` 1.0.6 does not know the field, and refuses to look raw bytes up in a set of
//! addresses. Without the rule an endpoint could draw its neighbours' IPv6 traffic to
//! itself, from its own address. So the ruleset declares the chain and jumps to it, and
//! the rule is put there as the kernel has it.

use netlink_packet_netfilter::nftables::{
    DataAttribute, Expressions, Immediate, ListAttribute, Lookup, Meta, MetaKey, NfTablesMessage,
    Payload, Register, RuleAttribute, RuleMessage, Verdict, VerdictAttribute,
};

use super::comment::userdata;
use super::rules_bridge::ADVERT;
use super::schema::TABLE;

/// The rule's comment.
pub(super) const COMMENT: &str = "advertised address of another";

const SET: &str = "guard6";
const BASE_LINK: u32 = 0;
const BASE_TRANSPORT: u32 = 2;
/// `NFT_LOOKUP_F_INV`: goes on if the key is not there.
const INVERTED: u32 = 1;
/// `NF_DROP`.
const DROP: u32 = 0;

/// Empties the chain.
pub(super) fn flush() -> NfTablesMessage {
    NfTablesMessage::DeleteRule(RuleMessage { attributes: place() })
}

/// Puts the rule there: `iifname . ether saddr . icmpv6 taddr != @guard6 drop`.
pub(super) fn rule() -> NfTablesMessage {
    let expressions = vec![
        Expressions::Meta(vec![
            Meta::Key(MetaKey::Iifname),
            Meta::DestinationRegister(Register::Reg32_00),
        ]),
        load(BASE_LINK, 6, 6, Register::Reg32_04),
        load(BASE_TRANSPORT, 8, 16, Register::Reg32_06),
        Expressions::Lookup(vec![
            Lookup::Set(SET.to_owned()),
            Lookup::SourceRegister(Register::Reg32_00),
            Lookup::Flags(INVERTED),
        ]),
        Expressions::Immediate(vec![
            Immediate::DestinationRegister(Register::Verdict),
            Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(Verdict::Other(
                DROP,
            ))])),
        ]),
    ];
    let mut attributes = place();
    attributes.push(RuleAttribute::Expressions(
        expressions.into_iter().map(ListAttribute::from).collect(),
    ));
    attributes.push(RuleAttribute::UserData(userdata(COMMENT)));
    NfTablesMessage::NewRule(RuleMessage { attributes })
}

fn place() -> Vec<RuleAttribute> {
    vec![RuleAttribute::Table(TABLE.to_owned()), RuleAttribute::Chain(ADVERT.to_owned())]
}

fn load(base: u32, offset: u32, length: u32, register: Register) -> Expressions {
    Expressions::Payload(vec![
        Payload::DestinationRegister(register),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
}
