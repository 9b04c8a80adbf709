//! The maps that `nft` cannot be asked for: those whose values have two fields, are
//! verdicts or are identities, and those with ranges or counters.
//!
//! `nft` 1.0.6 reads a map with two fields a value from JSON as a set, and then crashes on
//! the rule that uses it; the crate that speaks its JSON has no words for the others. So
//! these maps are declared over netlink, before the ruleset that uses them.

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};
use netlink_packet_netfilter::nftables::{
    NfTablesMessage, SetAttribute, SetDescription, SetFlags, SetMessage,
};

use super::schema::{Field, Kind, SETS, SetSpec, TABLE};

/// `TYPE_BITS` of `nft`: what one field takes in the number of a type.
const TYPE_BITS: u32 = 6;
/// `NFT_DATA_VERDICT`.
const VERDICT: u32 = 0xffff_ff00;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_FIELD_LEN: u16 = 1;
const NFTA_SET_EXPR: u16 = 17;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;

/// Whether the ruleset cannot declare the set.
pub(super) fn is_native(set: &SetSpec) -> bool {
    let unspeakable = |field: &Field| matches!(field, Field::Identity | Field::Verdict);
    let ranges = set.kind == Kind::Ranges;
    ranges || set.counted || set.value.len() > 1 || set.value.iter().chain(set.key).any(unspeakable)
}

/// Declares the maps of the `inet` table. That they are there already is no error; nor do
/// they lose an element.
pub(super) fn declare() -> impl Iterator<Item = NfTablesMessage> {
    let maps = SETS.iter().filter(|set| is_native(set)).zip(1..);
    maps.map(|(set, id)| NfTablesMessage::NewSet(declaration(set, id)))
}

fn declaration(set: &SetSpec, id: u32) -> SetMessage {
    let map = if set.is_map() { SetFlags::Map } else { SetFlags::empty() };
    let flags = map
        | match set.kind {
            Kind::Elements | Kind::Prefixes => SetFlags::empty(),
            Kind::Timed => SetFlags::Timeout,
            Kind::Spans => SetFlags::Interval,
            Kind::Ranges => SetFlags::Interval | SetFlags::Concat,
        };
    let (key, value) = types(set);
    let mut attributes = vec![
        SetAttribute::Table(TABLE.to_owned()),
        SetAttribute::Name(set.name.to_owned()),
        SetAttribute::Id(id),
        SetAttribute::Flags(flags),
        SetAttribute::KeyType(key),
        SetAttribute::KeyLen(length(set.key)),
    ];
    attributes.extend(value.map(SetAttribute::DataType));
    if value.is_some_and(|value| value != VERDICT) {
        attributes.push(SetAttribute::DataLen(length(set.value)));
    }
    if set.kind == Kind::Ranges {
        attributes.push(SetAttribute::Description(vec![SetDescription::Concat(lengths(set.key))]));
    }
    if set.counted {
        attributes.push(SetAttribute::Other(counter()));
    }
    SetMessage { attributes }
}

/// The numbers of the types of a set's keys, and of its values where it has some.
pub(super) fn types(set: &SetSpec) -> (u32, Option<u32>) {
    let value = match set.value {
        [] => None,
        [Field::Verdict] => Some(VERDICT),
        fields => Some(number(fields)),
    };
    (number(set.key), value)
}

/// What every element has a copy of. The crate's form of the attribute has room for a name
/// or for data, and not for both.
fn counter() -> DefaultNla {
    let name = DefaultNla::new(NFTA_EXPR_NAME, b"counter\0".to_vec());
    let data = DefaultNla::new(NFTA_EXPR_DATA | NLA_F_NESTED, Vec::new());
    let parts = [name, data];
    let mut value = vec![0; parts.as_slice().buffer_len()];
    parts.as_slice().emit(&mut value);
    DefaultNla::new(NFTA_SET_EXPR | NLA_F_NESTED, value)
}

/// How long each field of a key with ranges is.
fn lengths(fields: &[Field]) -> Vec<DefaultNla> {
    let field = |field: &Field| {
        let length = DefaultNla::new(NFTA_SET_FIELD_LEN, bytes(*field).to_be_bytes().to_vec());
        let mut value = vec![0; length.buffer_len()];
        length.emit(&mut value);
        DefaultNla::new(NFTA_LIST_ELEM | NLA_F_NESTED, value)
    };
    fields.iter().map(field).collect()
}

/// The number by which `nft` knows the type again when it lists the map. An identity
/// stands where a packet's priority is looked up, which is a `classid` there.
fn number(fields: &[Field]) -> u32 {
    let number = |field: &Field| match field {
        Field::V4 => 7,
        Field::V6 => 8,
        Field::Mac => 9,
        Field::Protocol => 12,
        Field::Port => 13,
        Field::Identity => 23,
        Field::Link => 41,
        Field::Verdict => 1,
    };
    fields.iter().fold(0, |whole, field| whole << TYPE_BITS | number(field))
}

const fn bytes(field: Field) -> u32 {
    match field {
        Field::V6 | Field::Link => 16,
        Field::Mac => 6,
        Field::V4 | Field::Identity => 4,
        Field::Port => 2,
        Field::Protocol => 1,
        Field::Verdict => 0,
    }
}

/// Bytes, each field padded to four.
fn length(fields: &[Field]) -> u32 {
    fields.iter().map(|field| bytes(*field).next_multiple_of(4)).sum()
}
