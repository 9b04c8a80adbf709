//! Whose the tables are.
//!
//! Where the kernel can (Linux 6.9), the tables are owned by the socket that commits to them
//! and outlive it: nobody else can change them, and `nft flush ruleset` passes them by. While
//! the socket is closed they are nobody's, and work on; the next one takes them over.
//!
//! `nft`, which loads the rules, is somebody else, too: for as long as it runs the socket is
//! closed. The alternative, rules over the socket, would need expressions of our own making.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use netlink_packet_netfilter::nftables::{
    NfTablesMessage, TableAttribute, TableFlags, TableMessage,
};

use super::batch::Changes;
use super::error::NftError;
use super::schema::{TABLE, Table};
use super::socket::NetfilterSocket;
use super::transact::transact;

/// A process that was killed holds its tables until its last file is closed, which may be
/// after the next one has started.
const PATIENCE: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// The one socket that changes the tables.
pub(super) struct Owner {
    socket: NetfilterSocket,
    /// Whether to own the tables where that can be had.
    wants: bool,
    owns: bool,
}

impl Owner {
    pub(super) const fn new(socket: NetfilterSocket, wants: bool) -> Self {
        Self { socket, wants, owns: false }
    }

    pub(super) const fn socket(&mut self) -> &mut NetfilterSocket {
        &mut self.socket
    }

    pub(super) const fn owns(&self) -> bool {
        self.owns
    }

    /// Lets go of the tables: whoever may change nftables can now change them.
    pub(super) fn release(&mut self) -> Result<(), NftError> {
        if self.owns {
            let operation = "open a socket to nftables";
            let socket = NetfilterSocket::open();
            self.socket = socket.map_err(|source| NftError::Socket { operation, source })?;
            self.owns = false;
        }
        Ok(())
    }

    /// Makes the tables where they are not there; returns whether they can be owned: what was
    /// made without is left as it is, or it would have to be emptied.
    pub(super) fn declare(&mut self) -> Result<bool, NftError> {
        if self.wants {
            match self.patiently(Some(TableFlags::Persisent)) {
                Err(NftError::Socket { source, .. })
                    if matches!(
                        source.kind(),
                        ErrorKind::Unsupported | ErrorKind::InvalidInput
                    ) => {}
                declared => return declared.map(|()| true),
            }
        }
        self.patiently(None).map(|()| false)
    }

    /// Takes the tables over.
    pub(super) fn adopt(&mut self) -> Result<(), NftError> {
        transact(&mut self.socket, &[&tables(Some(TableFlags::Owner | TableFlags::Persisent))])?;
        self.owns = true;
        Ok(())
    }

    /// Deletes the tables, whether they are there or not.
    pub(super) fn delete(&mut self) -> Result<(), NftError> {
        self.declare()?;
        transact(&mut self.socket, &[&gone()])
    }

    /// Makes the tables anew with what is to be in them, in one transaction.
    pub(super) fn replace(&mut self, lasting: bool, content: &Changes) -> Result<(), NftError> {
        let anew = tables(lasting.then_some(TableFlags::Persisent));
        transact(&mut self.socket, &[&gone(), &anew, content])
    }

    fn patiently(&mut self, flags: Option<TableFlags>) -> Result<(), NftError> {
        let declared = tables(flags);
        let mut tries = 0..PATIENCE;
        loop {
            match transact(&mut self.socket, &[&declared]) {
                Err(NftError::Socket { source, .. })
                    if source.kind() == ErrorKind::PermissionDenied && tries.next().is_some() =>
                {
                    thread::sleep(PAUSE);
                }
                done => return done,
            }
        }
    }
}

fn tables(flags: Option<TableFlags>) -> Changes {
    let declared = |table| Changes::other(table, [NfTablesMessage::NewTable(message(flags))]);
    Table::ALL.into_iter().map(declared).reduce(Changes::and).unwrap_or_default()
}

fn gone() -> Changes {
    let gone = |table| Changes::other(table, [NfTablesMessage::DeleteTable(message(None))]);
    Table::ALL.into_iter().map(gone).reduce(Changes::and).unwrap_or_default()
}

fn message(flags: Option<TableFlags>) -> TableMessage {
    let name = TableAttribute::Name(TABLE.to_owned());
    let attributes = std::iter::once(name).chain(flags.map(TableAttribute::Flags)).collect();
    TableMessage { attributes }
}
