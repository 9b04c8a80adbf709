//! Links.

use postern_proto::v1::link_status::State;
use postern_proto::v1::{LinkStatus, Sandbox};

use super::table;

/// One row for each link.
pub(crate) fn table(sandboxes: &[Sandbox]) -> String {
    let rows = sandboxes.iter().flat_map(|sandbox| {
        sandbox.links.iter().map(|status| {
            let link = status.link.clone().unwrap_or_default();
            let addresses = status.addresses.join(", ");
            [sandbox.name.clone(), link.alias, link.source, addresses, state(status)]
        })
    });
    table::table(["SANDBOX", "ALIAS", "SOURCE", "ADDRESSES", "STATE"], rows.collect())
}

/// Whether a link works, and if not, why.
fn state(status: &LinkStatus) -> String {
    match status.state() {
        State::Live => "live".to_owned(),
        _ => status.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use postern_proto::v1::Link;

    use super::*;

    #[test]
    fn a_link_that_does_not_work_says_why() {
        let link = |alias: &str| Some(Link { source: "db".into(), alias: alias.into() });
        let web = Sandbox {
            name: "web".into(),
            links: vec![
                LinkStatus {
                    link: link("webdb"),
                    state: State::Live.into(),
                    addresses: vec!["10.0.0.2".into(), "fd00::2".into()],
                    ..LinkStatus::default()
                },
                LinkStatus {
                    link: link("x"),
                    state: State::NoSource.into(),
                    reason: "there is no sandbox `db`".into(),
                    ..LinkStatus::default()
                },
            ],
            ..Sandbox::default()
        };
        assert_eq!(
            table(&[web]),
            "SANDBOX   ALIAS   SOURCE   ADDRESSES           STATE\n\
             web       webdb   db       10.0.0.2, fd00::2   live\n\
             web       x       db                           there is no sandbox `db`"
        );
    }
}
