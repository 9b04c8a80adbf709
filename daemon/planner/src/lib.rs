//! The pure logic of the daemon: no clock, no randomness, no environment, no file and no
//! network; time and seeds are arguments.
//!
//! | module | from | to |
//! |---|---|---|
//! | [`subnets`], [`pools`] | a network's spec, what is occupied | its subnets |
//! | [`ipam`] | a subnet, leases | the address offered |
//! | [`admission`] | a driver's decision, grants, offers | an admitted one, or all objections |
//! | [`desired`], [`names`] | records | the resources the kernel should hold |
//! | [`diff`] | desired and observed resources | the ordered plan |

pub mod admission;
pub mod desired;
pub mod diff;
mod interval;
pub mod ipam;
pub mod names;
pub mod pools;
pub mod prefix;
pub mod subnets;
