//! Masking, for records that leave the node: names and words become numbered stand-ins, the same
//! one for the same word throughout. What policies compare (sizes, sharing, access, homes, times)
//! stays. Only exports are masked, never the log: a masked record is another request, and a policy
//! that decides by names may decide otherwise.
//!
//! | what | becomes |
//! |---|---|
//! | names, values of hints, labels, tags and settings | a stand-in, always |
//! | keys of these, names and codes of policies, words of sentences | a stand-in, or left out, unless Volward itself says that word |
//! | UUIDs | a UUID, wherever they stand |
//! | numbers | a stand-in, unless a setting of a shipped policy is an amount, or they have three digits at most in a sentence |

mod words;

use std::collections::BTreeMap;

use crate::answer::{Answer, Denial, Note};
use crate::decision::{Combined, DecisionRecord, Outcome, PluginVerdict, Verdict};
use crate::facts::{DiskFacts, NodeFacts, OperationFacts, OperationKind, Origin, Purpose};
use crate::home::HomeState;
use crate::ids::{InstanceId, LvmUuid, NodeName, PoolName, VolumeId, VolumeName};

/// Stands where a sentence had a word that may be a name.
const LEFT_OUT: &str = "[...]";

/// The stand-ins given so far. One for a whole export, so that what was the same stays the same.
#[derive(Debug, Default)]
pub struct Mask {
    /// Word to stand-in. One for a word, whatever it is: what is a tag here and a setting there is
    /// compared by a policy. Which kind it was first gives the stand-in its name.
    words: BTreeMap<String, String>,
    /// The same for UUIDs, whose stand-ins must be of their form.
    ids: BTreeMap<(&'static str, String), String>,
    /// How many stand-ins of a kind there are.
    counts: BTreeMap<&'static str, usize>,
}

impl Mask {
    /// Masks a record.
    pub fn record(&mut self, record: &mut DecisionRecord) {
        let facts = &mut record.facts;
        self.instance(&mut facts.request.instance);
        self.user(&mut facts.request.caller_uid);
        self.word("guest", &mut facts.request.instance_name);
        match &mut facts.request.origin {
            Origin::Other(other) => self.word("origin", other),
            Origin::Libvirt | Origin::Openstack | Origin::Operator => {}
        }
        match &mut facts.request.purpose {
            Purpose::Other(other) => self.word("purpose", other),
            Purpose::Boot | Purpose::HotPlug | Purpose::MigrationIn | Purpose::Restore => {}
        }
        self.pairs(&mut facts.request.hints);
        self.node(&mut facts.node);
        if let Some(peer) = &mut facts.peer {
            self.node(peer);
        }
        if let Some(operation) = &mut facts.operation {
            self.operation(operation);
        }
        for disk in facts.disks.iter_mut().chain(&mut facts.held) {
            self.disk(disk);
        }
        record.copies.iter_mut().for_each(|(v, _)| self.volume(v));
        for plugin in &mut record.plugins {
            self.plugin(plugin);
        }
        match &mut record.combined {
            Combined::Granted(answer) => self.answer(answer),
            Combined::Advised(fates) => fates.iter_mut().for_each(|(v, _)| self.volume(v)),
            Combined::Denied(denials) => denials.iter_mut().for_each(|(who, denial)| {
                self.identifier("policy", who);
                self.denial(denial);
            }),
            Combined::Faulted(faults) => faults.iter_mut().for_each(|(who, fault)| {
                self.identifier("policy", who);
                self.text(&mut fault.message);
                fault.backtrace.iter_mut().for_each(|line| self.text(line));
            }),
        }
    }

    /// Masks what became of a decision. To be called after the record.
    pub fn outcome(&mut self, outcome: &mut Outcome) {
        match outcome {
            Outcome::Begun | Outcome::Done => {}
            Outcome::Refused { code, message } => {
                self.identifier("code", code);
                self.text(message);
            }
            Outcome::Failed { message } | Outcome::Interrupted { message } => self.text(message),
        }
    }

    /// Masks a sentence: every word that has a stand-in gets it, and one that Volward does not say
    /// itself is left out. To be called after the record whose words it speaks of.
    pub fn text(&mut self, text: &mut String) {
        let mut masked = String::new();
        let mut rest = text.as_str();
        while let Some(next) = rest.chars().next() {
            if !words::is_part(next) {
                masked.push(next);
                rest = &rest[next.len_utf8()..];
                continue;
            }
            let (taken, stand_in) = self.word_of_text(rest);
            rest = &rest[taken..];
            if stand_in == LEFT_OUT && masked.trim_end().ends_with(LEFT_OUT) {
                // How many words there were says something too.
                masked.truncate(masked.trim_end().len());
            } else {
                masked.push_str(&stand_in);
            }
        }
        *text = masked;
    }

    /// How many bytes of the text are a word, and what stands for it.
    fn word_of_text(&mut self, text: &str) -> (usize, String) {
        // A word that ends within a longer one is not meant.
        let whole = |word: &str| {
            let after = text.strip_prefix(word);
            !word.is_empty() && after.is_some_and(|rest| !rest.starts_with(words::is_part))
        };
        let ids = self.ids.iter().map(|((_, id), stand_in)| (id, stand_in));
        let known = self.words.iter().chain(ids);
        // The longer first: `web` is a part of `web-1`.
        let known = known
            .filter(|(word, _)| whole(word))
            .max_by_key(|(word, _)| word.len());
        if let Some((word, stand_in)) = known {
            return (word.len(), stand_in.clone());
        }
        if let Some(id) = words::uuid(text) {
            return (id.len(), self.instance_for(id));
        }
        let run = words::run(text);
        let stays = words::is_plain(run) || words::is_small(run);
        let stands = if stays { run } else { LEFT_OUT };
        (run.len(), stands.to_owned())
    }

    fn plugin(&mut self, plugin: &mut PluginVerdict) {
        self.identifier("policy", &mut plugin.plugin);
        let config = std::mem::take(&mut plugin.config);
        for (mut key, mut value) in config {
            self.setting(&key, &mut value);
            self.identifier("key", &mut key);
            plugin.config.insert(key, value);
        }
        self.verdict(&mut plugin.verdict);
        plugin.log.iter_mut().for_each(|line| self.text(line));
    }

    fn count(&mut self, kind: &'static str) -> usize {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        *count
    }

    fn word_for(&mut self, kind: &'static str, word: &str) -> String {
        if let Some(given) = self.words.get(word) {
            return given.clone();
        }
        // A number must be read as one, but need not be this one.
        let stand_in = match word.parse::<i64>() {
            Ok(_) => (900_000 + self.count("number")).to_string(),
            Err(_) => format!("{kind}{}", self.count(kind)),
        };
        self.words.insert(word.to_owned(), stand_in.clone());
        stand_in
    }

    fn id_for(&mut self, kind: &'static str, id: String, make: impl Fn(usize) -> String) -> String {
        let key = (kind, id);
        if let Some(given) = self.ids.get(&key) {
            return given.clone();
        }
        let stand_in = make(self.count(kind));
        self.ids.insert(key, stand_in.clone());
        stand_in
    }

    fn word(&mut self, kind: &'static str, word: &mut String) {
        if !word.is_empty() {
            *word = self.word_for(kind, word);
        }
    }

    /// A key, a code, a policy's name: the words that Volward itself uses stay.
    fn identifier(&mut self, kind: &'static str, text: &mut String) {
        let mut masked = String::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            // `group-NAME` of cluster-disk, whose name is a tag's value, and others.
            let is_name = words::NAMING.contains(&masked.as_str()) || self.words.contains_key(rest);
            let word = if is_name { rest } else { words::run(rest) };
            if word.is_empty() || (!is_name && words::is_plain(word)) {
                masked.push_str(word);
            } else {
                masked.push_str(&self.word_for(kind, word));
            }
            rest = &rest[word.len()..];
            if let Some(between) = rest.chars().next() {
                masked.push(between);
                rest = &rest[between.len_utf8()..];
            }
        }
        *text = masked;
    }

    /// A setting is often a list, of words that are tags or names elsewhere.
    fn setting(&mut self, key: &str, value: &mut String) {
        let separates = |c: char| c == ',' || c == '=' || c.is_whitespace();
        let mut masked = String::new();
        for piece in value.split_inclusive(separates) {
            let word = piece.trim_end_matches(separates);
            masked.push_str(&self.word_of_setting(key, word, masked.is_empty()));
            masked.push_str(&piece[word.len()..]);
        }
        *value = masked;
    }

    fn word_of_setting(&mut self, key: &str, word: &str, is_first: bool) -> String {
        if let Some(given) = self.words.get(word) {
            return given.clone();
        }
        let plain = matches!(word, "true" | "false" | "")
            || (words::holds_amounts(key) && words::is_amount(word));
        if plain {
            return word.to_owned();
        }
        if words::uuid(word) == Some(word) {
            return self.instance_for(word);
        }
        if words::names_a_key(key) && is_first {
            let mut name = word.to_owned();
            self.identifier("setting", &mut name);
            return name;
        }
        self.word_for("setting", word)
    }

    fn pairs(&mut self, pairs: &mut [(String, String)]) {
        for (key, value) in pairs {
            self.identifier("key", key);
            self.word("word", value);
        }
    }

    /// `cluster=db`: a key and a value; else a word.
    fn tag(&mut self, tag: &mut String) {
        let Some((key, value)) = tag.split_once('=') else {
            return self.word("tag", tag);
        };
        let (mut key, mut value) = (key.to_owned(), value.to_owned());
        self.identifier("tag", &mut key);
        self.word("tag", &mut value);
        *tag = format!("{key}={value}");
    }

    /// Root is everybody's; another user's number is not.
    fn user(&mut self, uid: &mut u32) {
        if *uid != 0 {
            let stand_in = self.id_for("uid", uid.to_string(), |n| (60_000 + n).to_string());
            *uid = stand_in.parse().unwrap_or(60_000);
        }
    }

    fn instance_for(&mut self, id: &str) -> String {
        // As it is written elsewhere, whatever its case here.
        self.id_for("instance", id.to_ascii_lowercase(), |n| {
            format!("00000000-0000-4000-8000-{n:012}")
        })
    }

    fn instance(&mut self, id: &mut InstanceId) {
        let text = self.instance_for(&id.to_string());
        *id = text.parse().unwrap_or(*id);
    }

    fn uuid(&mut self, kind: &'static str, id: &mut LvmUuid) {
        let text = self.id_for(kind, id.to_string(), |n| {
            LvmUuid::numbered(kind, n).to_string()
        });
        *id = text.parse().unwrap_or(*id);
    }

    fn volume(&mut self, volume: &mut VolumeId) {
        self.uuid("vg", &mut volume.vg);
        self.uuid("lv", &mut volume.lv);
    }

    fn node_name(&mut self, name: &mut NodeName) {
        let stand_in = self.word_for("node", name.as_str());
        *name = NodeName::fixed(&stand_in);
    }

    fn node(&mut self, node: &mut NodeFacts) {
        self.node_name(&mut node.name);
        self.pairs(&mut node.labels);
    }

    fn pool(&mut self, pool: &mut PoolName) {
        let stand_in = self.word_for("pool", pool.as_str());
        *pool = PoolName::fixed(&stand_in);
    }

    fn volume_name(&mut self, name: &mut VolumeName) {
        let stand_in = self.word_for("volume", name.as_str());
        *name = VolumeName::fixed(&stand_in);
    }

    fn operation(&mut self, operation: &mut OperationFacts) {
        if let OperationKind::Other(other) = &mut operation.kind {
            self.word("operation", other);
        }
        self.pool(&mut operation.pool);
        if let Some(name) = &mut operation.new_name {
            self.volume_name(name);
        }
    }

    fn disk(&mut self, disk: &mut DiskFacts) {
        self.volume(&mut disk.id);
        self.pool(&mut disk.pool);
        self.volume_name(&mut disk.name);
        disk.tags.iter_mut().for_each(|tag| self.tag(tag));
        match &mut disk.home.state {
            HomeState::Pool => {}
            HomeState::Split { node, copy }
            | HomeState::Node { node, copy }
            | HomeState::Returning { node, copy } => {
                self.node_name(node);
                self.uuid("lv", copy);
            }
        }
        for attachment in &mut disk.attachments {
            self.volume(&mut attachment.volume);
            self.instance(&mut attachment.instance);
            self.node_name(&mut attachment.node);
        }
    }

    fn verdict(&mut self, verdict: &mut Verdict) {
        match verdict {
            Verdict::Granted(answer) => self.answer(answer),
            Verdict::Advised(advice) => advice.iter_mut().for_each(|(v, _)| self.volume(v)),
            Verdict::Denied(denial) => self.denial(denial),
            Verdict::Faulted(fault) => {
                self.text(&mut fault.message);
                fault.backtrace.iter_mut().for_each(|line| self.text(line));
            }
            Verdict::Absent => {}
        }
    }

    fn answer(&mut self, answer: &mut Answer) {
        answer
            .disks
            .iter_mut()
            .for_each(|d| self.volume(&mut d.volume));
        for Note { key, value } in &mut answer.notes {
            self.identifier("note", key);
            self.text(value);
        }
    }

    fn denial(&mut self, denial: &mut Denial) {
        self.identifier("code", &mut denial.code);
        self.text(&mut denial.message);
    }
}
