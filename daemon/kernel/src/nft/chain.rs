//! Chains and rules as we think of them, and the one transaction that declares them.

use std::borrow::Cow;
use std::collections::HashSet;

use nftables::batch::Batch;
use nftables::schema::{
    Chain as ChainObject, FlushObject, Map, NfCmd, NfListObject, Nftables, Rule as RuleObject, Set,
    SetFlag, SetType, SetTypeValue,
};
use nftables::types::{NfChainPolicy, NfChainType, NfHook};

use super::expr::Stmt;
use super::maps;
use super::rules_flows;
use super::rules_inet;
use super::rules_policy;
use super::schema::{Field, Kind, SETS, SetSpec, TABLE, Table};
use super::{raw, rules_bridge};

/// A chain.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chain {
    pub(super) table: Table,
    pub(super) name: &'static str,
    /// None: reached from another chain only.
    pub(super) hook: Option<Hook>,
    pub(super) rules: Vec<Rule>,
}

/// Where packets enter a chain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hook {
    pub(super) kind: NfChainType,
    pub(super) hook: NfHook,
    pub(super) priority: i32,
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// What it is for; how it is known again in the kernel.
    pub(super) comment: &'static str,
    pub(super) statements: Vec<Stmt>,
}

impl Rule {
    pub(super) fn new<const N: usize>(comment: &'static str, statements: [Stmt; N]) -> Self {
        Self { comment, statements: statements.into() }
    }
}

/// Every chain that the ruleset fills, those first that others lead to.
pub(super) fn chains() -> Vec<Chain> {
    let mut chains = rules_flows::chains();
    chains.extend(rules_policy::chains());
    chains.extend(rules_inet::chains());
    chains.extend(rules_bridge::chains());
    chains
}

/// The transaction that fills the tables, which are there, as they should be. Sets keep their
/// elements, and rules are replaced all at once: no packet meets an empty chain.
pub(super) fn ruleset() -> Nftables<'static> {
    let chains = chains();
    let mut batch = Batch::new();
    for set in SETS.iter().filter(|set| !maps::is_native(set)) {
        batch.add(set_object(set));
    }
    for rule in raw::all() {
        batch.add(NfListObject::Chain(chain_object(rule.table, rule.chain, None)));
    }
    for chain in &chains {
        let object = chain_object(chain.table, chain.name, chain.hook);
        batch.add(NfListObject::Chain(object.clone()));
        batch.add_cmd(NfCmd::Flush(FlushObject::Chain(object)));
    }
    for chain in chains {
        for rule in chain.rules {
            batch.add(NfListObject::Rule(RuleObject {
                family: chain.table.family(),
                table: TABLE.into(),
                chain: chain.name.into(),
                expr: rule.statements.into(),
                comment: Some(rule.comment.into()),
                ..RuleObject::default()
            }));
        }
    }
    batch.to_nftables()
}

/// The transaction that sets or lifts a fence, however it was.
pub(super) fn fence(set: &SetSpec, everything: Option<super::expr::Expr>) -> Nftables<'static> {
    let mut object = declared_set(set);
    let mut batch = Batch::new();
    batch.add_cmd(NfCmd::Flush(FlushObject::Set(Box::new(object.clone()))));
    if let Some(everything) = everything {
        object.elem = Some(vec![everything].into());
        batch.add(NfListObject::Set(Box::new(object)));
    }
    batch.to_nftables()
}

fn chain_object(table: Table, name: &'static str, hook: Option<Hook>) -> ChainObject<'static> {
    ChainObject {
        family: table.family(),
        table: TABLE.into(),
        name: name.into(),
        _type: hook.map(|hook| hook.kind),
        hook: hook.map(|hook| hook.hook),
        prio: hook.map(|hook| hook.priority),
        policy: hook.map(|_| NfChainPolicy::Accept),
        ..ChainObject::default()
    }
}

fn set_object(set: &SetSpec) -> NfListObject<'static> {
    if set.is_map() {
        NfListObject::Map(Box::new(Map {
            family: set.table.family(),
            table: TABLE.into(),
            name: set.name.into(),
            set_type: type_of(set.key),
            map: type_of(set.value),
            ..Map::default()
        }))
    } else {
        NfListObject::Set(Box::new(declared_set(set)))
    }
}

fn declared_set(set: &SetSpec) -> Set<'static> {
    Set {
        family: set.table.family(),
        table: TABLE.into(),
        name: set.name.into(),
        set_type: type_of(set.key),
        flags: (set.kind == Kind::Prefixes).then(|| HashSet::from([SetFlag::Interval])),
        ..Set::default()
    }
}

fn type_of(fields: &[Field]) -> SetTypeValue<'static> {
    let types: Vec<SetType> = fields.iter().filter_map(|field| spoken(*field)).collect();
    match types[..] {
        [single] => SetTypeValue::Single(single),
        _ => SetTypeValue::Concatenated(Cow::Owned(types)),
    }
}

/// The type in the words of `nft`; none of those that only native maps have.
const fn spoken(field: Field) -> Option<SetType> {
    Some(match field {
        Field::V4 => SetType::Ipv4Addr,
        Field::V6 => SetType::Ipv6Addr,
        Field::Mac => SetType::EtherAddr,
        Field::Protocol => SetType::InetProto,
        Field::Port => SetType::InetService,
        Field::Link => SetType::Ifname,
        Field::Identity | Field::Verdict => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_constant_and_each_says_what_for() {
        let chains = chains();
        let rules: Vec<&Rule> = chains.iter().flat_map(|chain| &chain.rules).collect();
        assert!(rules.len() < 256, "{}", rules.len());
        for rule in rules {
            assert!(!rule.comment.is_empty() && !rule.statements.is_empty(), "{rule:?}");
            // `NFT_USERDATA_MAXLEN` is 256, with a header of two and a closing zero.
            assert!(rule.comment.len() < 128, "{}", rule.comment);
        }
    }
}
