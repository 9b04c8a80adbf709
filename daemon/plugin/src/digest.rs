//! The digest by which a module is known.

use sha2::{Digest, Sha256};

const ALGORITHM: &str = "sha256:";

/// `sha256:` and 64 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{ALGORITHM}{digits}")
}

/// The digits alone, as files are named.
pub(crate) fn stem(digest: &str) -> &str {
    digest.strip_prefix(ALGORITHM).unwrap_or(digest)
}
