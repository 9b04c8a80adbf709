//! What is wrong with single settings.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnetwork::IpNetwork;
use postern_model::network::special_purpose;
use postern_planner::policy::NameLimits;
use postern_planner::prefix;
use postern_plugin::Limits as DriverLimits;
use postern_resolver::Limits;

use super::{BridgeSettings, SettingsError};

/// A day, in seconds: no address is held longer for the floor's sake.
const NAME_TTL_MAX: u64 = 24 * 60 * 60;
/// No name has more addresses for one endpoint.
const NAME_ADDRESSES_MAX: usize = 1_000;
/// No limit of the resolver is higher.
const LIMIT_MAX: usize = 1 << 20;

pub(super) fn wrong(setting: &'static str, reason: impl Into<String>) -> SettingsError {
    SettingsError::Value { setting, reason: reason.into() }
}

/// A setting's name, its value, and the limit it is.
pub(super) type LimitSetting = (&'static str, Option<usize>, fn(&mut Limits) -> &mut usize);

/// The limits with those that are given; each is a number of things kept in memory.
pub(super) fn limits(given: &[LimitSetting]) -> Result<Limits, SettingsError> {
    let mut limits = Limits::default();
    for (setting, value, limit) in given {
        match value {
            None => {}
            Some(value) if *value <= LIMIT_MAX => *limit(&mut limits) = *value,
            Some(value) => return Err(wrong(setting, format!("{value} is over {LIMIT_MAX}"))),
        }
    }
    Ok(limits)
}

/// How names in policies are dealt with.
pub(super) fn names(
    floor: Option<u64>,
    addresses: Option<usize>,
) -> Result<NameLimits, SettingsError> {
    let (floor, addresses) = (floor.unwrap_or(60), addresses.unwrap_or(100));
    if floor > NAME_TTL_MAX {
        return Err(wrong("name-ttl-min", format!("{floor} is over {NAME_TTL_MAX}")));
    }
    if !(1..=NAME_ADDRESSES_MAX).contains(&addresses) {
        let reason = format!("{addresses} is not from 1 to {NAME_ADDRESSES_MAX}");
        return Err(wrong("name-addresses", reason));
    }
    Ok(NameLimits { floor: Duration::from_secs(floor), addresses })
}

pub(super) fn absolute(
    setting: &'static str,
    given: Option<PathBuf>,
    default: &str,
) -> Result<PathBuf, SettingsError> {
    let path = given.unwrap_or_else(|| PathBuf::from(default));
    if path.is_absolute() {
        return Ok(path);
    }
    Err(wrong(setting, format!("{} is not an absolute path", path.display())))
}

pub(super) fn socket_path(text: &str) -> Result<PathBuf, SettingsError> {
    let path = text.strip_prefix("unix://").map(PathBuf::from).filter(|path| path.is_absolute());
    path.ok_or_else(|| {
        // Over TCP anybody who reaches the port would own the host's network.
        wrong("listen", format!("`{text}` is not of the form unix:///path; other transports need authentication, which is not there yet"))
    })
}

pub(super) fn check_bridge(bridge: &BridgeSettings) -> Result<(), SettingsError> {
    check_family(
        ("bip", bridge.bip.map(IpNetwork::V4)),
        ("fixed-cidr", bridge.fixed_cidr.map(IpNetwork::V4)),
        ("default-gateway", bridge.gateway.map(IpAddr::V4)),
    )?;
    check_family(
        ("bip6", bridge.bip6.map(IpNetwork::V6)),
        ("fixed-cidr-v6", bridge.fixed_cidr_v6.map(IpNetwork::V6)),
        ("default-gateway-v6", bridge.gateway_v6.map(IpAddr::V6)),
    )
}

/// The address that ports are published on where none is asked for.
pub(super) fn publish_address(ip: IpAddr) -> Result<IpAddr, SettingsError> {
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    if ip.is_multicast() || broadcast {
        return Err(wrong("ip", format!("{ip} is not the address of a host")));
    }
    if ip.is_ipv6() && ip.is_loopback() {
        return Err(wrong(
            "ip",
            "ports cannot be published on ::1: the kernel routes nothing from it to another link",
        ));
    }
    Ok(ip)
}

fn check_family(
    (bip_setting, bip): (&'static str, Option<IpNetwork>),
    (fixed_setting, fixed): (&'static str, Option<IpNetwork>),
    (gateway_setting, gateway): (&'static str, Option<IpAddr>),
) -> Result<(), SettingsError> {
    for (setting, given) in [(bip_setting, bip), (fixed_setting, fixed)] {
        let special = given.and_then(|given| Some((given, special_purpose(given)?)));
        if let Some((given, what)) = special {
            return Err(wrong(
                setting,
                format!("{given} has addresses for something else: {what}"),
            ));
        }
    }
    let bits = |bip: &IpNetwork| if bip.is_ipv4() { 32 } else { 128 };
    if let Some(bip) = bip.filter(|bip| bip.prefix() == bits(bip)) {
        return Err(wrong(bip_setting, format!("{bip} has no room for anybody but the bridge")));
    }
    if let Some(bip) = bip.filter(|bip| bip.ip() == bip.network() && bip.prefix() < 31) {
        return Err(wrong(
            bip_setting,
            format!("{bip} is a network, not the bridge's address in it"),
        ));
    }
    if let Some(bip) =
        bip.filter(|bip| bip.is_ipv4() && bip.ip() == bip.broadcast() && bip.prefix() < 31)
    {
        return Err(wrong(bip_setting, format!("{bip} is the broadcast address of its network")));
    }
    if let Some(fixed) = fixed {
        if prefix::has_host_bits(fixed) {
            return Err(wrong(fixed_setting, format!("{fixed} has host bits set")));
        }
        if let Some(bip) = bip.filter(|bip| !prefix::contains(*bip, fixed)) {
            return Err(wrong(fixed_setting, format!("{fixed} is not inside {bip_setting} {bip}")));
        }
    }
    if let Some(gateway) = gateway {
        let subnet = bip.or(fixed);
        if !subnet.is_some_and(|subnet| subnet.contains(gateway)) {
            return Err(wrong(gateway_setting, format!("{gateway} is not inside {bip_setting}")));
        }
    }
    Ok(())
}

/// The limits of drivers: the defaults, and what is given.
pub(super) fn driver_limits(given: &[String]) -> Result<DriverLimits, SettingsError> {
    let mut limits = DriverLimits::default();
    for text in given {
        limits.set(text).map_err(|error| wrong("driver-limit", error.to_string()))?;
    }
    Ok(limits)
}
