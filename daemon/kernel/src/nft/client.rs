//! The door to both tables.

use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};

use nftables::schema::Nftables;
use postern_model::network::Family;
use postern_model::resource::{Element, NamedAddress};
use tokio::sync::oneshot;

use super::batch::{Changes, Removal};
use super::commit::{self, Call, Job, Script};
use super::error::NftError;
use super::owner::Owner;
use super::schema::{SetSpec, Table};
use super::socket::NetfilterSocket;
use super::transact::known_removal;
use super::{chain, dump, expr, maps, raw};

/// The tables of one network namespace: the one it was opened in, whatever thread uses it
/// later. Can be shared; dropping it leaves the tables as they are.
pub struct Nft {
    jobs: Sender<Job>,
    reader: Mutex<NetfilterSocket>,
    removal: Removal,
}

/// A change that is on its way.
#[must_use]
pub struct Submitted(Result<Option<oneshot::Receiver<Result<(), NftError>>>, NftError>);

impl Submitted {
    /// Waits until it is in force.
    ///
    /// # Errors
    /// As of [`Nft::commit`].
    pub async fn done(self) -> Result<(), NftError> {
        match self.0? {
            Some(result) => result.await.map_err(|_| NftError::Stopped)?,
            None => Ok(()),
        }
    }

    /// One that changes nothing, or was carried out at once.
    pub(crate) const fn nothing() -> Self {
        Self(Ok(None))
    }
}

impl Nft {
    /// Opens the tables of the calling thread's namespace; they need not be there yet.
    /// Whether they are to be owned, once loaded, where the kernel can: then only this one
    /// can change them, until it is dropped.
    ///
    /// # Errors
    /// [`NftError::Socket`] without `CAP_NET_ADMIN` or without nftables in the kernel, and
    /// [`NftError::Thread`].
    pub fn open(own: bool) -> Result<Self, NftError> {
        let opening = |source| NftError::Socket { operation: "open a socket to nftables", source };
        let mut writer = NetfilterSocket::open().map_err(opening)?;
        let reader = NetfilterSocket::open().map_err(opening)?;
        let removal = known_removal(&mut writer).map_err(opening)?;
        let (jobs, queue) = mpsc::channel();
        commit::start(Owner::new(writer, own), queue).map_err(NftError::Thread)?;
        Ok(Self { jobs, reader: Mutex::new(reader), removal })
    }

    /// Declares both tables and replaces their rules. Elements and fences stay, and no
    /// packet meets tables without rules; but where a set of another layout is there, which
    /// another version has left, both tables are made anew and empty. Blocks for some 20 ms.
    /// Returns whether the tables are owned now.
    ///
    /// # Errors
    /// `nft` cannot be run or refuses the ruleset, or the kernel does; another process owns
    /// the tables.
    pub fn load_base(&self) -> Result<bool, NftError> {
        let first = Changes::other(Table::Inet, maps::declare());
        let mut then = Changes::default();
        for rule in raw::all() {
            then.0.extend(Changes::other(rule.table, [rule.flush(), rule.put()]).0);
        }
        self.script(first, chain::ruleset(), then)
    }

    /// Deletes both tables; that they are gone already is no error. It blocks.
    ///
    /// # Errors
    /// The kernel refuses; another process owns the tables.
    pub fn unload(&self) -> Result<(), NftError> {
        let (reply, result) = mpsc::sync_channel(1);
        self.ask(Job::Unload(reply))?;
        result.recv().map_err(|_| NftError::Stopped)?
    }

    /// Removes elements, then adds elements: all of it, or nothing. When it returns, the
    /// next packet is judged accordingly.
    ///
    /// To remove what is absent and to add what is present is no error. To give a key of a
    /// map another value, remove it and add it with the new one. Calls take effect in the
    /// order in which they are made, many of them in one transaction.
    ///
    /// Cancel safe: a call that was polled once is carried out.
    ///
    /// # Errors
    /// - [`NftError::MixedFamilies`]: an element no map can hold.
    /// - [`NftError::Element`]: the kernel refuses this one, most often because the map has
    ///   another value for its key.
    /// - [`NftError::Set`]: the base ruleset is not loaded.
    /// - [`NftError::Socket`]: the kernel is short of memory, or the call is of more than
    ///   some half a million elements.
    pub async fn commit(&self, remove: &[Element], add: &[Element]) -> Result<(), NftError> {
        self.submit(remove, add).done().await
    }

    /// As [`Nft::commit`], but returns at once: whoever submits under a lock has what he
    /// submits carried out in the lock's order.
    pub fn submit(&self, remove: &[Element], add: &[Element]) -> Submitted {
        let ask = || {
            let changes = Changes::new(remove, add, self.removal)?;
            if changes.is_empty() {
                return Ok(None);
            }
            let (reply, result) = oneshot::channel();
            self.ask(Job::Commit(Call { changes, reply }))?;
            Ok(Some(result))
        };
        Submitted(ask())
    }

    /// Every element of every set and map; none of a set that is gone. Linear in what is
    /// there.
    ///
    /// # Errors
    /// [`NftError::Socket`].
    pub fn elements(&self) -> Result<Vec<Element>, NftError> {
        self.read("list the elements", dump::elements)
    }

    /// Every address that an endpoint asked for by name and that is not forgotten yet.
    /// Linear in them.
    ///
    /// # Errors
    /// [`NftError::Socket`], also if the base ruleset is not loaded.
    pub fn named(&self) -> Result<Vec<NamedAddress>, NftError> {
        self.read("list the addresses of names", dump::named)
    }

    /// Whether each element is there, with its value.
    ///
    /// # Errors
    /// [`NftError::Socket`], and [`NftError::MixedFamilies`].
    pub fn holds(&self, elements: &[Element]) -> Result<Vec<bool>, NftError> {
        self.look_up(elements, dump::holds)
    }

    /// How many packets came upon each element; none of one that is not there or counts
    /// nothing. Decisions count, and isolated addresses.
    ///
    /// # Errors
    /// As of [`Nft::holds`].
    pub fn packets(&self, elements: &[Element]) -> Result<Vec<Option<u64>>, NftError> {
        self.look_up(elements, dump::packets)
    }

    fn look_up<T>(
        &self,
        elements: &[Element],
        look_up: impl Fn(&mut NetfilterSocket, &Element) -> std::io::Result<T>,
    ) -> Result<Vec<T>, NftError> {
        let mixed = |element: &&Element| super::codec::encode(element).is_none();
        if let Some(element) = elements.iter().find(mixed) {
            return Err(NftError::MixedFamilies { element: Box::new(element.clone()) });
        }
        self.read("look elements up", |socket| {
            elements.iter().map(|element| look_up(socket, element)).collect()
        })
    }

    /// Whether both tables have the sets and rules that [`Nft::load_base`] gives them.
    ///
    /// # Errors
    /// [`NftError::Socket`].
    pub fn base_is_intact(&self) -> Result<bool, NftError> {
        self.read("list the rules", dump::is_intact)
    }

    /// Shuts, or opens, the way through the host between links that are not ours: to be
    /// shut before forwarding is switched on in a host that did not forward. Blocks for
    /// some 10 ms.
    ///
    /// # Errors
    /// As of [`Nft::load_base`].
    pub fn fence(&self, family: Family, on: bool) -> Result<(), NftError> {
        let everything = match family {
            Family::V4 => expr::prefix("0.0.0.0", 0),
            Family::V6 => expr::prefix("::", 0),
        };
        let ruleset = chain::fence(SetSpec::fence(family), on.then_some(everything));
        self.script(Changes::default(), ruleset, Changes::default()).map(drop)
    }

    /// The families for which [`Nft::fence`] is on.
    ///
    /// # Errors
    /// [`NftError::Socket`], also if the base ruleset is not loaded.
    pub fn fences(&self) -> Result<Vec<Family>, NftError> {
        self.read("list the fences", |socket| {
            let mut families = Vec::new();
            for family in Family::ALL {
                if dump::is_filled(socket, SetSpec::fence(family))? {
                    families.push(family);
                }
            }
            Ok(families)
        })
    }

    fn read<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&mut NetfilterSocket) -> std::io::Result<T>,
    ) -> Result<T, NftError> {
        // A socket that was left in the middle of a dump is emptied before the next one.
        let mut socket = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        read(&mut socket).map_err(|source| NftError::Socket { operation, source })
    }

    fn script(
        &self,
        first: Changes,
        ruleset: Nftables<'static>,
        then: Changes,
    ) -> Result<bool, NftError> {
        let (reply, result) = mpsc::sync_channel(1);
        self.ask(Job::Script(Box::new(Script { first, ruleset, then, reply })))?;
        result.recv().map_err(|_| NftError::Stopped)?
    }

    fn ask(&self, job: Job) -> Result<(), NftError> {
        self.jobs.send(job).map_err(|_| NftError::Stopped)
    }
}
