//! Transactions: changes are sent to the kernel, which takes all of them or none.

use std::collections::BTreeMap;
use std::io;

use netlink_packet_core::NLM_F_ACK;
use netlink_packet_netfilter::nftables::{NfTablesMessage, SetElementList};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use postern_failpoint::point;

use super::batch::{Changes, DESTROY_SET_ELEMENT, Message, Removal, Subject, in_table, untyped};
use super::error::NftError;
use super::schema::Table;
use super::socket::{Answer, Frame, NetfilterSocket};

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;

/// Carries the changes out, in their order, as one transaction.
pub(super) fn transact(socket: &mut NetfilterSocket, group: &[&Changes]) -> Result<(), NftError> {
    let messages: Vec<&Message> = group.iter().flat_map(|changes| &changes.0).collect();
    if messages.is_empty() {
        return Ok(());
    }
    // One acknowledgement says that all went well; a failure is always reported.
    let flags = |index| if index + 1 == messages.len() { NLM_F_ACK } else { 0 };
    let frames = messages.iter().enumerate().map(|(index, one)| (&one.frame, flags(index)));
    let (request, sequences) = enclosed(socket, frames);
    let sequences = sequences.into_iter().zip(messages.iter().copied()).collect();
    point("nft.request").map_err(failed)?;
    let answers = socket.exchange(&request).map_err(failed)?;
    judge(answers, &sequences)?;
    point("nft.reply").map_err(failed)
}

/// The messages between a begin and an end, and their sequence numbers.
fn enclosed<'a>(
    socket: &mut NetfilterSocket,
    frames: impl Iterator<Item = (&'a Frame, u16)>,
) -> (Vec<u8>, Vec<u32>) {
    let mut request = Vec::new();
    control(ControlMessage::BatchBegin).write(socket.next_sequence(), 0, &mut request);
    let mut sequences = Vec::new();
    for (frame, flags) in frames {
        let sequence = socket.next_sequence();
        frame.write(sequence, flags, &mut request);
        sequences.push(sequence);
    }
    control(ControlMessage::BatchEnd).write(socket.next_sequence(), 0, &mut request);
    (request, sequences)
}

fn control(message: ControlMessage) -> Frame {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM);
    Frame::new(NetfilterMessage::new(header, message), 0)
}

const fn failed(source: io::Error) -> NftError {
    NftError::Socket { operation: "change nftables", source }
}

/// The first failure; success only if the last message is acknowledged.
fn judge(answers: Vec<Answer>, messages: &BTreeMap<u32, &Message>) -> Result<(), NftError> {
    let mut acknowledged = false;
    for answer in answers {
        let message = messages.get(&answer.sequence);
        match answer.error {
            None => acknowledged |= message.is_some(),
            Some(error) => {
                let offset = error.offset.and_then(|offset| usize::try_from(offset).ok());
                let subject = message.and_then(|message| message.subject.as_ref());
                return Err(match subject {
                    Some(subject) => subject.refused(offset, error.into()),
                    None => failed(error.into()),
                });
            }
        }
    }
    if acknowledged {
        return Ok(());
    }
    Err(failed(io::Error::new(io::ErrorKind::InvalidData, "no acknowledgement")))
}

impl Subject {
    fn refused(&self, offset: Option<usize>, source: io::Error) -> NftError {
        let (action, set) = (self.action, self.set);
        let offset = offset.filter(|at| *at >= self.first);
        let found = offset.and_then(|at| self.elements.iter().find(|(_, end)| at < *end));
        match found {
            Some((element, _)) => {
                NftError::Element { action, element: Box::new(element.clone()), source }
            }
            None => NftError::Set { action, set, source },
        }
    }
}

/// Asks the kernel which removal it knows, by one from a table that is not there.
pub(super) fn known_removal(socket: &mut NetfilterSocket) -> io::Result<Removal> {
    let attributes = [
        SetElementList::Table("postern-no-such-table".to_owned()),
        SetElementList::Set("none".to_owned()),
    ];
    let message = NfTablesMessage::Other {
        message_type: DESTROY_SET_ELEMENT,
        attributes: attributes.iter().map(untyped).collect(),
    };
    let probe = Frame::new(in_table(Table::Inet, message), NLM_F_ACK);
    let (request, sequences) = enclosed(socket, [(&probe, 0)].into_iter());
    let known = socket.exchange(&request)?.into_iter().any(|answer| {
        sequences.contains(&answer.sequence)
            && answer.error.is_some_and(|error| error.code == libc::ENOENT)
    });
    Ok(if known { Removal::Destroy } else { Removal::AddAndDelete })
}
