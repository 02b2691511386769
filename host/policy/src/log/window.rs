//! The latest facts and configurations, by digest: what a line may refer to.

use std::collections::{HashMap, VecDeque};

/// So many facts, and so many configurations, back a line may refer: in a busy hour of a node all
/// those of a client that asks again, at 1 MB of memory.
pub const WINDOW: usize = 1_024;

/// Things by digest; the oldest goes when there are more than [`WINDOW`].
#[derive(Debug)]
pub(super) struct Window<T> {
    order: VecDeque<String>,
    things: HashMap<String, T>,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self {
            order: VecDeque::new(),
            things: HashMap::new(),
        }
    }
}

impl<T> Window<T> {
    pub(super) fn get(&self, digest: &str) -> Option<&T> {
        self.things.get(digest)
    }

    pub(super) fn insert(&mut self, digest: String, thing: T) {
        if self.things.insert(digest.clone(), thing).is_some() {
            // It is the latest now: after a restart the writer has forgotten everything and writes it
            // again, and counts from then on. A reader must never know less than the writer names.
            self.order.retain(|known| *known != digest);
        }
        self.order.push_back(digest);
        if self.order.len() > WINDOW {
            let oldest = self.order.pop_front();
            oldest.and_then(|digest| self.things.remove(&digest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes() {
        let mut window = Window::default();
        for n in 0..=WINDOW {
            window.insert(n.to_string(), n);
        }
        assert_eq!(window.get("0"), None);
        assert_eq!(window.get("1"), Some(&1));
        window.insert("1".to_owned(), 7);
        window.insert("more".to_owned(), 0);
        assert_eq!(
            window.get("1"),
            Some(&7),
            "what is written again is the latest"
        );
        assert_eq!(window.get("2"), None);
    }
}
