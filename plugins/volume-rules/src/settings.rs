//! The configuration, read and checked.

use volward_sdk::{Disk, Origin, Problem, config};

const TENANT: &str = "tenant-";
const KEYS: [&str; 5] = ["protected", "delete-by", "max-size", "tag", "hint"];
const ORIGINS: [&str; 3] = ["libvirt", "openstack", "operator"];

/// A tenant: whose volumes have a limit of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// As the key has it.
    pub name: String,
    /// The size of one volume at most, in bytes.
    pub max_size: u64,
    /// How the names of its volumes begin.
    pub beginnings: Vec<String>,
}

/// What the configuration says; what is not there is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `protected = "keep"`: a volume with this LV tag is neither deleted nor renamed.
    pub protected: Option<String>,
    /// `delete-by = "operator"`: whose deletes are carried out; everybody's where it is not there.
    pub delete_by: Vec<String>,
    /// `max-size = "2TiB"`: the size of any volume at most, in bytes.
    pub max_size: Option<u64>,
    /// `tag = "tenant"`: an LV tag `tenant=NAME` says whose a volume is.
    pub tag: String,
    /// `hint = "project-id"`: who asks says by a hint of this name whose the volume is.
    pub hint: String,
    /// `tenant-NAME = "500GiB shop- web-"`: a tenant's limit, and how the names of its volumes begin.
    pub tenants: Vec<Tenant>,
}

impl Settings {
    /// Reads the configuration, and what is wrong with it.
    #[must_use]
    pub fn read() -> (Self, Vec<Problem>) {
        let mut read = config::Reader::with_prefix(&KEYS, Some(TENANT));
        let mut settings = Self {
            protected: read.parsed("protected", "an LV tag", word),
            delete_by: read.words("delete-by"),
            max_size: read.size("max-size"),
            tag: read
                .parsed("tag", "the word of an LV tag WORD=NAME", |text| {
                    word(text).filter(|word| !word.contains('='))
                })
                .unwrap_or_else(|| "tenant".to_owned()),
            hint: read
                .parsed("hint", "the name of a hint", word)
                .unwrap_or_else(|| "project-id".to_owned()),
            tenants: Vec::new(),
        };
        for (name, words) in read.beginning(TENANT) {
            match words.split_first() {
                Some((size, beginnings)) if config::bytes(size).is_some() => {
                    settings.tenants.push(Tenant {
                        name,
                        max_size: config::bytes(size).unwrap_or_default(),
                        beginnings: beginnings.to_vec(),
                    });
                }
                _ => read.problem(
                    &format!("{TENANT}{name}"),
                    "begin with a size such as \"500GiB\", without a space in it; then say how names begin",
                ),
            }
        }
        let mut callers = settings.delete_by.iter();
        if let Some(word) = callers.find(|word| !ORIGINS.contains(&word.as_str())) {
            read.problem(
                "delete-by",
                format!("{word:?} is not {}", ORIGINS.join(", ")),
            );
        }
        if config::get("delete-by").is_some() && settings.delete_by.is_empty() {
            read.problem("delete-by", "name at least one of those who may");
        }
        if config::all().is_empty() {
            read.problem("max-size", "nothing is ruled: set this or another key");
        }
        (settings, read.problems())
    }

    pub(crate) fn may_delete(&self, origin: &Origin) -> bool {
        let word = match origin {
            Origin::Libvirt => "libvirt",
            Origin::Openstack => "openstack",
            Origin::Operator => "operator",
            Origin::Other(_) => return self.delete_by.is_empty(),
        };
        self.delete_by.is_empty() || self.delete_by.iter().any(|one| one == word)
    }

    /// Whose a volume is by what the caller says.
    pub(crate) fn hinted(&self, hints: &[(String, String)]) -> Option<&Tenant> {
        let (_, name) = hints.iter().find(|(key, _)| *key == self.hint)?;
        self.tenants.iter().find(|tenant| tenant.name == *name)
    }

    /// Whose a volume's tag says it is; the strictest limit where it has several.
    pub(crate) fn named_by_tag(&self, volume: &Disk) -> Option<&Tenant> {
        let names = volume.tags.iter().filter_map(|tag| tag.split_once('='));
        let names = names.filter(|(word, _)| *word == self.tag);
        let tenants = names.filter_map(|(_, name)| self.tenants.iter().find(|t| t.name == name));
        tenants.min_by_key(|tenant| tenant.max_size)
    }

    /// Whose a name says a volume is: the longest beginning counts.
    pub(crate) fn named(&self, name: &str) -> Option<&Tenant> {
        let begins = |tenant: &Tenant| {
            let beginnings = tenant.beginnings.iter();
            let fitting = beginnings.filter(|beginning| name.starts_with(beginning.as_str()));
            fitting.map(String::len).max()
        };
        let fitting = self.tenants.iter().filter_map(|t| Some((begins(t)?, t)));
        fitting.max_by_key(|(length, _)| *length).map(|(_, t)| t)
    }
}

fn word(text: &str) -> Option<String> {
    let word = text.trim();
    (!word.is_empty() && !word.contains(' ')).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_is_named() {
        let problems = |config: &[(&str, &str)]| {
            config::set_for_test(config);
            let problems = Settings::read().1.into_iter();
            problems
                .map(|p| format!("{}: {}", p.key, p.message))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            problems(&[]),
            ["max-size: nothing is ruled: set this or another key"]
        );
        assert_eq!(
            problems(&[("delete-by", "root"), ("tenant-a", "shop-"), ("tag", "a=b")]),
            [
                "tag: \"a=b\" is not the word of an LV tag WORD=NAME",
                "tenant-a: begin with a size such as \"500GiB\", without a space in it; then say how names begin",
                "delete-by: \"root\" is not libvirt, openstack, operator",
            ]
        );
        assert_eq!(
            problems(&[("delete-by", " "), ("protect", "keep")]),
            [
                "protect: unknown key; did you mean \"protected\"?",
                "delete-by: name at least one of those who may"
            ]
        );
    }

    #[test]
    fn the_longest_beginning_says_whose_a_name_is() {
        config::set_for_test(&[("tenant-a", "1GiB web-"), ("tenant-b", "2GiB web-db-")]);
        let (settings, problems) = Settings::read();
        assert!(problems.is_empty(), "{problems:?}");
        let whose = |name: &str| settings.named(name).map(|tenant| tenant.name.as_str());
        assert_eq!(whose("web-1"), Some("a"));
        assert_eq!(whose("web-db-1"), Some("b"));
        assert_eq!(whose("db-1"), None);
    }
}
