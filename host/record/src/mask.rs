//! Masking, for records that leave the node: names and words become numbered stand-ins, the same
//! one for the same word throughout. What policies compare (sizes, sharing, access, homes, times)
//! stays. Only exports are masked, never the log: a masked record is another request, and a policy
//! that decides by names may decide otherwise.

use std::collections::BTreeMap;

use crate::answer::{Answer, Denial, Note};
use crate::decision::{Combined, DecisionRecord, Verdict};
use crate::facts::{DiskFacts, NodeFacts, Origin, Purpose};
use crate::home::HomeState;
use crate::ids::{InstanceId, LvmUuid, NodeName, PoolName, VolumeId, VolumeName};

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
        for disk in facts.disks.iter_mut().chain(&mut facts.held) {
            self.disk(disk);
        }
        record.copies.iter_mut().for_each(|(v, _)| self.volume(v));
        for plugin in &mut record.plugins {
            for value in plugin.config.values_mut() {
                self.setting(value);
            }
            self.verdict(&mut plugin.verdict);
            plugin.log.iter_mut().for_each(|line| self.text(line));
        }
        match &mut record.combined {
            Combined::Granted(answer) => self.answer(answer),
            Combined::Advised(fates) => fates.iter_mut().for_each(|(v, _)| self.volume(v)),
            Combined::Denied(denials) => denials.iter_mut().for_each(|(_, d)| self.denial(d)),
            Combined::Faulted(faults) => {
                faults
                    .iter_mut()
                    .for_each(|(_, f)| self.text(&mut f.message));
            }
        }
    }

    /// Masks a sentence: every word that has a stand-in gets it. To be called after the record
    /// whose words it speaks of.
    pub fn text(&self, text: &mut String) {
        let ids = self.ids.iter().map(|((_, id), stand_in)| (id, stand_in));
        let mut words: Vec<_> = self.words.iter().chain(ids).collect();
        // The longer first: `web` is a part of `web-1`.
        words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        let mut masked = String::new();
        let mut rest = text.as_str();
        'rest: while let Some(next) = rest.chars().next() {
            for (word, stand_in) in &words {
                if !word.is_empty()
                    && let Some(after) = rest.strip_prefix(word.as_str())
                {
                    masked.push_str(stand_in);
                    rest = after;
                    continue 'rest;
                }
            }
            masked.push(next);
            rest = &rest[next.len_utf8()..];
        }
        *text = masked;
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
        let stand_in = format!("{kind}{}", self.count(kind));
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

    /// A setting is often a list, of words that are tags or names elsewhere.
    fn setting(&mut self, value: &mut String) {
        let separates = |c: char| c == ',' || c.is_whitespace();
        let mut masked = String::new();
        for piece in value.split_inclusive(separates) {
            let word = piece.trim_end_matches(separates);
            // Whole numbers and truths say nothing about anybody.
            let plain = word.parse::<i64>().is_ok() || matches!(word, "true" | "false" | "");
            if plain {
                masked.push_str(word);
            } else {
                masked.push_str(&self.word_for("setting", word));
            }
            masked.push_str(&piece[word.len()..]);
        }
        *value = masked;
    }

    fn pairs(&mut self, pairs: &mut [(String, String)]) {
        pairs
            .iter_mut()
            .for_each(|(_, value)| self.word("word", value));
    }

    fn instance(&mut self, id: &mut InstanceId) {
        let text = self.id_for("instance", id.to_string(), |n| {
            format!("00000000-0000-4000-8000-{n:012}")
        });
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

    fn disk(&mut self, disk: &mut DiskFacts) {
        self.volume(&mut disk.id);
        let pool = self.word_for("pool", disk.pool.as_str());
        disk.pool = PoolName::fixed(&pool);
        let name = self.word_for("volume", disk.name.as_str());
        disk.name = VolumeName::fixed(&name);
        disk.tags.iter_mut().for_each(|tag| self.word("tag", tag));
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
            Verdict::Faulted(fault) => self.text(&mut fault.message),
            Verdict::Absent => {}
        }
    }

    fn answer(&mut self, answer: &mut Answer) {
        answer
            .disks
            .iter_mut()
            .for_each(|d| self.volume(&mut d.volume));
        for Note { key, value } in &mut answer.notes {
            self.text(key);
            self.text(value);
        }
    }

    fn denial(&mut self, denial: &mut Denial) {
        self.text(&mut denial.message);
    }
}
