//! Everything that touches the kernel: it is made to agree with a [`Plan`], and what it
//! holds is read back as a [`ResourceSet`].
//!
//! | module | what it does |
//! |---|---|
//! | `kernel` | [`Kernel`], as the rest of the daemon sees it |
//! | `linux`, `fake` | [`Linux`], and [`Fake`] for tests of what is built on it |
//! | `apply`, `observe` | the steps of a plan; the way back |
//! | `netlink` | what our netlink sockets have in common |
//! | `rtnl` | links, addresses, routes |
//! | [`nft`], [`conntrack`] | the ruleset's elements; the end of flows |
//! | [`flow_log`] | new flows, as the rules tell of them |
//! | `watch` | what somebody else changes, as netlink tells of it |
//! | `namespace`, `sysctl` | network namespaces; kernel parameters |
//! | `reaper` | links that are out of service, deleted off the request path |
//! | `ports` | the host's published ports |
//! | `forwarding`, `features` | what the host is asked for, and what it has |
//!
//! [`Plan`]: postern_model::plan::Plan
//! [`ResourceSet`]: postern_model::resource::ResourceSet

mod apply;
pub mod conntrack;
mod error;
mod fake;
mod features;
mod files;
pub mod flow_log;
mod forwarding;
mod kernel;
mod leftovers;
mod linux;
mod mark;
mod names;
mod namespace;
mod netlink;
pub mod nft;
mod observe;
mod ports;
mod prefixes;
mod reaper;
mod rtnl;
mod sysctl;
mod watch;

pub use error::{ApplyError, NamespaceError, ObserveError, OpenError};
pub use fake::Fake;
pub use features::Features;
pub use files::path_of as files_path;
pub use kernel::{Applied, Kernel, LinkFacts, LiveFlows};
pub use linux::{HostSettings, Linux};
pub use mark::{LINK_GROUP, PROTOCOL, REAP_GROUP};
pub use names::{NameService, NoNames};
pub use namespace::path_of as namespace_path;
pub use ports::{PortAsk, PortError, Ports};
pub use rtnl::NetlinkError;
pub use watch::{Suspicion, Watch};
