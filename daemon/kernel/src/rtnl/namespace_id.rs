//! The number under which one namespace knows another, as links name their other ends'.

use std::os::fd::RawFd;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::socket::{NetlinkError, Socket};

impl Socket {
    /// The number of an open namespace; none if it has none yet, as no link leads there.
    pub(crate) fn namespace_id(&mut self, namespace: RawFd) -> Result<Option<i32>, NetlinkError> {
        let mut question = NsidMessage::default();
        question.attributes.push(NsidAttribute::Fd(namespace.cast_unsigned()));
        let answer = self.get(RouteNetlinkMessage::GetNsId(question))?;
        let Some(RouteNetlinkMessage::NewNsId(answer)) = answer else { return Ok(None) };
        let id = answer.attributes.iter().find_map(|attribute| match attribute {
            NsidAttribute::Id(id) if *id >= 0 => Some(*id),
            _ => None,
        });
        Ok(id)
    }
}
