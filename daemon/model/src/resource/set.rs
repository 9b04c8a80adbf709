//! Sets of resources.

use std::collections::BTreeMap;

use super::{Key, Resource};

/// A set of resources, at most one of each key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceSet(BTreeMap<Key, Resource>);

impl ResourceSet {
    /// Adds a resource; one of the same key makes way for it.
    pub fn insert(&mut self, resource: Resource) {
        self.0.insert(resource.key(), resource);
    }

    /// The resource of a key.
    pub fn get(&self, key: &Key) -> Option<&Resource> {
        self.0.get(key)
    }

    /// Every key and resource, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Resource)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Extend<Resource> for ResourceSet {
    fn extend<T: IntoIterator<Item = Resource>>(&mut self, resources: T) {
        for resource in resources {
            self.insert(resource);
        }
    }
}

impl FromIterator<Resource> for ResourceSet {
    fn from_iter<T: IntoIterator<Item = Resource>>(resources: T) -> Self {
        let mut set = Self::default();
        set.extend(resources);
        set
    }
}

impl IntoIterator for ResourceSet {
    type Item = Resource;
    type IntoIter = std::collections::btree_map::IntoValues<Key, Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_values()
    }
}
