//! Running `nft`, once at start and when a fence changes; never on a request's path.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use nftables::schema::Nftables;
use postern_failpoint::point;

use super::error::NftError;

/// Hands a ruleset to `nft`, in the calling thread's namespace. The crate that gives the
/// ruleset its types runs `nft` too, but does not read its errors.
pub(super) fn run(ruleset: &Nftables<'_>) -> Result<(), NftError> {
    point("nft.script").map_err(NftError::Program)?;
    let json = serde_json::to_vec(ruleset).map_err(NftError::Ruleset)?;
    let child = Command::new("nft")
        .args(["-j", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(NftError::Program)?;
    feed(child, &json)
}

/// Closes the program's input before it waits for its end.
fn feed(mut child: Child, input: &[u8]) -> Result<(), NftError> {
    // A program that ends before it has read everything says why on its standard error.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().map_err(NftError::Program)?;
    if output.status.success() {
        return written.map_err(NftError::Program);
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let message = if message.trim().is_empty() {
        output.status.to_string()
    } else {
        message.trim().to_owned()
    };
    Err(NftError::Refused { message })
}
