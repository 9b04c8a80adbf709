//! Kernel parameters: `net.<family>.conf.<link>.<key>`, and a few global ones.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use postern_failpoint::point;
use postern_model::decision::LinkSysctl;
use postern_model::name::IfName;
use postern_model::network::Family;

/// Everything below it belongs to the namespace of the thread that looks.
const NET: &str = "/proc/sys/net";

/// The directory of a family's links, `all` and `default`; absent if the family is off.
pub(crate) fn links(family: Family) -> PathBuf {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    Path::new(NET).join(family).join("conf")
}

/// Sets a parameter of a link in the thread's namespace. With IPv6 off, its parameters
/// do not exist, and nothing needs them.
pub(crate) fn set(link: &IfName, sysctl: &LinkSysctl, value: &str) -> io::Result<()> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if sysctl.key.is_empty() || !sysctl.key.bytes().all(plain) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a parameter"));
    }
    let family = links(sysctl.family);
    if sysctl.family == Family::V6 && !family.exists() {
        return Ok(());
    }
    write(&family.join(link.as_str()).join(&sysctl.key), value)
}

/// Reads a parameter, without the white space around it.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

/// Sets a parameter that exists.
pub(crate) fn write(path: &Path, value: &str) -> io::Result<()> {
    point("sysctl.write")?;
    // One write, as the kernel wants it, and never a file made by mistake.
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, value.as_bytes())
}
