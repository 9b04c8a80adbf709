//! The few expressions and statements the rules are made of, in the words of `nft(8)`.

use std::collections::HashSet;

use nftables::expr::{
    BinaryOperation, CT, Expression, Fib, FibFlag, FibResult, Map, Meta, MetaKey, NamedExpression,
    Payload, PayloadField, Prefix, SetItem,
};
use nftables::stmt::{
    JumpTarget, Limit, Log, Mangle, Match, NAT, NATFamily, Operator, Reject, RejectType, Statement,
    VerdictMap,
};
use postern_model::network::Family;

use crate::flow_log;

pub(super) type Expr = Expression<'static>;
pub(super) type Stmt = Statement<'static>;

pub(super) const fn meta(key: MetaKey) -> Expr {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

pub(super) const fn iifname() -> Expr {
    meta(MetaKey::Iifname)
}

pub(super) const fn oifname() -> Expr {
    meta(MetaKey::Oifname)
}

/// A field of a header, as `ip saddr`.
pub(super) fn field(protocol: &'static str, field: &'static str) -> Expr {
    let field = PayloadField { protocol: protocol.into(), field: field.into() };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

pub(super) const fn concat(parts: Vec<Expr>) -> Expr {
    Expression::Named(NamedExpression::Concat(parts))
}

/// A word, an address, or, with `@`, a set.
pub(super) fn text(text: &'static str) -> Expr {
    Expression::String(text.into())
}

/// An anonymous set of words.
pub(super) fn any_of(words: &[&'static str]) -> Expr {
    let items = words.iter().map(|word| SetItem::Element(text(word))).collect();
    Expression::Named(NamedExpression::Set(items))
}

pub(super) fn prefix(address: &'static str, length: u32) -> Expr {
    let addr = Box::new(text(address));
    Expression::Named(NamedExpression::Prefix(Prefix { addr, len: length }))
}

pub(super) const fn is(left: Expr, right: Expr) -> Stmt {
    Statement::Match(Match { left, right, op: Operator::EQ })
}

pub(super) const fn is_not(left: Expr, right: Expr) -> Stmt {
    Statement::Match(Match { left, right, op: Operator::NEQ })
}

/// A field of the packet's flow, as `ct state`.
pub(super) fn ct_field(key: &'static str) -> Expr {
    Expression::Named(NamedExpression::CT(CT { key: key.into(), family: None, dir: None }))
}

/// One bit of a conntrack field, as `ct status dnat`.
pub(super) fn ct(key: &'static str, bits: &[&'static str]) -> Stmt {
    let left = ct_field(key);
    let right = Expression::List(bits.iter().map(|bit| text(bit)).collect());
    Statement::Match(Match { left, right, op: Operator::IN })
}

/// `fib daddr type local`: the packet is for an address of the host.
pub(super) fn for_the_host() -> Stmt {
    let flags = HashSet::from([FibFlag::Daddr]);
    let fib = Fib { result: FibResult::Type, flags };
    is(Expression::Named(NamedExpression::Fib(fib)), text("local"))
}

pub(super) fn nfproto(family: Family) -> Stmt {
    let name = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    is(meta(MetaKey::Nfproto), text(name))
}

/// The protocol name of a family's header.
pub(super) const fn header(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

pub(super) fn dnat(family: Family, key: Expr, map: &'static str) -> Stmt {
    Statement::DNAT(Some(nat(family, key, map)))
}

pub(super) fn snat(family: Family, key: Expr, map: &'static str) -> Stmt {
    Statement::SNAT(Some(nat(family, key, map)))
}

fn nat(family: Family, key: Expr, map: &'static str) -> NAT<'static> {
    let target = NamedExpression::Map(Box::new(Map { key, data: text(map) }));
    let family = match family {
        Family::V4 => NATFamily::IP,
        Family::V6 => NATFamily::IP6,
    };
    NAT { addr: Some(Expression::Named(target)), family: Some(family), port: None, flags: None }
}

/// Notes an identity with the packet: in its priority for queueing, which every rule can
/// look up, hardly anybody reads, and [`super::rules_inet`] sets back. Marks are others' to
/// route by, and `nft` 1.0.6 cannot list rules that hold values in registers.
pub(super) fn note(identity: Expr) -> Stmt {
    Statement::Mangle(Mangle { key: noted(), value: identity })
}

/// What [`note`] noted.
pub(super) const fn noted() -> Expr {
    meta(MetaKey::Priority)
}

pub(super) const fn number(number: u32) -> Expr {
    Expression::Number(number)
}

/// What a map has for a key.
pub(super) fn looked_up(key: Expr, map: &'static str) -> Expr {
    Expression::Named(NamedExpression::Map(Box::new(Map { key, data: text(map) })))
}

/// Does what a map of verdicts has for a key.
pub(super) fn verdict(key: Expr, map: &'static str) -> Stmt {
    Statement::VerdictMap(VerdictMap { key, data: text(map) })
}

/// TCP that begins in the middle: of FIN, SYN, RST and ACK, not SYN alone.
pub(super) fn mid_stream() -> Stmt {
    is_not(tcp_flags(), number(0x02))
}

/// TCP that begins as it should.
pub(super) fn begins() -> Stmt {
    is(tcp_flags(), number(0x02))
}

fn tcp_flags() -> Expr {
    let flags = BinaryOperation::AND(field("tcp", "flags"), number(0x17));
    Expression::BinaryOperation(Box::new(flags))
}

pub(super) const fn reject() -> Stmt {
    Statement::Reject(None)
}

pub(super) const fn reset() -> Stmt {
    Statement::Reject(Some(Reject { _type: Some(RejectType::TCPReset), expr: None }))
}

pub(super) const fn masquerade() -> Stmt {
    Statement::Masquerade(None)
}

pub(super) const fn accept() -> Stmt {
    Statement::Accept(None)
}

pub(super) const fn drop() -> Stmt {
    Statement::Drop(None)
}

/// Goes back to the chain that led here.
pub(super) const fn leave() -> Stmt {
    Statement::Return(None)
}

/// Goes on for no more than `rate` packets in a second, after a `burst`.
pub(super) fn limit(rate: u32, burst: u32) -> Stmt {
    Statement::Limit(Limit {
        rate,
        rate_unit: None,
        per: Some("second".into()),
        burst: Some(burst),
        burst_unit: None,
        inv: None,
    })
}

/// Hands the packet's beginning to whoever listens to our group, and goes on.
pub(super) fn log(prefix: &'static str) -> Stmt {
    Statement::Log(Some(Log {
        prefix: Some(prefix.into()),
        group: Some(flow_log::GROUP.into()),
        snaplen: Some(flow_log::SNAPLEN),
        ..Log::new(None)
    }))
}

pub(super) fn jump(chain: &'static str) -> Stmt {
    Statement::Jump(JumpTarget { target: chain.into() })
}

pub(super) fn goto(chain: &'static str) -> Stmt {
    Statement::Goto(JumpTarget { target: chain.into() })
}
