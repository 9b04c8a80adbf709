//! Any bytes at all through the whole way of a message.

use std::sync::Arc;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::RecordType;
use proptest::prelude::*;

use crate::fixture::{ask, sandbox_id, topology};
use crate::message::Transport;
use crate::serve::handle::Outcome;
use crate::serve::{Door, Shared};
use crate::{Limits, ResolverOptions};

fn door() -> Door {
    let shared = Shared::new(ResolverOptions {
        host_file: "/nonexistent/resolv.conf".into(),
        limits: Limits::default(),
    });
    if let Ok(mut directory) = shared.directory.write() {
        topology().iter().for_each(|put| directory.put(put));
    }
    Door::new(Arc::new(shared), sandbox_id(1))
}

/// Either nothing, or a reply to this very message that a client can read.
fn is_sound(door: &Door, bytes: &[u8]) -> Result<(), TestCaseError> {
    for (transport, most) in [(Transport::Udp, 1232), (Transport::Tcp, 65535)] {
        let mut out = Vec::new();
        if let Outcome::Reply = door.handle(bytes, transport, &mut out) {
            prop_assert!(out.len() <= most);
            let reply = Message::from_vec(&out);
            prop_assert!(reply.is_ok(), "{:?} of {:?}", reply, bytes);
            prop_assert_eq!(out.get(..2), bytes.get(..2));
            prop_assert!(reply.is_ok_and(|m| m.message_type == MessageType::Response));
        }
    }
    Ok(())
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("db.back.".to_owned()),
        Just("_postgresql._tcp.db.".to_owned()),
        Just("3.0.2.10.in-addr.arpa.".to_owned()),
        "([a-z0-9_-]{1,20}\\.){1,8}",
    ]
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        is_sound(&door(), &bytes)?;
    }

    #[test]
    fn questions_with_wrong_bytes(
        name in any_name(),
        record_type: u16,
        payload: Option<u16>,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        more in proptest::collection::vec(any::<u8>(), 0..40),
        length: prop::sample::Index,
        keep: bool,
    ) {
        let message = ask(7, &name, RecordType::from(record_type), payload);
        let Ok(mut bytes) = message.to_vec() else { return Ok(()) };
        bytes.extend(more);
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if !keep {
            bytes.truncate(length.index(bytes.len()));
        }
        is_sound(&door(), &bytes)?;
    }
}
