//! The fields of keys and values: written and read in network order, each padded to four
//! bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use postern_model::cluster::Vni;
use postern_model::mac::MacAddr;
use postern_model::name::{IFNAME_MAX, IfName};
use postern_model::network::Family;
use postern_model::port::Protocol;

/// `IFNAMSIZ`: a name in a key is this long, filled up with zeros.
const NAME_LENGTH: usize = IFNAME_MAX + 1;

#[derive(Default)]
pub(super) struct Fields(pub(super) Vec<u8>);

impl Fields {
    pub(super) fn push(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(super) fn name(self, name: &IfName) -> Self {
        let mut bytes = [0; NAME_LENGTH];
        for (to, from) in bytes.iter_mut().zip(name.as_str().bytes()) {
            *to = from;
        }
        self.push(&bytes)
    }

    pub(super) fn mac(self, mac: MacAddr) -> Self {
        self.push(&mac.bytes())
    }

    pub(super) fn ip(self, ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => self.push(&ip.octets()),
            IpAddr::V6(ip) => self.push(&ip.octets()),
        }
    }

    /// As a VXLAN header has it: 24 bits, and a byte of zeros.
    pub(super) fn vni(self, vni: Vni) -> Self {
        self.push(&(vni.number() << 8).to_be_bytes())
    }

    pub(super) fn protocol(self, protocol: Protocol) -> Self {
        self.push(&[protocol.number()])
    }

    /// As the kernel has a packet's priority: in the machine's own order.
    pub(super) fn identity(self, identity: u32) -> Self {
        self.push(&identity.to_ne_bytes())
    }

    pub(super) fn port(self, port: u16) -> Self {
        self.push(&port.to_be_bytes())
    }
}

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        let (padding, rest) = rest.split_at_checked(N.next_multiple_of(4) - N)?;
        self.0 = rest;
        padding.iter().all(|byte| *byte == 0).then_some(*field)
    }

    pub(super) fn name(&mut self) -> Option<IfName> {
        let bytes = self.take::<NAME_LENGTH>()?;
        let length = bytes.iter().position(|byte| *byte == 0)?;
        let (name, padding) = bytes.split_at_checked(length)?;
        if padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        std::str::from_utf8(name).ok()?.parse().ok()
    }

    pub(super) fn same_name(&mut self) -> Option<IfName> {
        let name = self.name()?;
        (self.name()? == name).then_some(name)
    }

    pub(super) fn mac(&mut self) -> Option<MacAddr> {
        MacAddr::new(self.take()?).ok()
    }

    pub(super) fn ip(&mut self, family: Family) -> Option<IpAddr> {
        Some(match family {
            Family::V4 => Ipv4Addr::from(self.take::<4>()?).into(),
            Family::V6 => Ipv6Addr::from(self.take::<16>()?).into(),
        })
    }

    pub(super) fn vni(&mut self) -> Option<Vni> {
        let number = u32::from_be_bytes(self.take()?);
        Vni::try_from(number >> 8).ok().filter(|_| number & 0xff == 0)
    }

    /// A host address; an unspecified one belongs into the other map.
    pub(super) fn host(&mut self, family: Family) -> Option<IpAddr> {
        self.ip(family).filter(|ip| !ip.is_unspecified())
    }

    pub(super) fn protocol(&mut self) -> Option<Protocol> {
        let [number] = self.take()?;
        Protocol::from_number(number)
    }

    pub(super) fn identity(&mut self) -> Option<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    pub(super) fn port(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }
}
