//! What the kernel holds. Linear in it: for start-up, drift and a slow timer only.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute,
    SetElementAttribute, SetElementList, SetElementMessage, SetMessage,
};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner};
use postern_model::resource::Element;

use super::advert;
use super::batch::in_table;
use super::chain::chains;
use super::codec::{Raw, decode};
use super::rules_bridge::ADVERT;
use super::schema::{Kind, SETS, SetSpec, TABLE, Table};
use super::socket::NetfilterSocket;

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
    let pieces =
        socket.dump(&in_table(set.table, request), |message| match nftables(message)? {
            NfTablesMessage::NewSetElement(message) => Some(entries(message)),
            _ => None,
        })?;
    Ok(pieces.into_iter().flatten().collect())
}

fn entries(message: SetElementMessage) -> Vec<Raw> {
    let lists = message.attributes.into_iter().filter_map(|attribute| match attribute {
        SetElementList::Elements(entries) => Some(entries),
        _ => None,
    });
    lists
        .flatten()
        .filter_map(|entry| match entry {
            ListAttribute::Element(attributes) => Some(raw(attributes)),
            _ => None,
        })
        .collect()
}

fn raw(attributes: Vec<SetElementAttribute>) -> Raw {
    let mut raw = Raw { key: Vec::new(), value: Vec::new() };
    for attribute in attributes {
        match attribute {
            SetElementAttribute::Key(DataAttribute::Value(bytes)) => raw.key = bytes,
            SetElementAttribute::Data(DataAttribute::Value(bytes)) => raw.value = bytes,
            _ => {}
        }
    }
    raw
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
    let names = socket.dump(&in_table(table, request), |message| match nftables(message)? {
        NfTablesMessage::NewSet(set) => set.attributes.into_iter().find_map(|attribute| {
            if let SetAttribute::Name(name) = attribute { Some(name) } else { None }
        }),
        _ => None,
    });
    match names {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(BTreeSet::new()),
        names => Ok(names?.into_iter().collect()),
    }
}

/// Every rule of a table as its chain and comment, in order.
fn rules(socket: &mut NetfilterSocket, table: Table) -> io::Result<Vec<(String, String)>> {
    let attributes = vec![RuleAttribute::Table(TABLE.to_owned())];
    let request = NfTablesMessage::GetRule(RuleMessage { attributes });
    socket.dump(&in_table(table, request), |message| match nftables(message)? {
        NfTablesMessage::NewRule(rule) => Some(chain_and_comment(rule)),
        _ => None,
    })
}

fn chain_and_comment(rule: RuleMessage) -> (String, String) {
    let (mut chain, mut comment) = (String::new(), String::new());
    for attribute in rule.attributes {
        match attribute {
            RuleAttribute::Chain(name) => chain = name,
            RuleAttribute::UserData(bytes) => {
                comment = advert::comment(&bytes).unwrap_or_default().to_owned();
            }
            _ => {}
        }
    }
    (chain, comment)
}

fn nftables(message: NetfilterMessage) -> Option<NfTablesMessage> {
    match message.inner {
        NetfilterMessageInner::NfTables(message) => Some(message),
        _ => None,
    }
}
