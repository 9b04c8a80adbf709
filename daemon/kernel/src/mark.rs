//! The marks by which the daemon knows its own objects again.
//!
//! A link carries a group, given at its creation, and an alias, given right after. The
//! group alone tells what a daemon that died in between left behind; the alias tells
//! whose the link is. Routes and addresses carry a protocol number.

use postern_model::resource::Owner;

/// The link group of every live link of ours (`0x5050`).
pub const LINK_GROUP: u32 = 0x5050;

/// The link group of links that are out of service and wait to be deleted.
pub const REAP_GROUP: u32 = 0x5051;

/// The protocol number of routes and addresses of ours. Nobody has it in `rt_protos` or
/// in the kernel's headers; 80, the nearest to a port's name, is Calico's.
pub const PROTOCOL: u8 = 85;

const PREFIX: &str = "postern:";

/// The alias of an owner's link.
pub(crate) fn alias(owner: Owner) -> String {
    format!("{PREFIX}{owner}")
}

/// Whose link it is, by its alias; none if it is not ours.
pub(crate) fn owner(alias: Option<&str>) -> Option<Owner> {
    Owner::parse(alias?.strip_prefix(PREFIX)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_names_its_owner() {
        let id = "01932c07-a9d0-7000-8abc-0123456789ab";
        let endpoint = Owner::Endpoint(id.parse().unwrap());
        assert_eq!(owner(Some(&alias(endpoint))), Some(endpoint));
        for foreign in [None, Some(""), Some("postern:"), Some("uplink"), Some(id)] {
            assert_eq!(owner(foreign), None, "{foreign:?}");
        }
    }
}
