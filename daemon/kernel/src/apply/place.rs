//! A place a plan works in: the host's namespace or a sandbox's.

use std::collections::BTreeMap;
use std::path::Path;

use postern_model::name::IfName;

use crate::error::ApplyError;
use crate::namespace::Namespace;
use crate::rtnl::Socket;

/// A socket in a namespace, and the links looked up there so far.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) socket: Socket,
    namespace: Option<Namespace>,
    indexes: BTreeMap<IfName, u32>,
}

impl Site {
    /// The host's namespace.
    pub(super) const fn host(socket: Socket) -> Self {
        Self { socket, namespace: None, indexes: BTreeMap::new() }
    }

    /// A sandbox's namespace.
    pub(super) const fn sandbox(socket: Socket, namespace: Namespace) -> Self {
        Self { socket, namespace: Some(namespace), indexes: BTreeMap::new() }
    }

    /// Opens a socket in a sandbox's namespace.
    pub(super) fn enter(namespace: Namespace, path: &Path) -> Result<Self, ApplyError> {
        let object = || path.display().to_string();
        let opened = namespace.socket();
        let socket = opened.map_err(|source| ApplyError::Namespace { object: object(), source })?;
        Ok(Self::sandbox(socket, namespace))
    }

    /// The sandbox's namespace; none on the host.
    pub(super) const fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// The index of a link, looked up once in a plan; none if there is no such link.
    pub(super) fn index(&mut self, link: &IfName) -> Result<Option<u32>, ApplyError> {
        if let Some(index) = self.indexes.get(link) {
            return Ok(Some(*index));
        }
        let found = self.socket.link(link.as_str()).map_err(ApplyError::netlink(link))?;
        let index = found.map(|found| found.index);
        self.indexes.extend(index.map(|index| (link.clone(), index)));
        Ok(index)
    }

    /// Forgets a link that was made or deleted.
    pub(super) fn forget(&mut self, link: &IfName) {
        self.indexes.remove(link);
    }
}
