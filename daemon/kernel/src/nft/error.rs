//! What can go wrong.

use std::fmt;
use std::io;

use postern_model::resource::Element;

/// What was to be done with an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Put it into its set.
    Add,
    /// Take it out of its set.
    Remove,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "add",
            Self::Remove => "remove",
        })
    }
}

/// Why the tables could not be read or changed. Nothing was changed then: a transaction
/// takes place as a whole or not at all.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The netlink socket, or the kernel's side of it, failed.
    #[error("cannot {operation}")]
    Socket {
        /// What was to be done.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The thread that commits could not be started.
    #[error("cannot start the thread that commits to nftables")]
    Thread(#[source] io::Error),
    /// The program `nft` could not be run.
    #[error("cannot run `nft`")]
    Program(#[source] io::Error),
    /// The ruleset could not be put into words.
    #[error("cannot write the ruleset as JSON")]
    Ruleset(#[source] serde_json::Error),
    /// `nft` refused the ruleset.
    #[error("`nft` refused the ruleset: {message}")]
    Refused {
        /// What it printed.
        message: String,
    },
    /// No map can hold a published port or a source address of mixed families.
    #[error("{element} is of two address families")]
    MixedFamilies {
        /// The element.
        element: Box<Element>,
    },
    /// The kernel refused an element: most often a map has another value for its key.
    #[error("cannot {action} `{element}`")]
    Element {
        /// What was to be done.
        action: Action,
        /// The element.
        element: Box<Element>,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refused a change of a set as such: most often the base ruleset is not there.
    #[error("cannot {action} elements of set `{set}`")]
    Set {
        /// What was to be done.
        action: Action,
        /// The set's name.
        set: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The committing thread is gone.
    #[error("nothing commits to nftables any more")]
    Stopped,
}

impl NftError {
    /// Whether something by the name of what was to be made is there already and is another
    /// thing, such as a set with other keys.
    pub(super) fn is_of_another_layout(&self) -> bool {
        let (Self::Socket { source, .. } | Self::Set { source, .. }) = self else { return false };
        source.kind() == io::ErrorKind::AlreadyExists
    }
}
