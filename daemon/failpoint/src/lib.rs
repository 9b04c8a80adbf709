//! Places where a test has the daemon fail, wait or die.
//!
//! A place has a name and is told what to do by `FAILPOINTS` in the daemon's environment,
//! in the words of the crate `fail`: `store.commit=7*off->1*return(kill)` kills the daemon
//! when it comes there for the eighth time, `rtnl.reply=3*off->1*return(ENOBUFS)` has it
//! believe once that the kernel was out of buffers, and `nft.request=sleep(20)` has
//! every transaction wait 20 ms. Counts, and no odds: so a run can be had again.
//!
//! There is none of it where debug assertions are off, as in a release build: a daemon that
//! serves has no such door. A cargo feature instead would be one more build of everything,
//! and a test that runs against the wrong one.

use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, raise};

/// Reads what `FAILPOINTS` asks for. To be called once, before there are threads.
///
/// # Panics
/// It cannot be understood.
pub fn set_up() {
    if cfg!(debug_assertions) {
        // Dropping it would take everything back.
        std::mem::forget(fail::FailScenario::setup());
    }
}

/// A place that may fail: `return(NAME)` gives the error of that name, and `return(kill)`
/// ends the process as a crash would.
///
/// # Errors
/// What was asked for here.
pub fn point(name: &str) -> io::Result<()> {
    if cfg!(debug_assertions) {
        fail::fail_point!(name, |what| fault(what.as_deref()));
    }
    Ok(())
}

/// A place where nothing fails: it can only wait, or end the process.
pub fn passage(name: &str) {
    // An error that is asked for here is not one that could be.
    let _ = point(name);
}

fn fault(what: Option<&str>) -> io::Result<()> {
    let errno = match what {
        Some("kill") => {
            // Nothing runs after it: no destructor, no flush, no other thread.
            raise(Signal::SIGKILL)?;
            Errno::EINTR
        }
        Some("EBUSY") => Errno::EBUSY,
        Some("EINTR") => Errno::EINTR,
        Some("ENOBUFS") => Errno::ENOBUFS,
        Some("ENOMEM") => Errno::ENOMEM,
        Some("ENOSPC") => Errno::ENOSPC,
        _ => Errno::EIO,
    };
    Err(errno.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_does_what_it_is_told_as_often_as_it_is_told() {
        fail::cfg("here", "2*off->1*return(ENOSPC)->off").unwrap();
        assert!(point("here").is_ok());
        assert!(point("elsewhere").is_ok());
        assert!(point("here").is_ok());
        let error = point("here").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ENOSPC as i32));
        assert!(point("here").is_ok());
    }
}
