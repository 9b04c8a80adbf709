//! The one table in a sandbox's namespace: what is sent to the resolver's address and port
//! goes to the port at which it really listens.
//!
//! The port numbers are rewritten as they pass, without connection tracking: a `dnat` rule
//! would switch tracking on for every packet of the sandbox. And the resolver does not
//! listen at port 53 itself, because an application could then not bind it to `0.0.0.0`.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, ChecksumType, Cmp, DataAttribute, Expressions, Hook, Immediate,
    InetHookNumber, ListAttribute, Meta, MetaKey, NfTablesMessage, Operator, Payload, Register,
    RuleAttribute, RuleMessage, TableAttribute, TableMessage,
};
use postern_model::dns::RESOLVER;
use postern_model::port::Protocol;

use super::batch::Changes;
use super::comment::userdata;
use super::dump;
use super::error::NftError;
use super::schema::{TABLE, Table};
use super::socket::NetfilterSocket;
use super::transact::transact;

const CHAIN: &str = "resolver";
/// Before connection tracking (-200) and before what users commonly hook in front of it
/// (-300), so that they see the port the resolver really has in both directions.
const PRIORITY: i32 = -400;
const ACCEPT: u32 = 1;
const BASE_NETWORK: u32 = 1;
const BASE_TRANSPORT: u32 = 2;
const SOURCE_ADDRESS: u32 = 12;
const DESTINATION_ADDRESS: u32 = 16;
const SOURCE_PORT: u32 = 0;
const DESTINATION_PORT: u32 = 2;

/// Leads the resolver's address to `port`, in the namespace of the socket; replaces what
/// led there before in one transaction.
pub(crate) fn install(socket: &mut NetfilterSocket, port: u16) -> Result<(), NftError> {
    let mut messages = vec![table(), chain(), flush()];
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        messages.push(question(protocol, port));
        messages.push(answer(protocol, port));
    }
    transact(socket, &[&Changes::other(Table::Sandbox, messages)])
}

/// Removes the table; that it is not there is no error.
pub(crate) fn remove(socket: &mut NetfilterSocket) -> Result<(), NftError> {
    let delete = NfTablesMessage::DeleteTable(TableMessage { attributes: vec![name()] });
    transact(socket, &[&Changes::other(Table::Sandbox, [table(), delete])])
}

/// Whether exactly what [`install`] makes for `port` is there.
pub(crate) fn is_installed(socket: &mut NetfilterSocket, port: u16) -> io::Result<bool> {
    Ok(installed(socket)? == Some(port))
}

/// The port for which exactly what [`install`] makes is there.
pub(crate) fn installed(socket: &mut NetfilterSocket) -> io::Result<Option<u16>> {
    let found = match dump::rules(socket, Table::Sandbox) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    let mut comments: Vec<String> = found.into_iter().map(|(_, comment)| comment).collect();
    comments.sort_unstable();
    let last = comments.last().and_then(|comment| comment.rsplit(' ').next()?.parse().ok());
    Ok(last.filter(|port| comments == expected(*port)))
}

fn expected(port: u16) -> Vec<String> {
    let both = |protocol| [question_comment(protocol, port), answer_comment(protocol, port)];
    let mut comments: Vec<String> =
        [Protocol::Udp, Protocol::Tcp].into_iter().flat_map(both).collect();
    comments.sort_unstable();
    comments
}

fn name() -> TableAttribute {
    TableAttribute::Name(TABLE.to_owned())
}

fn table() -> NfTablesMessage {
    NfTablesMessage::NewTable(TableMessage { attributes: vec![name()] })
}

fn chain() -> NfTablesMessage {
    let hook = vec![
        Hook::Number(InetHookNumber::LocalOut.into()),
        // On the wire it is signed.
        Hook::Priority(PRIORITY.cast_unsigned()),
    ];
    NfTablesMessage::NewChain(ChainMessage {
        attributes: vec![
            ChainAttribute::Table(TABLE.to_owned()),
            ChainAttribute::Name(CHAIN.to_owned()),
            ChainAttribute::Hook(hook),
            ChainAttribute::Policy(ACCEPT),
            ChainAttribute::Type("filter".to_owned()),
        ],
    })
}

fn place() -> Vec<RuleAttribute> {
    vec![RuleAttribute::Table(TABLE.to_owned()), RuleAttribute::Chain(CHAIN.to_owned())]
}

fn flush() -> NfTablesMessage {
    NfTablesMessage::DeleteRule(RuleMessage { attributes: place() })
}

fn question_comment(protocol: Protocol, port: u16) -> String {
    format!("{protocol} questions to port {port}")
}

fn answer_comment(protocol: Protocol, port: u16) -> String {
    format!("{protocol} answers from port {port}")
}

/// `ip daddr 127.0.0.11 udp dport 53 udp dport set PORT`.
fn question(protocol: Protocol, port: u16) -> NfTablesMessage {
    let rewriting = (DESTINATION_PORT, RESOLVER.port(), port);
    rule(protocol, DESTINATION_ADDRESS, rewriting, &question_comment(protocol, port))
}

/// `ip saddr 127.0.0.11 udp sport PORT udp sport set 53`.
fn answer(protocol: Protocol, port: u16) -> NfTablesMessage {
    let rewriting = (SOURCE_PORT, port, RESOLVER.port());
    rule(protocol, SOURCE_ADDRESS, rewriting, &answer_comment(protocol, port))
}

fn rule(
    protocol: Protocol,
    address: u32,
    (field, from, to): (u32, u16, u16),
    comment: &str,
) -> NfTablesMessage {
    let mut expressions = Vec::new();
    expressions.extend(equals(BASE_NETWORK, address, &resolver().octets()));
    expressions.push(Expressions::Meta(vec![
        Meta::Key(MetaKey::L4Proto),
        Meta::DestinationRegister(Register::Reg32_00),
    ]));
    expressions.push(compare(&[protocol.number()]));
    expressions.extend(equals(BASE_TRANSPORT, field, &from.to_be_bytes()));
    expressions.extend(write(protocol, field, to));
    let mut attributes = place();
    let expressions = expressions.into_iter().map(ListAttribute::from).collect();
    attributes.push(RuleAttribute::Expressions(expressions));
    attributes.push(RuleAttribute::UserData(userdata(comment)));
    NfTablesMessage::NewRule(RuleMessage { attributes })
}

const fn resolver() -> Ipv4Addr {
    match RESOLVER.ip() {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
    }
}

fn equals(base: u32, offset: u32, bytes: &[u8]) -> [Expressions; 2] {
    let load = Expressions::Payload(vec![
        Payload::DestinationRegister(Register::Reg32_00),
        Payload::Base(base),
        Payload::Offset(offset),
        // A field of a header.
        Payload::Len(u32::try_from(bytes.len()).unwrap_or(u32::MAX)),
    ]);
    [load, compare(bytes)]
}

fn compare(bytes: &[u8]) -> Expressions {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg32_00),
        Cmp::Op(Operator::Equal),
        Cmp::Data(DataAttribute::Value(bytes.to_vec())),
    ])
}

fn write(protocol: Protocol, field: u32, port: u16) -> [Expressions; 2] {
    let checksum = match protocol {
        Protocol::Tcp => 16,
        Protocol::Udp | Protocol::Sctp => 6,
    };
    let value = Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Reg32_00),
        Immediate::Data(DataAttribute::Value(port.to_be_bytes().to_vec())),
    ]);
    let set = Expressions::Payload(vec![
        Payload::SourceRegister(Register::Reg32_00),
        Payload::Base(BASE_TRANSPORT),
        Payload::Offset(field),
        Payload::Len(2),
        Payload::CsumType(ChecksumType::Inet),
        Payload::CsumOffset(checksum),
    ]);
    [value, set]
}
