//! The pure logic of the daemon: no clock, no randomness, no environment, no file and no
//! network; time and seeds are arguments.
//!
//! | module | from | to |
//! |---|---|---|
//! | [`subnets`], [`pools`] | a network's spec, what is occupied | its subnets |
//! | [`ipam`] | a subnet, leases | the address offered |
//! | [`admission`], [`parent`] | a driver's decision, grants, offers | an admitted one, or all objections |
//! | [`desired`], [`names`] | records | the resources the kernel should hold |
//! | [`view`] | the topology and a change of it | what it would be |
//! | [`links`], [`environment`] | a sandbox's links | what they lead to, open and tell |
//! | [`policy`] | policies and whom they concern | elements, change by change |
//! | [`diff`] | desired and observed resources | the ordered plan |

pub mod admission;
pub mod desired;
pub mod diff;
pub mod environment;
mod files;
mod interval;
pub mod ipam;
pub mod links;
pub mod names;
pub mod parent;
pub mod policy;
pub mod pools;
pub mod prefix;
pub mod subnets;
pub mod view;

#[cfg(test)]
mod admission_generated;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod macvlan_tests;
#[cfg(test)]
mod naming_tests;
#[cfg(test)]
mod peer_tests;
#[cfg(test)]
mod topology_tests;
