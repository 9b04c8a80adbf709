//! Skeleton.

pub mod conntrack;
pub mod nft;
