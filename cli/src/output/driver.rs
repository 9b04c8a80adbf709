//! Drivers.

use std::fmt::Write;

use postern_proto::v1::{Driver, DriverState, InstallDriverResponse};

use super::{plain, table};

/// Digits of a digest that tell one from another.
const DIGEST_SHOWN: usize = 12;

/// One row for each.
pub(crate) fn table(drivers: &[Driver]) -> String {
    let rows = drivers.iter().map(|driver| {
        [
            driver.name.clone(),
            driver.version.clone(),
            if driver.built_in { "built in" } else { "installed" }.to_owned(),
            state(driver),
            driver.networks.to_string(),
            short(&driver.digest),
            driver.granted.join(" "),
        ]
    });
    let header = ["DRIVER", "VERSION", "ORIGIN", "STATE", "NETWORKS", "DIGEST", "GRANTED"];
    table::table(header, rows.collect())
}

fn short(digest: &str) -> String {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    digits.chars().take(DIGEST_SHOWN).collect()
}

fn state(driver: &Driver) -> String {
    match driver.state() {
        DriverState::Enabled => "enabled".to_owned(),
        DriverState::Disabled => "disabled".to_owned(),
        DriverState::Broken => "broken".to_owned(),
        DriverState::Quarantined => {
            let left = driver.quarantine.as_ref().map_or(0, |left| left.seconds);
            format!("quarantined, {left} s")
        }
        DriverState::Unspecified => "?".to_owned(),
    }
}

/// What a driver may, and what it asks for in vain.
pub(crate) fn granted(driver: &Driver, missing: &[String]) -> String {
    let mut text = format!("{}: {}", plain(&driver.name), state(driver));
    if !driver.granted.is_empty() {
        let _ = write!(text, "\n  granted {}", plain(&driver.granted.join(" ")));
    }
    if !missing.is_empty() {
        let _ = write!(text, "\n  asks also for {}", plain(&missing.join(" ")));
    }
    text
}

/// What an installation came to, or would.
pub(crate) fn installed(reply: &InstallDriverResponse, dry_run: bool) -> String {
    let Some(driver) = &reply.driver else { return String::new() };
    let mut text = granted(driver, &reply.missing);
    if !reply.missing.is_empty() && !dry_run {
        let _ = write!(
            text,
            "\n  not asked until it is enabled: postern driver grant, postern driver enable"
        );
    }
    for change in &reply.changes {
        let _ = write!(text, "\n  {} changes", plain(&change.object));
        for line in &change.changes {
            let _ = write!(text, "\n    {}", plain(line));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use postern_proto::v1::DecisionChange;

    use super::*;

    fn driver() -> Driver {
        Driver {
            name: "macvlan".into(),
            version: "1.2.0".into(),
            digest: "sha256:0123456789abcdef".into(),
            state: DriverState::Disabled.into(),
            granted: vec!["address".into(), "publish=80".into()],
            ..Driver::default()
        }
    }

    #[test]
    fn a_row_for_each() {
        assert_eq!(
            table(&[driver()]),
            "DRIVER    VERSION   ORIGIN      STATE      NETWORKS   DIGEST         GRANTED\n\
             macvlan   1.2.0     installed   disabled   0          0123456789ab   address publish=80"
        );
    }

    #[test]
    fn what_it_asks_for_in_vain_and_what_changes_is_shown() {
        let reply = InstallDriverResponse {
            driver: Some(driver()),
            missing: vec!["route".into()],
            changes: vec![DecisionChange {
                object: "network blue".into(),
                changes: vec!["+ {}".into()],
            }],
            plan: None,
        };
        assert_eq!(
            installed(&reply, true),
            "macvlan: disabled\n  granted address publish=80\n  asks also for route\n  \
             network blue changes\n    + {}"
        );
    }
}
