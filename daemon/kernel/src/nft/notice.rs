//! What nftables tells of changes.

use super::schema::TABLE;
use super::socket::Reply;

/// The group that is told of every change: `NFNLGRP_NFTABLES`.
pub(crate) const EVENTS_GROUP: u32 = 7;

/// The table's name, in messages about tables, chains, rules, sets and elements alike.
const NAME: u16 = 1;

/// Whether a notice is about a table of ours.
pub(crate) fn is_about_ours(notice: Reply<'_>) -> bool {
    notice.all(NAME).next().is_some_and(|name| name.strip_suffix(&[0]) == Some(TABLE.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_names_its_table() {
        let about = |name: &[u8]| {
            let length = u16::try_from(4 + name.len()).unwrap();
            let mut bytes = [length.to_ne_bytes(), NAME.to_ne_bytes()].concat();
            bytes.extend(name);
            is_about_ours(Reply { attributes: &bytes, port: 1 })
        };
        assert!(about(b"postern\0"));
        assert!(!about(b"filter\0") && !about(b"postern2\0") && !about(&[0, 0, 0, 7]));
    }
}
