//! How clients speak of an object: by its name, its uid, or the short id that listings show.

use std::collections::HashMap;
use std::str::FromStr;

/// The references to the objects of one kind.
#[derive(Debug, Clone)]
pub(crate) struct References<Id> {
    names: HashMap<String, Id>,
    /// More than one id only by a chance of one in 2⁴⁸; the short form then means none.
    short: HashMap<String, Vec<Id>>,
}

impl<Id> Default for References<Id> {
    fn default() -> Self {
        Self { names: HashMap::new(), short: HashMap::new() }
    }
}

impl<Id: Copy + PartialEq + FromStr> References<Id> {
    /// Adds an object; that it is there already is fine.
    pub(crate) fn add(&mut self, name: &str, short: String, id: Id) {
        self.names.insert(name.to_owned(), id);
        let ids = self.short.entry(short).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }

    /// Removes an object.
    pub(crate) fn remove(&mut self, name: &str, short: &str, id: Id) {
        self.names.remove(name);
        if let Some(ids) = self.short.get_mut(short) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.short.remove(short);
            }
        }
    }

    /// The object that is meant. A name wins over an id that looks like it.
    pub(crate) fn find(&self, reference: &str) -> Option<Id> {
        let short = || match self.short.get(reference).map(Vec::as_slice) {
            Some([id]) => Some(*id),
            _ => None,
        };
        self.names.get(reference).copied().or_else(|| reference.parse().ok()).or_else(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_wins_and_an_ambiguous_short_form_means_none() {
        let mut references = References::<u32>::default();
        references.add("web", "abc".into(), 1);
        references.add("web", "abc".into(), 1);
        assert_eq!(
            ["web", "1", "abc", "x"].map(|r| references.find(r)),
            [Some(1), Some(1), Some(1), None]
        );
        references.add("abc", "def".into(), 2);
        assert_eq!(references.find("abc"), Some(2));
        references.add("db", "def".into(), 3);
        assert_eq!(references.find("def"), None);
        references.remove("abc", "def", 2);
        assert_eq!((references.find("def"), references.find("abc")), (Some(3), Some(1)));
    }
}
