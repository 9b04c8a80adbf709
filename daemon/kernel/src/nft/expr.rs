//! The few expressions and statements the rules are made of, in the words of `nft(8)`.

use std::collections::HashSet;

use nftables::expr::{
    CT, Expression, Fib, FibFlag, FibResult, Map, Meta, MetaKey, NamedExpression, Payload,
    PayloadField, Prefix, SetItem,
};
use nftables::stmt::{JumpTarget, Match, NAT, NATFamily, Operator, Statement};
use postern_model::network::Family;

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

/// One bit of a conntrack field, as `ct status dnat`.
pub(super) fn ct(key: &'static str, bits: &[&'static str]) -> Stmt {
    let left =
        Expression::Named(NamedExpression::CT(CT { key: key.into(), family: None, dir: None }));
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

pub(super) const fn masquerade() -> Stmt {
    Statement::Masquerade(None)
}

pub(super) const fn accept() -> Stmt {
    Statement::Accept(None)
}

pub(super) const fn drop() -> Stmt {
    Statement::Drop(None)
}

pub(super) fn jump(chain: &'static str) -> Stmt {
    Statement::Jump(JumpTarget { target: chain.into() })
}

pub(super) fn goto(chain: &'static str) -> Stmt {
    Statement::Goto(JumpTarget { target: chain.into() })
}
