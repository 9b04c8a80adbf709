//! Links: the messages that change them, and a link as it is read.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridge, InfoBridgePort, InfoData, InfoKind,
    InfoMacVlan, InfoPortData, InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo,
    LinkLayerType, LinkMessage,
};
use nix::errno::Errno;
use postern_model::cluster::Vni;
use postern_model::decision::MacvlanMode;
use postern_model::mac::MacAddr;
use postern_model::resource::{Bridge, Veth};
use rtnetlink::{LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::socket::{Mode, NetlinkError, Socket};
use super::{macvlan, vxlan};
use crate::mark::{self, LINK_GROUP, REAP_GROUP};

/// The index of the loopback link, in every namespace.
const LOOPBACK: u32 = 1;

/// What a link is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// A bridge.
    Bridge {
        /// Frames of both families pass the forward hook.
        filtered: bool,
    },
    /// One end of a pair.
    Veth {
        /// The index of the other end.
        peer: u32,
        /// The number under which the reader's namespace knows the other end's; none if
        /// it is the same.
        peer_namespace: Option<i32>,
    },
    /// A macvlan.
    Macvlan {
        /// The mode; none of one that we never set.
        mode: Option<MacvlanMode>,
        /// The index of the parent.
        parent: u32,
        /// The number under which the reader's namespace knows the parent's; none if it is
        /// the same.
        parent_namespace: Option<i32>,
    },
    /// A VXLAN link.
    Vxlan {
        /// What its frames carry.
        vni: Vni,
        /// The host's address in the underlay.
        local: IpAddr,
        /// UDP.
        port: u16,
    },
    /// Anything else.
    Other,
}

/// A link as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkRecord {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) alias: Option<String>,
    pub(crate) group: u32,
    pub(crate) mtu: u32,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) master: Option<u32>,
    pub(crate) hairpin: bool,
    pub(crate) quiet: bool,
    pub(crate) up: bool,
    pub(crate) ethernet: bool,
    pub(crate) kind: LinkKind,
}

impl LinkRecord {
    /// Whether the link is a bridge.
    pub(crate) const fn is_bridge(&self) -> bool {
        matches!(self.kind, LinkKind::Bridge { .. })
    }

    /// Whether it was made by us and not marked yet: what is left where the making was broken
    /// off, or the kernel's answer lost.
    pub(crate) fn is_half_made(&self) -> bool {
        self.is_ours_to_make()
            && self.alias.is_none()
            && matches!(self.group, LINK_GROUP | REAP_GROUP)
    }

    /// Whether it is of a kind that we make on the host.
    pub(crate) const fn is_ours_to_make(&self) -> bool {
        matches!(
            self.kind,
            LinkKind::Bridge { .. } | LinkKind::Veth { .. } | LinkKind::Vxlan { .. }
        )
    }

    /// Whether it is an end of a pair whose other end has this index.
    pub(crate) fn leads_to(&self, index: u32) -> bool {
        matches!(self.kind, LinkKind::Veth { peer, .. } if peer == index)
    }

    fn read(message: LinkMessage) -> Self {
        let mut record = Self {
            index: message.header.index,
            name: String::new(),
            alias: None,
            group: 0,
            mtu: 0,
            mac: None,
            master: None,
            hairpin: false,
            quiet: false,
            up: message.header.flags.contains(LinkFlags::Up),
            ethernet: message.header.link_layer_type == LinkLayerType::Ether,
            kind: LinkKind::Other,
        };
        let (mut other, mut namespace) = (0, None);
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => record.name = name,
                LinkAttribute::IfAlias(alias) => record.alias = Some(alias),
                LinkAttribute::Group(group) => record.group = group,
                LinkAttribute::Mtu(mtu) => record.mtu = mtu,
                LinkAttribute::Controller(index) => record.master = Some(index),
                LinkAttribute::Link(index) => other = index,
                LinkAttribute::LinkNetNsId(id) => namespace = Some(id),
                LinkAttribute::LinkInfo(infos) => record.read_kind(&infos),
                LinkAttribute::Address(bytes) => {
                    let bytes = bytes.try_into().ok();
                    record.mac = bytes.and_then(|bytes| MacAddr::new(bytes).ok());
                }
                _ => {}
            }
        }
        match &mut record.kind {
            LinkKind::Veth { peer, peer_namespace } => {
                (*peer, *peer_namespace) = (other, namespace);
            }
            LinkKind::Macvlan { parent, parent_namespace, .. } => {
                (*parent, *parent_namespace) = (other, namespace);
            }
            LinkKind::Bridge { .. } | LinkKind::Vxlan { .. } | LinkKind::Other => {}
        }
        record
    }

    fn read_kind(&mut self, infos: &[LinkInfo]) {
        for info in infos {
            match info {
                LinkInfo::Kind(InfoKind::Bridge) => {
                    self.kind = LinkKind::Bridge { filtered: false }
                }
                LinkInfo::Kind(InfoKind::Veth) => {
                    self.kind = LinkKind::Veth { peer: 0, peer_namespace: None };
                }
                LinkInfo::Kind(InfoKind::MacVlan) => self.kind = macvlan::kind(None),
                LinkInfo::Data(InfoData::MacVlan(data)) => {
                    let mode = data.iter().find_map(|info| match info {
                        InfoMacVlan::Mode(mode) => macvlan::mode_of(*mode),
                        _ => None,
                    });
                    self.kind = macvlan::kind(mode);
                }
                LinkInfo::Data(InfoData::Bridge(data)) => {
                    let filtered = data.contains(&InfoBridge::NfCallIpTables(true))
                        && data.contains(&InfoBridge::NfCallIp6Tables(true));
                    self.kind = LinkKind::Bridge { filtered };
                }
                LinkInfo::Data(InfoData::Vxlan(data)) => self.kind = vxlan::kind(data),
                LinkInfo::PortData(InfoPortData::BridgePort(data)) => {
                    self.hairpin = data.contains(&InfoBridgePort::HairpinMode(true));
                    self.quiet = data.contains(&InfoBridgePort::ProxyARPWifi(true));
                }
                _ => {}
            }
        }
    }
}

impl Socket {
    /// The link of a name; none if there is none.
    pub(crate) fn link(&mut self, name: &str) -> Result<Option<LinkRecord>, NetlinkError> {
        let link = brief(LinkUnspec::new_with_name(name)).build();
        match self.get(RouteNetlinkMessage::GetLink(link)) {
            Ok(Some(RouteNetlinkMessage::NewLink(link))) => Ok(Some(LinkRecord::read(link))),
            Ok(_) => Ok(None),
            Err(error) if error.errno == Errno::ENODEV => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every link.
    pub(crate) fn links(&mut self) -> Result<Vec<LinkRecord>, NetlinkError> {
        let all = brief(LinkMessageBuilder::<LinkUnspec>::new()).build();
        let messages = self.dump(&RouteNetlinkMessage::GetLink(all))?;
        let links = messages.into_iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(LinkRecord::read(link)),
            _ => None,
        });
        Ok(links.collect())
    }

    /// Makes a bridge, down and with no more mark than its group.
    pub(crate) fn create_bridge(&mut self, bridge: &Bridge) -> Result<(), NetlinkError> {
        let name = bridge.name.as_str();
        let mut link = LinkMessageBuilder::<LinkBridge>::new(name).link_group(LINK_GROUP);
        if let Some(mac) = bridge.mac {
            link = link.address(mac.bytes().to_vec());
        }
        self.new_link(link.build(), Mode::Create)
    }

    /// Gives a bridge of ours its mark and its properties, and brings it up.
    pub(crate) fn set_bridge(&mut self, index: u32, bridge: &Bridge) -> Result<(), NetlinkError> {
        let mut link = filtered(index, bridge.filtered)
            .append_info_data(InfoBridge::ForwardDelay(0))
            .alias(mark::alias(bridge.owner))
            .link_group(LINK_GROUP)
            .up();
        if let Some(mac) = bridge.mac {
            link = link.address(mac.bytes().to_vec());
        }
        if let Some(mtu) = bridge.mtu {
            link = link.mtu(mtu);
        }
        self.new_link(link.build(), Mode::Change)
    }

    /// Makes a bridge's frames pass the forward hook, or not.
    pub(crate) fn set_filtered(&mut self, index: u32, on: bool) -> Result<(), NetlinkError> {
        self.new_link(filtered(index, on).build(), Mode::Change)
    }

    /// Makes a pair, both ends down: the host's a port of `master` with no more mark than
    /// its group, the other in `namespace`.
    pub(crate) fn create_veth(
        &mut self,
        veth: &Veth,
        master: u32,
        namespace: impl AsFd,
    ) -> Result<(), NetlinkError> {
        let peer = LinkUnspec::new_with_name(veth.interface.as_str())
            .address(veth.mac.bytes().to_vec())
            .mtu(veth.mtu)
            .setns_by_fd(namespace.as_fd().as_raw_fd())
            .build();
        let link = LinkVeth::new(veth.name.as_str(), veth.interface.as_str())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .link_group(LINK_GROUP)
            .mtu(veth.mtu)
            .controller(master)
            .build();
        self.new_link(link, Mode::Create)
    }

    /// Gives the host's end its mark and its properties, and brings it up.
    pub(crate) fn set_veth(&mut self, index: u32, veth: &Veth) -> Result<(), NetlinkError> {
        let link = port(index, veth).alias(mark::alias(veth.owner)).mtu(veth.mtu).up();
        self.new_link(link.build(), Mode::Change)?;
        if veth.quiet { self.add_port_mac(index, veth.mac) } else { Ok(()) }
    }

    /// Brings up the sandbox's end, with IPv6 silent until it is given an address: every
    /// link-local address of its own would be announced to every port of the bridge.
    pub(crate) fn start_interface(&mut self, index: u32, ipv6: bool) -> Result<(), NetlinkError> {
        if ipv6 {
            // The kernel would see to the flags of the same message first.
            let link = LinkUnspec::new_with_index(index).append_extra_attribute(no_link_local());
            self.set_link(link.build())?;
        }
        self.set_up(index)
    }

    /// Brings a link up.
    pub(crate) fn set_up(&mut self, index: u32) -> Result<(), NetlinkError> {
        self.set_link(LinkUnspec::new_with_index(index).up().build())
    }

    /// Sets the MTU.
    pub(crate) fn set_mtu(&mut self, index: u32, mtu: u32) -> Result<(), NetlinkError> {
        self.set_link(LinkUnspec::new_with_index(index).mtu(mtu).build())
    }

    /// Brings up the loopback link.
    pub(crate) fn loopback_up(&mut self) -> Result<(), NetlinkError> {
        self.set_up(LOOPBACK)
    }

    /// Takes a link out of service: down, a port of nothing, in the group that is reaped.
    pub(crate) fn retire(&mut self, index: u32) -> Result<(), NetlinkError> {
        let link = LinkUnspec::new_with_index(index).down().nocontroller().link_group(REAP_GROUP);
        self.set_link(link.build())
    }

    /// Takes a link down and gives it another name, so that its own is free.
    pub(crate) fn rename(&mut self, index: u32, name: &str) -> Result<(), NetlinkError> {
        // Before Linux 6.2, one that is up keeps its name.
        self.set_link(LinkUnspec::new_with_index(index).down().build())?;
        self.set_link(LinkUnspec::new_with_index(index).name(name.to_owned()).build())
    }

    /// Deletes one link. It takes the kernel some 20 ms.
    pub(crate) fn delete_link(&mut self, index: u32) -> Result<(), NetlinkError> {
        self.del_link(LinkUnspec::new_with_index(index).build())
    }

    /// Deletes every link that is out of service. It takes the kernel hardly longer than
    /// one does.
    pub(crate) fn delete_retired(&mut self) -> Result<(), NetlinkError> {
        self.del_link(LinkMessageBuilder::<LinkUnspec>::new().link_group(REAP_GROUP).build())
    }

    pub(super) fn new_link(&mut self, link: LinkMessage, mode: Mode) -> Result<(), NetlinkError> {
        self.request(RouteNetlinkMessage::NewLink(link), mode)
    }

    fn set_link(&mut self, link: LinkMessage) -> Result<(), NetlinkError> {
        self.request(RouteNetlinkMessage::SetLink(link), Mode::Change)
    }

    fn del_link(&mut self, link: LinkMessage) -> Result<(), NetlinkError> {
        // Most of a deletion the kernel waits with others free to go on.
        match self.request_now(RouteNetlinkMessage::DelLink(link), Mode::Change) {
            Err(error) if error.errno == Errno::ENODEV => Ok(()),
            outcome => outcome,
        }
    }
}

/// Leaves out the statistics, which are most of a link's answer.
fn brief(link: LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec> {
    link.append_extra_attribute(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]))
}

fn no_link_local() -> LinkAttribute {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])])
}

fn filtered(index: u32, on: bool) -> LinkMessageBuilder<LinkBridge> {
    LinkMessageBuilder::<LinkBridge>::new_with_info_kind(InfoKind::Bridge)
        .index(index)
        .append_info_data(InfoBridge::NfCallIpTables(on))
        .append_info_data(InfoBridge::NfCallIp6Tables(on))
}

fn port(index: u32, veth: &Veth) -> LinkMessageBuilder<LinkBridgePort> {
    LinkBridgePort::new(index)
        .append_info_data(InfoBridgePort::HairpinMode(veth.hairpin))
        // Meant for access points, and the one flag that spares a port what the bridge has
        // answered, and still answers what it asks itself.
        .append_info_data(InfoBridgePort::ProxyARPWifi(veth.quiet))
}
