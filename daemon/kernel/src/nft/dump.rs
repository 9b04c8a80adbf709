//! What the kernel holds. Linear in it: for start-up, drift and a slow timer only.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use netlink_packet_core::parse_string;
use netlink_packet_netfilter::nftables::{
    NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetElementList, SetElementMessage,
    SetMessage,
};
use postern_model::resource::Element;

use super::advert;
use super::batch::in_table;
use super::chain::chains;
use super::codec::{Raw, decode};
use super::rules_bridge::ADVERT;
use super::schema::{Kind, SETS, SetSpec, TABLE, Table};
use super::socket::{NetfilterSocket, Reply, nested};

const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_SET_NAME: u16 = 2;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_USERDATA: u16 = 7;

/// Every element of every set and map. What does not decode is none of ours and is left
/// out, with a warning.
pub(super) fn elements(socket: &mut NetfilterSocket) -> io::Result<Vec<Element>> {
    let mut elements = Vec::new();
    for set in SETS.iter().filter(|set| set.kind == Kind::Elements) {
        for raw in raw_elements(socket, set)? {
            match decode(set.name, &raw) {
                Some(element) => elements.push(element),
                None => tracing::warn!(set = set.name, ?raw, "an element that nobody put there"),
            }
        }
    }
    Ok(elements)
}

/// Whether anything is in a set.
pub(super) fn is_filled(socket: &mut NetfilterSocket, set: &SetSpec) -> io::Result<bool> {
    Ok(!raw_elements(socket, set)?.is_empty())
}

fn raw_elements(socket: &mut NetfilterSocket, set: &SetSpec) -> io::Result<Vec<Raw>> {
    let attributes =
        vec![SetElementList::Table(TABLE.to_owned()), SetElementList::Set(set.name.to_owned())];
    let request = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
    let pieces = socket.dump(&in_table(set.table, request), |reply| {
        let lists = reply.all(NFTA_SET_ELEM_LIST_ELEMENTS);
        let entries = lists.flat_map(|list| nested(list, NFTA_LIST_ELEM));
        Some(entries.map(raw).collect::<Vec<_>>())
    })?;
    Ok(pieces.into_iter().flatten().collect())
}

fn raw(entry: &[u8]) -> Raw {
    let value = |kind| {
        let data = nested(entry, kind).next().unwrap_or_default();
        nested(data, NFTA_DATA_VALUE).next().unwrap_or_default().to_vec()
    };
    Raw { key: value(NFTA_SET_ELEM_KEY), value: value(NFTA_SET_ELEM_DATA) }
}

/// Whether both tables have every set, and every chain its rules, told by their comments,
/// in their order and no others.
pub(super) fn is_intact(socket: &mut NetfilterSocket) -> io::Result<bool> {
    let mut expected: BTreeMap<(Table, String), Vec<String>> = BTreeMap::new();
    expected.insert((Table::Bridge, ADVERT.to_owned()), vec![advert::COMMENT.to_owned()]);
    for chain in chains() {
        let comments = chain.rules.iter().map(|rule| rule.comment.to_owned()).collect();
        expected.insert((chain.table, chain.name.to_owned()), comments);
    }
    let mut found: BTreeMap<(Table, String), Vec<String>> = BTreeMap::new();
    for table in Table::ALL {
        let names = set_names(socket, table)?;
        if SETS.iter().any(|set| set.table == table && !names.contains(set.name)) {
            return Ok(false);
        }
        for (chain, comment) in rules(socket, table)? {
            found.entry((table, chain)).or_default().push(comment);
        }
    }
    Ok(found == expected)
}

/// The names of a table's sets; none if it is not there.
fn set_names(socket: &mut NetfilterSocket, table: Table) -> io::Result<BTreeSet<String>> {
    let attributes = vec![SetAttribute::Table(TABLE.to_owned())];
    let request = NfTablesMessage::GetSet(SetMessage { attributes });
    let names = socket.dump(&in_table(table, request), |reply| text(reply, NFTA_SET_NAME));
    match names {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        names => Ok(names?.into_iter().collect()),
    }
}

/// Every rule of a table as its chain and comment, in order.
pub(super) fn rules(
    socket: &mut NetfilterSocket,
    table: Table,
) -> io::Result<Vec<(String, String)>> {
    let attributes = vec![RuleAttribute::Table(TABLE.to_owned())];
    let request = NfTablesMessage::GetRule(RuleMessage { attributes });
    socket.dump(&in_table(table, request), |reply| {
        let userdata = reply.all(NFTA_RULE_USERDATA).next().unwrap_or_default();
        let comment = advert::comment(userdata).unwrap_or_default().to_owned();
        Some((text(reply, NFTA_RULE_CHAIN)?, comment))
    })
}

fn text(reply: Reply<'_>, kind: u16) -> Option<String> {
    parse_string(reply.all(kind).next()?).ok()
}
