//! Events.

use postern_model::event::{Action, Event, ObjectKind};
use postern_model::intent::WatchEvents;
use postern_model::refusal::Refusal;
use postern_proto::v1;
use postern_proto::v1::watch_events_response::{Item, Lost};

use super::fields::Fields;
use super::shared::{finish, timestamp};
use crate::backend::EventItem;

pub(crate) fn watch_events(request: v1::WatchEventsRequest) -> Result<WatchEvents, Refusal> {
    let mut fields = Fields::default();
    let v1::WatchEventsRequest { after_generation, kinds } = request;
    let mut wanted = Vec::new();
    for (index, number) in kinds.into_iter().enumerate() {
        match v1::ObjectKind::try_from(number) {
            Ok(v1::ObjectKind::Network) => wanted.push(ObjectKind::Network),
            Ok(v1::ObjectKind::Sandbox) => wanted.push(ObjectKind::Sandbox),
            Ok(v1::ObjectKind::Endpoint) => wanted.push(ObjectKind::Endpoint),
            Ok(v1::ObjectKind::Policy) => wanted.push(ObjectKind::Policy),
            Ok(v1::ObjectKind::Driver) => wanted.push(ObjectKind::Driver),
            Ok(v1::ObjectKind::Kernel) => wanted.push(ObjectKind::Kernel),
            Ok(v1::ObjectKind::Peer) => wanted.push(ObjectKind::Peer),
            Ok(v1::ObjectKind::Unspecified) | Err(_) => {
                fields.wrong(format!("kinds[{index}]"), format!("{number} is not a kind"));
            }
        }
    }
    finish(fields, Some(WatchEvents { after: after_generation, kinds: wanted }))
}

/// An item of the stream as the API shows it.
pub(crate) fn event_item(item: EventItem) -> v1::WatchEventsResponse {
    let item = match item {
        EventItem::Event(event) => Item::Event(self::event(event)),
        EventItem::Lost { first_available } => Item::Lost(Lost { first_available }),
    };
    v1::WatchEventsResponse { item: Some(item) }
}

fn event(event: Event) -> v1::Event {
    let Event { generation, time, kind, action, uid, name, attributes } = event;
    let kind = match kind {
        ObjectKind::Network => v1::ObjectKind::Network,
        ObjectKind::Sandbox => v1::ObjectKind::Sandbox,
        ObjectKind::Endpoint => v1::ObjectKind::Endpoint,
        ObjectKind::Policy => v1::ObjectKind::Policy,
        ObjectKind::Driver => v1::ObjectKind::Driver,
        ObjectKind::Kernel => v1::ObjectKind::Kernel,
        ObjectKind::Peer => v1::ObjectKind::Peer,
    };
    let action = match action {
        Action::Created => v1::event::Action::Created,
        Action::Updated => v1::event::Action::Updated,
        Action::Deleted => v1::event::Action::Deleted,
        Action::Joined => v1::event::Action::Joined,
        Action::Left => v1::event::Action::Left,
        Action::Repaired => v1::event::Action::Repaired,
    };
    v1::Event {
        generation,
        time: Some(timestamp(time)),
        kind: kind.into(),
        action: action.into(),
        uid,
        name,
        attributes: attributes.into_iter().collect(),
    }
}
