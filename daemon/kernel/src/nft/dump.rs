//! What the kernel holds. Linear in it: for start-up, drift and a slow timer only.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::thread;
use std::time::{Duration, SystemTime};

use netlink_packet_core::{NLM_F_ACK, parse_string};
use netlink_packet_netfilter::nftables::{
    NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetElementList, SetElementMessage,
    SetMessage,
};
use postern_model::resource::{Element, NamedAddress, Verdict};
use postern_model::time::Timestamp;

use super::batch::in_table;
use super::batch::{kernel_verdict, sought};
use super::chain::chains;
use super::codec::{Lasting, Raw, Value, decode, encode};
use super::comment::comment;
use super::schema::{Kind, SETS, SetSpec, TABLE, Table};
use super::socket::{Frame, NetfilterSocket, Reply, nested};
use super::{maps, raw};

const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_FLAGS: u16 = 3;
const NFTA_SET_ELEM_EXPIRATION: u16 = 5;
const NFTA_SET_ELEM_USERDATA: u16 = 6;
const NFTA_SET_ELEM_EXPR: u16 = 7;
const NFTA_SET_ELEM_KEY_END: u16 = 10;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
/// `NFT_SET_ELEM_INTERVAL_END`.
const INTERVAL_END: u32 = 1;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_DATA_TYPE: u16 = 6;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_COUNTER_PACKETS: u16 = 2;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_USERDATA: u16 = 7;

/// How often a set that is being rearranged is listed, and how long that is waited for.
const LISTING_TRIES: usize = 100;
const LISTING_PAUSE: Duration = Duration::from_millis(2);

/// Every address that was asked for by name and still holds.
pub(super) fn named(socket: &mut NetfilterSocket) -> io::Result<Vec<NamedAddress>> {
    let mut named = Vec::new();
    for set in SETS.iter().filter(|set| set.kind == Kind::Timed) {
        let decoded =
            raw_elements(socket, set)?.into_iter().map(|entry| decode(set.name, &entry.raw));
        named.extend(decoded.filter_map(|element| match element {
            Some(Element::Named(named)) => Some(named),
            _ => None,
        }));
    }
    Ok(named)
}

/// Every element of every set and map. What does not decode is none of ours and is left
/// out, with a warning.
pub(super) fn elements(socket: &mut NetfilterSocket) -> io::Result<Vec<Element>> {
    let mut elements = Vec::new();
    for set in SETS.iter().filter(|set| set.has_elements()) {
        let mut raws = raw_elements(socket, set)?;
        if set.kind == Kind::Spans {
            raws = spans(raws);
        }
        for Entry { raw, .. } in raws {
            match decode(set.name, &raw) {
                Some(element) => elements.push(element),
                None => tracing::warn!(set = set.name, ?raw, "an element that nobody put there"),
            }
        }
    }
    Ok(elements)
}

/// Whether an element is there, with its value.
pub(super) fn holds(socket: &mut NetfilterSocket, element: &Element) -> io::Result<bool> {
    Ok(look_up(socket, element)?.is_some())
}

/// How many packets came upon an element, if it is there and counts them.
pub(super) fn packets(socket: &mut NetfilterSocket, element: &Element) -> io::Result<Option<u64>> {
    Ok(look_up(socket, element)?.and_then(|entry| entry.packets))
}

/// An element as it is there, with its value. Spans are looked for by where they begin.
fn look_up(socket: &mut NetfilterSocket, element: &Element) -> io::Result<Option<Entry>> {
    let Some((set, raw)) = SetSpec::find(element.set()).zip(encode(element)) else {
        return Ok(None);
    };
    let attributes = vec![
        SetElementList::Table(TABLE.to_owned()),
        SetElementList::Set(set.name.to_owned()),
        SetElementList::Elements(sought(set, &raw)),
    ];
    let message = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
    let sequence = socket.next_sequence();
    let mut request = Vec::new();
    Frame::new(in_table(set.table, message), NLM_F_ACK).write(sequence, 0, &mut request);
    let mut found = Vec::new();
    let answers = socket.exchange_with(&request, |reply| {
        let lists = reply.all(NFTA_SET_ELEM_LIST_ELEMENTS);
        found.extend(lists.flat_map(|list| nested(list, NFTA_LIST_ELEM)).map(entry));
    })?;
    match answers.into_iter().find_map(|answer| answer.error.map(io::Error::from)) {
        Some(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Some(error) => Err(error),
        None => Ok(found.into_iter().find(|entry| {
            let spans = set.kind == Kind::Spans && entry.raw.key == raw.key;
            let same = (&entry.raw.key, &entry.raw.value) == (&raw.key, &raw.value);
            let timed = set.kind == Kind::Timed && same;
            spans || timed || decode(set.name, &entry.raw).as_ref() == Some(element)
        })),
    }
}

/// Whether anything is in a set.
pub(super) fn is_filled(socket: &mut NetfilterSocket, set: &SetSpec) -> io::Result<bool> {
    Ok(!raw_elements(socket, set)?.is_empty())
}

/// An element as it is listed.
#[derive(Debug)]
struct Entry {
    raw: Raw,
    /// It is the end of a span, and no element of its own.
    past: bool,
    /// How many packets came upon it, where that is counted.
    packets: Option<u64>,
}

/// The kernel makes a hash set larger or smaller in its own time after many changes, and a
/// list that is read meanwhile has some elements twice and as many others not at all.
fn raw_elements(socket: &mut NetfilterSocket, set: &SetSpec) -> io::Result<Vec<Entry>> {
    for _ in 1..LISTING_TRIES {
        let entries = listed(socket, set)?;
        let keys: BTreeSet<_> = entries.iter().map(|e| (&e.raw.key, e.past)).collect();
        if set.kind == Kind::Spans || keys.len() == entries.len() {
            return Ok(entries);
        }
        thread::sleep(LISTING_PAUSE);
    }
    tracing::warn!(set = set.name, "the kernel does not stop rearranging a set");
    listed(socket, set)
}

fn listed(socket: &mut NetfilterSocket, set: &SetSpec) -> io::Result<Vec<Entry>> {
    let attributes =
        vec![SetElementList::Table(TABLE.to_owned()), SetElementList::Set(set.name.to_owned())];
    let request = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
    let pieces = socket.dump(&in_table(set.table, request), |reply| {
        let lists = reply.all(NFTA_SET_ELEM_LIST_ELEMENTS);
        let entries = lists.flat_map(|list| nested(list, NFTA_LIST_ELEM));
        Some(entries.map(entry).collect::<Vec<_>>())
    });
    match pieces {
        Ok(pieces) => Ok(pieces.into_iter().flatten().collect()),
        // The set itself is gone, and what was in it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn entry(entry: &[u8]) -> Entry {
    let field = |kind| nested(entry, kind).next();
    let bytes = |data: &[u8]| nested(data, NFTA_DATA_VALUE).next().map(<[u8]>::to_vec);
    let data = field(NFTA_SET_ELEM_DATA).unwrap_or_default();
    let value = match (nested(data, NFTA_DATA_VERDICT).next(), bytes(data)) {
        (Some(verdict), _) => known_verdict(verdict).map_or(Value::None, Value::Verdict),
        (None, Some(bytes)) => Value::Bytes(bytes),
        (None, None) => Value::None,
    };
    let raw = Raw {
        key: field(NFTA_SET_ELEM_KEY).and_then(bytes).unwrap_or_default(),
        end: field(NFTA_SET_ELEM_KEY_END).and_then(bytes),
        value,
        lasting: field(NFTA_SET_ELEM_EXPIRATION)
            .and_then(|left| lasting(left, field(NFTA_SET_ELEM_USERDATA))),
    };
    let flags = field(NFTA_SET_ELEM_FLAGS).and_then(|flags| flags.first_chunk().copied());
    let past = u32::from_be_bytes(flags.unwrap_or_default()) & INTERVAL_END != 0;
    Entry { raw, past, packets: field(NFTA_SET_ELEM_EXPR).and_then(counted) }
}

/// The packets of a counter.
fn counted(expression: &[u8]) -> Option<u64> {
    let data = nested(expression, NFTA_EXPR_DATA).next()?;
    let packets = nested(data, NFTA_COUNTER_PACKETS).next()?;
    Some(u64::from_be_bytes(packets.first_chunk().copied()?))
}

/// How long an element stays, from what is left of its time in milliseconds.
fn lasting(left: &[u8], userdata: Option<&[u8]>) -> Option<Lasting> {
    let left = u64::from_be_bytes(left.first_chunk().copied()?);
    let Timestamp(now) = SystemTime::now().into();
    let names = userdata.and_then(comment).unwrap_or_default().to_owned();
    Some(Lasting { until: Timestamp(now.saturating_add(left)), names })
}

fn known_verdict(data: &[u8]) -> Option<Verdict> {
    let code = nested(data, NFTA_VERDICT_CODE).next()?.first_chunk().copied()?;
    let chain = nested(data, NFTA_VERDICT_CHAIN).next().and_then(|name| parse_string(name).ok());
    let known =
        [Verdict::Accept, Verdict::Drop, Verdict::Reject, Verdict::Return, Verdict::Isolated];
    let sets = ["in4", "out4"].map(SetSpec::find);
    known.into_iter().find(|verdict| {
        sets.into_iter().flatten().any(|set| {
            let (of, to) = kernel_verdict(*verdict, set);
            u32::from(of) == u32::from_be_bytes(code) && to == chain.as_deref()
        })
    })
}

/// The spans of a listing: what begins ends before the next thing begins or ends.
fn spans(mut entries: Vec<Entry>) -> Vec<Entry> {
    // Where one ends and another begins, the end comes first.
    entries.sort_by(|a, b| (&a.raw.key, !a.past).cmp(&(&b.raw.key, !b.past)));
    let next: Vec<Option<Vec<u8>>> = entries
        .iter()
        .skip(1)
        .map(|entry| predecessor(&entry.raw.key))
        .chain(std::iter::once(None))
        .collect();
    let ended = entries.into_iter().zip(next).filter(|(entry, _)| !entry.past);
    ended
        .map(|(Entry { raw, past, packets }, last)| {
            let greatest = vec![u8::MAX; raw.key.len()];
            Entry { raw: Raw { end: Some(last.unwrap_or(greatest)), ..raw }, past, packets }
        })
        .collect()
}

/// The key before; none before the first one.
fn predecessor(key: &[u8]) -> Option<Vec<u8>> {
    let mut before = key.to_vec();
    for byte in before.iter_mut().rev() {
        let (less, under) = byte.overflowing_sub(1);
        *byte = less;
        if !under {
            return Some(before);
        }
    }
    None
}

/// Whether both tables have every set, and every chain its rules, told by their comments,
/// in their order and no others.
pub(super) fn is_intact(socket: &mut NetfilterSocket) -> io::Result<bool> {
    let mut expected: BTreeMap<(Table, String), Vec<String>> = BTreeMap::new();
    for rule in raw::all() {
        expected.insert((rule.table, rule.chain.to_owned()), vec![rule.comment.to_owned()]);
    }
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

/// Whether the sets of ours that are there have the keys and values that ours have.
pub(super) fn is_laid_out_alike(socket: &mut NetfilterSocket) -> io::Result<bool> {
    for table in Table::ALL {
        let alike = each_set(socket, table, |reply| {
            let number = |kind| {
                let bytes = reply.all(kind).next()?.first_chunk()?;
                Some(u32::from_be_bytes(*bytes))
            };
            let found = (number(NFTA_SET_KEY_TYPE), number(NFTA_SET_DATA_TYPE));
            let ours = SetSpec::find(&text(reply, NFTA_SET_NAME)?)?;
            let (key, value) = maps::types(ours);
            Some(ours.table == table && found == (Some(key), value))
        })?;
        if alike.contains(&false) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The names of a table's sets; none if it is not there.
fn set_names(socket: &mut NetfilterSocket, table: Table) -> io::Result<BTreeSet<String>> {
    let names = each_set(socket, table, |reply| text(reply, NFTA_SET_NAME))?;
    Ok(names.into_iter().collect())
}

fn each_set<T>(
    socket: &mut NetfilterSocket,
    table: Table,
    pick: impl FnMut(Reply<'_>) -> Option<T>,
) -> io::Result<Vec<T>> {
    let attributes = vec![SetAttribute::Table(TABLE.to_owned())];
    let request = NfTablesMessage::GetSet(SetMessage { attributes });
    match socket.dump(&in_table(table, request), pick) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found,
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
        let comment = comment(userdata).unwrap_or_default().to_owned();
        Some((text(reply, NFTA_RULE_CHAIN)?, comment))
    })
}

fn text(reply: Reply<'_>, kind: u16) -> Option<String> {
    parse_string(reply.all(kind).next()?).ok()
}
