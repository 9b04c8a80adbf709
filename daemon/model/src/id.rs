//! Server-made identifiers: UUIDv7 of one type for each kind of object.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::dns::DnsName;

/// The text is not a UUID in its hyphenated form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a uid")]
pub struct InvalidUid(pub String);

macro_rules! uid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID; making one needs a clock and is the caller's affair.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// Twelve hexadecimal digits for tables and kernel names. The last ones: a
            /// UUIDv7 begins with the time, so objects made together share the first.
            pub fn short(self) -> String {
                let hex = self.0.simple().to_string();
                hex[20..].to_owned()
            }

            /// [`Self::short`] as a DNS name.
            pub fn label(self) -> DnsName {
                DnsName::of_hex(&self.short())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = InvalidUid;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
                    _ => Err(InvalidUid(text.to_owned())),
                }
            }
        }
    };
}

uid!(
    /// A network's uid.
    NetworkId
);
uid!(
    /// A sandbox's uid.
    SandboxId
);
uid!(
    /// An endpoint's uid.
    EndpointId
);
uid!(
    /// A policy's uid.
    PolicyId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_is_the_random_end() {
        let id: NetworkId = "01932c07-a9d0-7000-8abc-0123456789ab".parse().unwrap();
        assert_eq!(id.short(), "0123456789ab");
    }

    #[test]
    fn only_the_hyphenated_form_is_a_uid() {
        assert!("01932c07a9d070008abc0123456789ab".parse::<EndpointId>().is_err());
        assert!("web".parse::<SandboxId>().is_err());
    }
}
