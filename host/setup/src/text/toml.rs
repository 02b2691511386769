//! volward.toml: the node's name and its pools. Lines are added to the text, and the result is read again: it
//! must say what was there and what was added, and nothing else.

use toml::{Table, Value};

use super::{NotUnderstood, ended, line_of, parted};

/// A `[[pool]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) name: String,
    /// Of this node's own disks.
    pub(crate) local: bool,
}

/// A configuration that can be read.
#[derive(Clone, Debug)]
pub(crate) struct Volward {
    text: String,
    table: Table,
}

impl Volward {
    /// # Errors
    /// If it is no TOML.
    pub(crate) fn read(text: &str) -> Result<Self, NotUnderstood> {
        let table = text
            .parse()
            .map_err(|error: toml::de::Error| NotUnderstood {
                line: line_of(text, error.span().map_or(0, |span| span.start)),
                what: error.message().to_owned(),
            })?;
        let text = text.to_owned();
        Ok(Self { text, table })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// `[node] name`
    pub(crate) fn name(&self) -> Option<&str> {
        self.table.get("node")?.get("name")?.as_str()
    }

    /// The pools that have a name.
    pub(crate) fn pools(&self) -> Vec<Pool> {
        let pools = self.table.get("pool").and_then(Value::as_array);
        let named = pools.into_iter().flatten().filter_map(|pool| {
            let local = pool.get("kind").and_then(Value::as_str) == Some("local");
            let name = pool.get("name")?.as_str()?.to_owned();
            Some(Pool { name, local })
        });
        named.collect()
    }

    /// The same with this name, which it has none of.
    ///
    /// # Errors
    /// If `[node]` is written in a way that a line cannot be added to.
    pub(crate) fn with_name(&self, name: &str) -> Result<Self, NotUnderstood> {
        let line = format!("name = \"{name}\"\n");
        let lines: Vec<&str> = self.text.split_inclusive('\n').collect();
        let heading = lines.iter().position(|line| line.trim_end() == "[node]");
        let text = match heading {
            None => format!("{}[node]\n{line}", parted(&self.text)),
            Some(heading) => {
                let inside = lines[heading + 1..].iter();
                let inside = inside.take_while(|line| !line.starts_with('['));
                // Below its own example, where there is one.
                let example = inside.clone().position(|line| line.starts_with("#name = "));
                let at = heading + 1 + example.map_or(0, |n| n + 1);
                let (before, after) = lines.split_at(at);
                format!("{}{line}{}", ended(&before.concat()), after.concat())
            }
        };
        let mut wanted = self.table.clone();
        let node = wanted.entry("node").or_insert_with(|| Table::new().into());
        if let Some(node) = node.as_table_mut() {
            node.insert("name".to_owned(), name.into());
        }
        self.changed(text, &wanted, "[node]")
    }

    /// The same with this pool at its end.
    ///
    /// # Errors
    /// If `pool` is written in a way that a table cannot be added to.
    pub(crate) fn with_pool(&self, pool: &Pool) -> Result<Self, NotUnderstood> {
        let kind = if pool.local { "kind = \"local\"\n" } else { "" };
        let name = &pool.name;
        let text = format!("{}[[pool]]\nname = \"{name}\"\n{kind}", parted(&self.text));
        let mut table = Table::from_iter([("name".to_owned(), name.clone().into())]);
        if pool.local {
            table.insert("kind".to_owned(), "local".into());
        }
        let mut wanted = self.table.clone();
        let pools = wanted
            .entry("pool")
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Some(pools) = pools.as_array_mut() {
            pools.push(table.into());
        }
        self.changed(text, &wanted, "[[pool]]")
    }

    fn changed(&self, text: String, wanted: &Table, what: &str) -> Result<Self, NotUnderstood> {
        match Self::read(&text) {
            Ok(changed) if changed.table == *wanted => Ok(changed),
            _ => Err(NotUnderstood {
                line: 1,
                what: format!(
                    "{what} is not written as a table of its own, so nothing can be added to it"
                ),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(name: &str) -> Pool {
        Pool {
            name: name.to_owned(),
            local: false,
        }
    }

    #[test]
    fn name_and_pools_are_added_to_the_packaged_file_and_nothing_else_changes() {
        let packaged = include_str!("../../../../packaging/volward.toml");
        let read = Volward::read(packaged).unwrap();
        assert_eq!((read.name(), read.pools()), (None, Vec::new()));
        let local = Pool {
            name: "local".to_owned(),
            local: true,
        };
        let named = read.with_name("n1").unwrap();
        let whole = named.with_pool(&shared("vg0")).unwrap();
        let whole = whole.with_pool(&local).unwrap();
        assert_eq!(whole.name(), Some("n1"));
        assert_eq!(whole.pools(), [shared("vg0"), local]);
        let mut kept = whole.text().lines();
        for line in packaged.lines() {
            assert!(kept.any(|kept| kept == line), "{line}");
        }
        assert!(whole.text().contains("#name = \"node1\"\nname = \"n1\"\n"));
    }

    #[test]
    fn an_empty_file_and_one_without_a_last_line_end_are_added_to() {
        for text in [
            "",
            "[api]\nopenstack-uids = [1]",
            "[node.labels]\na = \"b\"\n",
        ] {
            let named = Volward::read(text).unwrap().with_name("n1").unwrap();
            let whole = named.with_pool(&shared("vg0")).unwrap();
            assert_eq!(whole.name(), Some("n1"), "{}", whole.text());
            assert_eq!(whole.pools(), [shared("vg0")]);
        }
    }

    #[test]
    fn what_cannot_be_added_to_is_not_understood() {
        let inline = Volward::read("node = { labels = {} }\npool = []\n").unwrap();
        assert!(inline.with_name("n1").is_err());
        assert!(inline.with_pool(&shared("vg0")).is_err());
        let error = Volward::read("[node]\nname = \n").unwrap_err();
        assert_eq!(error.line, 2, "{error}");
    }
}
