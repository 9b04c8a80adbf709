//! Events, one to a line.

use postern_proto::v1::event::Action;
use postern_proto::v1::watch_events_response::Lost;
use postern_proto::v1::{Event, ObjectKind};

use super::plain;

/// `TIME GENERATION KIND ACTION NAME (key=value, …)`, the attributes sorted.
pub(crate) fn line(event: &Event) -> String {
    let time = event.time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let mut attributes: Vec<_> =
        event.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    attributes.sort();
    attributes.insert(0, format!("uid={}", event.uid));
    plain(&format!(
        "{time} {} {} {} {} ({})",
        event.generation,
        kind(event.kind()),
        action(event.action()),
        event.name,
        attributes.join(", ")
    ))
}

/// Says that there is a gap, and from where on there is none.
pub(crate) fn lost(lost: &Lost) -> String {
    format!(
        "lost: events before generation {} are no longer kept; the lists show the state",
        lost.first_available
    )
}

fn kind(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Unspecified => "?",
        ObjectKind::Network => "network",
        ObjectKind::Sandbox => "sandbox",
        ObjectKind::Endpoint => "endpoint",
        ObjectKind::Policy => "policy",
        ObjectKind::Driver => "driver",
        ObjectKind::Kernel => "kernel",
        ObjectKind::Peer => "peer",
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Unspecified => "?",
        Action::Created => "created",
        Action::Updated => "updated",
        Action::Deleted => "deleted",
        Action::Joined => "joined",
        Action::Left => "left",
        Action::Repaired => "repaired",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line() {
        let event = Event {
            generation: 12,
            time: Some(prost_types::Timestamp { seconds: 0, nanos: 500_000_000 }),
            kind: ObjectKind::Endpoint.into(),
            action: Action::Joined.into(),
            uid: "u".into(),
            name: "web.front".into(),
            attributes: [("sandbox".into(), "web".into()), ("ipv4".into(), "a\nb".into())].into(),
        };
        assert_eq!(
            line(&event),
            "1970-01-01T00:00:00.500Z 12 endpoint joined web.front (uid=u, ipv4=a\\nb, sandbox=web)"
        );
    }
}
