//! What a caller wants changed, as messages. `transact` sends them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use netlink_packet_core::{DefaultNla, Emitable, NLM_F_CREATE, Nla};
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetElementAttribute, SetElementFlags,
    SetElementList, SetElementMessage, Verdict, VerdictAttribute,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage};
use postern_model::resource::Element;

use super::codec::{Lasting, Raw, Value, encode};
use super::comment::{COMMENT_MAX, userdata};
use super::error::{Action, NftError};
use super::rules_policy::{ISOLATED_IN, ISOLATED_OUT, REJECT};
use super::schema::{Kind, SetSpec, TABLE, Table};
use super::socket::Frame;

/// `NFT_MSG_DESTROYSETELEM`, since Linux 6.3.
pub(super) const DESTROY_SET_ELEMENT: u8 = 30;
const NFTA_DATA_VALUE: u16 = 1;
/// `NF_DROP`.
const DROP: u32 = 0;
/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;
/// Headers of netlink and netfilter.
const HEADERS: usize = 20;
/// An attribute's length is 16 bits: the list of elements has less than this.
const LIST_LIMIT: usize = 0xffff - 4;

/// How an element that may be absent is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// The kernel can be told that absence is no error.
    Destroy,
    /// It cannot: the element is added, which is no error if it is there, then deleted.
    /// That fails for a map with another value, as an addition would.
    AddAndDelete,
}

/// Messages that belong together: all of them take effect, or none.
#[derive(Debug, Default)]
pub(super) struct Changes(pub(super) Vec<Message>);

#[derive(Debug)]
pub(super) struct Message {
    pub(super) frame: Frame,
    /// What it is about, for errors; none for a rule.
    pub(super) subject: Option<Subject>,
}

#[derive(Debug)]
pub(super) struct Subject {
    pub(super) action: Action,
    pub(super) set: &'static str,
    /// Where the first element begins, in bytes.
    pub(super) first: usize,
    /// In the message's order, each with where it ends.
    pub(super) elements: Vec<(Element, usize)>,
}

impl Changes {
    /// First removes, then adds.
    pub(super) fn new(
        remove: &[Element],
        add: &[Element],
        removal: Removal,
    ) -> Result<Self, NftError> {
        let mut changes = Self::default();
        for (set, elements) in by_set(remove)? {
            match removal {
                Removal::Destroy => changes.push(Verb::Destroy, set, &elements),
                Removal::AddAndDelete => {
                    changes.push(Verb::Add(Action::Remove), set, &elements);
                    changes.push(Verb::Delete, set, &elements);
                }
            }
        }
        for (set, elements) in by_set(add)? {
            changes.push(Verb::Add(Action::Add), set, &elements);
        }
        Ok(changes)
    }

    /// Any other messages, of one table.
    pub(super) fn other(table: Table, messages: impl IntoIterator<Item = NfTablesMessage>) -> Self {
        let message = |message| {
            let frame = Frame::new(in_table(table, message), NLM_F_CREATE);
            Message { frame, subject: None }
        };
        Self(messages.into_iter().map(message).collect())
    }

    /// These, then the others.
    pub(super) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes it takes to say.
    pub(super) fn length(&self) -> usize {
        self.0.iter().map(|message| message.frame.length()).sum()
    }

    fn push(&mut self, verb: Verb, set: &'static SetSpec, elements: &[(Element, Raw)]) {
        let mut list = List::default();
        for (element, raw) in elements {
            let entries = entries(verb, set, raw);
            let length = entries.iter().map(Emitable::buffer_len).sum::<usize>();
            if list.length + length > LIST_LIMIT {
                self.close(verb, set, std::mem::take(&mut list));
            }
            list.length += length;
            list.entries.extend(entries);
            list.elements.push((element.clone(), list.length));
        }
        self.close(verb, set, list);
    }

    fn close(&mut self, verb: Verb, set: &'static SetSpec, list: List) {
        let message = verb.message(set, list.entries);
        let first = (HEADERS + message.buffer_len()).saturating_sub(list.length);
        let elements = list.elements.into_iter().map(|(element, end)| (element, first + end));
        let subject =
            Subject { action: verb.action(), set: set.name, first, elements: elements.collect() };
        let frame = Frame::new(in_table(set.table, message), NLM_F_CREATE);
        self.0.push(Message { frame, subject: Some(subject) });
    }
}

/// What one message lists.
#[derive(Default)]
struct List {
    entries: Vec<ListAttribute<SetElementAttribute>>,
    elements: Vec<(Element, usize)>,
    length: usize,
}

/// The elements of one set.
type Group = (&'static SetSpec, Vec<(Element, Raw)>);

fn by_set(elements: &[Element]) -> Result<impl Iterator<Item = Group>, NftError> {
    let mut sets = BTreeMap::<&str, Group>::new();
    for element in elements {
        let mixed = || NftError::MixedFamilies { element: Box::new(element.clone()) };
        let raw = encode(element).ok_or_else(mixed)?;
        let name = element.set();
        if let Some((_, elements)) = sets.get_mut(name) {
            elements.push((element.clone(), raw));
        } else if let Some(set) = SetSpec::find(name) {
            sets.insert(name, (set, vec![(element.clone(), raw)]));
        }
    }
    Ok(sets.into_values())
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Add(Action),
    Delete,
    Destroy,
}

impl Verb {
    const fn action(self) -> Action {
        match self {
            Self::Add(action) => action,
            Self::Delete | Self::Destroy => Action::Remove,
        }
    }

    fn message(
        self,
        set: &SetSpec,
        entries: Vec<ListAttribute<SetElementAttribute>>,
    ) -> NfTablesMessage {
        let attributes = vec![
            SetElementList::Table(TABLE.to_owned()),
            SetElementList::Set(set.name.to_owned()),
            SetElementList::Elements(entries),
        ];
        match self {
            Self::Add(_) => NfTablesMessage::NewSetElement(SetElementMessage { attributes }),
            Self::Delete => NfTablesMessage::DeleteSetElement(SetElementMessage { attributes }),
            Self::Destroy => NfTablesMessage::Other {
                message_type: DESTROY_SET_ELEMENT,
                attributes: attributes.iter().map(untyped).collect(),
            },
        }
    }
}

/// An element as it is asked for: by its key.
pub(super) fn sought(set: &SetSpec, raw: &Raw) -> Vec<ListAttribute<SetElementAttribute>> {
    entries(Verb::Delete, set, raw).into_iter().take(1).collect()
}

/// What an element is in a list: one entry, or of a span two.
fn entries(verb: Verb, set: &SetSpec, raw: &Raw) -> Vec<ListAttribute<SetElementAttribute>> {
    let key = |bytes: &[u8]| SetElementAttribute::Key(DataAttribute::Value(bytes.to_vec()));
    let mut attributes = vec![key(&raw.key)];
    let mut more = None;
    match (&raw.end, set.kind) {
        (Some(last), Kind::Spans) => {
            more = successor(last).map(|past| {
                let flags = SetElementAttribute::Flags(SetElementFlags::IntervalEnd);
                ListAttribute::Element(vec![key(&past), flags])
            });
        }
        (Some(end), _) => {
            let end = DefaultNla::new(NFTA_DATA_VALUE, end.clone());
            attributes.push(SetElementAttribute::KeyEnd(vec![end]));
        }
        (None, _) => {}
    }
    if matches!(verb, Verb::Add(_)) {
        attributes.extend(data(set, &raw.value).map(SetElementAttribute::Data));
        attributes.extend(raw.lasting.iter().flat_map(lasting));
    }
    std::iter::once(ListAttribute::Element(attributes)).chain(more).collect()
}

/// How long an element stays, as the kernel counts: from now on. One whose time is over has
/// a moment left, because none at all would mean for ever.
fn lasting(lasting: &Lasting) -> [SetElementAttribute; 2] {
    let left = lasting.until.since(SystemTime::now().into());
    let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    // Whole names only, as many as there is room for.
    let fits = |end: &usize| *end <= COMMENT_MAX;
    let ends = lasting.names.match_indices(' ').map(|(end, _)| end);
    let end = ends.chain([lasting.names.len()]).take_while(fits).last().unwrap_or_default();
    let names = lasting.names.get(..end).unwrap_or_default();
    [SetElementAttribute::Timeout(left), SetElementAttribute::UserData(userdata(names))]
}

fn data(set: &SetSpec, value: &Value) -> Option<DataAttribute> {
    let verdict = match value {
        Value::None => return None,
        Value::Bytes(bytes) => return Some(DataAttribute::Value(bytes.clone())),
        Value::Verdict(verdict) => verdict,
    };
    let (code, chain) = kernel_verdict(*verdict, set);
    let mut attributes = vec![VerdictAttribute::Code(code)];
    attributes.extend(chain.map(|chain| VerdictAttribute::Chain(chain.to_owned())));
    Some(DataAttribute::Verdict(attributes))
}

/// A verdict as the kernel has it: a code, and perhaps the chain that goes on.
pub(super) fn kernel_verdict(
    verdict: postern_model::resource::Verdict,
    set: &SetSpec,
) -> (Verdict, Option<&'static str>) {
    use postern_model::resource::Verdict as Model;
    let isolated = if set.name.starts_with("in") { ISOLATED_IN } else { ISOLATED_OUT };
    match verdict {
        Model::Drop => (Verdict::Other(DROP), None),
        Model::Accept => (Verdict::Other(ACCEPT), None),
        Model::Return => (Verdict::Return, None),
        Model::Reject => (Verdict::Goto, Some(REJECT)),
        Model::Isolated => (Verdict::Goto, Some(isolated)),
    }
}

/// The next key; none after the last one.
fn successor(key: &[u8]) -> Option<Vec<u8>> {
    let mut next = key.to_vec();
    for byte in next.iter_mut().rev() {
        let (more, over) = byte.overflowing_add(1);
        *byte = more;
        if !over {
            return Some(next);
        }
    }
    None
}

/// An attribute for a message that the netlink crate has no type for.
pub(super) fn untyped(attribute: &SetElementList) -> DefaultNla {
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    DefaultNla::new(attribute.kind(), value)
}

pub(super) fn in_table(table: Table, message: NfTablesMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(table.protocol(), 0, 0), message)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use nix::sched::{CloneFlags, unshare};
    use postern_model::port::Protocol;

    use super::*;
    use crate::nft::owner::Owner;
    use crate::nft::socket::NetfilterSocket;
    use crate::nft::transact::transact;
    use crate::nft::{chain, dump, maps, script};

    fn publish(port: u16, target_port: u16) -> Element {
        Element::Publish {
            host: [0, 0, 0, 0].into(),
            protocol: Protocol::Tcp,
            port,
            target: [10, 0, 0, 2].into(),
            target_port,
        }
    }

    /// What a kernel without the message to destroy elements is told.
    #[test]
    fn elements_are_removed_without_destroying() {
        let test = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let mut socket = NetfilterSocket::open().unwrap();
            let mut change = |remove: &[Element], add: &[Element]| {
                let changes = Changes::new(remove, add, Removal::AddAndDelete).unwrap();
                transact(&mut socket, &[&changes])
            };
            let [a, b] = ["br0", "br1"].map(|name| Element::Open(name.parse().unwrap()));
            assert!(matches!(change(std::slice::from_ref(&a), &[]), Err(NftError::Set { .. })));
            let mut other = NetfilterSocket::open().unwrap();
            let mut owner = Owner::new(NetfilterSocket::open().unwrap(), false);
            assert!(!owner.declare().unwrap());
            transact(&mut other, &[&Changes::other(Table::Inet, maps::declare())]).unwrap();
            script::run(&chain::ruleset()).unwrap();

            change(&[], &[a.clone(), publish(1, 1), publish(2, 1)]).unwrap();
            change(&[a, b.clone(), publish(2, 1)], &[publish(2, 2)]).unwrap();
            let error = change(&[publish(1, 9), b], &[]).unwrap_err();
            assert!(matches!(error, NftError::Element { action: Action::Remove, .. }), "{error}");
            let mut held = dump::elements(&mut other).unwrap();
            held.sort();
            assert_eq!(held, [publish(1, 1), publish(2, 2)]);
        };
        thread::spawn(test).join().unwrap();
    }

    #[test]
    fn long_lists_are_split_and_keep_their_offsets() {
        let elements: Vec<Element> = (0..4_000).map(|port| publish(port, 1)).collect();
        let changes = Changes::new(&elements, &elements, Removal::Destroy).unwrap();
        assert!(changes.0.len() > 2);
        let mut seen = 0;
        for message in &changes.0 {
            let subject = message.subject.as_ref().unwrap();
            let (_, end) = subject.elements.last().unwrap();
            assert_eq!(*end, message.frame.length());
            assert!(message.frame.length() <= LIST_LIMIT + 100);
            seen += subject.elements.len();
        }
        assert_eq!(seen, 8_000);
    }
}
