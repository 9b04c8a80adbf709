//! The maps that `nft` cannot be asked for: those whose values have two fields.
//!
//! `nft` 1.0.6 reads such a map from JSON as a set, and then crashes on the rule that
//! uses it. So these maps are declared over netlink, before the ruleset that uses them.

use netlink_packet_netfilter::nftables::{
    NfTablesMessage, SetAttribute, SetFlags, SetMessage, TableAttribute, TableMessage,
};
use nftables::schema::SetType;

use super::schema::{SETS, SetSpec, TABLE};

/// `TYPE_BITS` of `nft`: what one field takes in the number of a type.
const TYPE_BITS: u32 = 6;

/// Whether the ruleset cannot declare the set.
pub(super) const fn is_native(set: &SetSpec) -> bool {
    set.value.len() > 1
}

/// Declares the `inet` table and its maps. That they are there already is no error; nor do
/// they lose an element.
pub(super) fn declare() -> Vec<NfTablesMessage> {
    let table = TableMessage { attributes: vec![TableAttribute::Name(TABLE.to_owned())] };
    let maps = SETS.iter().filter(|set| is_native(set)).zip(1..);
    let maps = maps.map(|(set, id)| NfTablesMessage::NewSet(declaration(set, id)));
    std::iter::once(NfTablesMessage::NewTable(table)).chain(maps).collect()
}

fn declaration(set: &SetSpec, id: u32) -> SetMessage {
    let attributes = vec![
        SetAttribute::Table(TABLE.to_owned()),
        SetAttribute::Name(set.name.to_owned()),
        SetAttribute::Id(id),
        SetAttribute::Flags(SetFlags::Map),
        SetAttribute::KeyType(number(set.key)),
        SetAttribute::KeyLen(length(set.key)),
        SetAttribute::DataType(number(set.value)),
        SetAttribute::DataLen(length(set.value)),
    ];
    SetMessage { attributes }
}

/// The number by which `nft` knows the type again when it lists the map.
fn number(fields: &[SetType]) -> u32 {
    let number = |field: &SetType| match field {
        SetType::Ipv4Addr => 7,
        SetType::Ipv6Addr => 8,
        SetType::EtherAddr => 9,
        SetType::InetProto => 12,
        SetType::InetService => 13,
        SetType::Mark => 19,
        SetType::Ifname => 41,
    };
    fields.iter().fold(0, |whole, field| whole << TYPE_BITS | number(field))
}

/// Bytes, each field padded to four.
fn length(fields: &[SetType]) -> u32 {
    let length = |field: &SetType| match field {
        SetType::Ipv6Addr | SetType::Ifname => 16,
        SetType::EtherAddr => 8,
        SetType::Ipv4Addr | SetType::InetProto | SetType::InetService | SetType::Mark => 4,
    };
    fields.iter().map(length).sum()
}
