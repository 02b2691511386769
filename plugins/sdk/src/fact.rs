//! A fact is read when it is looked at: a decision has hundreds, and most policies look at few.

use std::cell::OnceCell;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// One fact. It derefs to its value: `disk.size` is compared, printed and gone through as the
/// value would be; `*disk.size` is the value itself, and `5.into()` makes one in tests.
///
/// In a component the first look asks the daemon, and later ones find what it said. The daemon's
/// facts are one snapshot, so it does not matter when that is.
///
/// ```
/// use volward_sdk::{Disk, Home};
///
/// let disk = Disk { size: (5 << 30).into(), home: Home::Pool.into(), ..Disk::default() };
/// assert!(disk.size > 1 << 30 && disk.home == Home::Pool);
/// let twice: u64 = *disk.size * 2;
/// assert_eq!(twice, 10 << 30);
/// ```
pub struct Fact<T> {
    value: OnceCell<T>,
    source: Option<Source<T>>,
}

/// Who is asked, and with which handle of the daemon's.
struct Source<T> {
    ask: fn(u32) -> T,
    handle: u32,
}

impl<T> Fact<T> {
    /// One that is asked for when it is looked at.
    #[cfg(any(test, target_family = "wasm"))]
    pub(crate) const fn behind(handle: u32, ask: fn(u32) -> T) -> Self {
        Self {
            value: OnceCell::new(),
            source: Some(Source { ask, handle }),
        }
    }

    /// The daemon's handle of what it is a fact of; none where the policy made it itself.
    #[cfg(target_family = "wasm")]
    pub(crate) fn handle(&self) -> Option<u32> {
        self.source.as_ref().map(|source| source.handle)
    }

    /// The value, if anybody looked.
    #[cfg(target_family = "wasm")]
    pub(crate) fn looked_at(self) -> Option<T> {
        self.value.into_inner()
    }

    fn look(&self) -> &T {
        self.value.get_or_init(|| match &self.source {
            Some(source) => (source.ask)(source.handle),
            None => unreachable!("a fact without a source is made of its value"),
        })
    }
}

impl<T> From<T> for Fact<T> {
    fn from(value: T) -> Self {
        Self {
            value: value.into(),
            source: None,
        }
    }
}

impl From<&str> for Fact<String> {
    fn from(value: &str) -> Self {
        value.to_owned().into()
    }
}

impl<T> Deref for Fact<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.look()
    }
}

/// For tests, which change what they ask about.
impl<T> DerefMut for Fact<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.look();
        match self.value.get_mut() {
            Some(value) => value,
            None => unreachable!("it was looked at"),
        }
    }
}

impl<T: Default> Default for Fact<T> {
    fn default() -> Self {
        T::default().into()
    }
}

impl<T: Clone> Clone for Fact<T> {
    /// What was not looked at is not looked at for a copy.
    fn clone(&self) -> Self {
        let source = self.source.as_ref();
        Self {
            value: self.value.clone(),
            source: source.map(|source| Source { ..*source }),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Fact<T> {
    /// As the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.look().fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Fact<T> {
    /// As the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.look().fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Fact<T> {
    fn eq(&self, other: &Self) -> bool {
        self.look() == other.look()
    }
}

impl<T: PartialEq> PartialEq<T> for Fact<T> {
    fn eq(&self, other: &T) -> bool {
        self.look() == other
    }
}

impl PartialEq<str> for Fact<String> {
    fn eq(&self, other: &str) -> bool {
        self.look() == other
    }
}

impl PartialEq<&str> for Fact<String> {
    fn eq(&self, other: &&str) -> bool {
        self.look() == other
    }
}

impl PartialEq<Fact<Self>> for String {
    fn eq(&self, other: &Fact<Self>) -> bool {
        self == other.look()
    }
}

impl<T: PartialOrd> PartialOrd<T> for Fact<T> {
    fn partial_cmp(&self, other: &T) -> Option<std::cmp::Ordering> {
        self.look().partial_cmp(other)
    }
}

impl<T> FromIterator<T> for Fact<Vec<T>> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Vec::from_iter(items).into()
    }
}

impl<'a, T> IntoIterator for &'a Fact<Vec<T>> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.look().iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local!(static ASKED: Cell<u32> = const { Cell::new(0) });

    fn twice(handle: u32) -> u32 {
        ASKED.set(ASKED.get() + 1);
        handle * 2
    }

    #[test]
    fn a_fact_is_asked_for_once_and_only_when_it_is_looked_at() {
        let fact = Fact::behind(4, twice);
        let copy = fact.clone();
        assert_eq!(ASKED.get(), 0);
        assert!(fact == 8 && fact > 7 && *fact == 8);
        assert_eq!(fact.clone().to_string(), "8");
        assert_eq!(ASKED.get(), 1);
        assert_eq!(format!("{copy:?}"), "8");
        assert_eq!(ASKED.get(), 2);
    }

    #[test]
    fn what_a_test_changes_stays_changed() {
        let mut fact = Fact::behind(4, twice);
        *fact += 1;
        assert!(fact == 9 && fact.clone() == 9);
        let mut list = Fact::from(vec![1, 2]);
        list.push(3);
        assert_eq!((&list).into_iter().sum::<i32>(), 6);
    }
}
