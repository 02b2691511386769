//! `volward decisions`: the log of this node's decisions.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use volward_api::model::{DecisionRecord, Mask, Outcome, RequestId};
use volward_api::{Became, Client, DecisionReply, DecisionView, DecisionsQuery};

use crate::args::{DecisionsCommand, WhichDecisions};
use crate::instance::id_of;
use crate::output::{answer, hint, print};
use crate::show;

/// The daemon is asked so often for what is new; it answers from memory when nothing is.
const PAUSE: Duration = Duration::from_secs(1);
/// As many as the daemon gives at once.
const MOST: u32 = 1_000;

pub(crate) fn run(client: &Client, json: bool, command: DecisionsCommand) -> anyhow::Result<()> {
    match command {
        DecisionsCommand::Ls { limit, which } => {
            let query = DecisionsQuery {
                limit: Some(limit),
                ..query(client, which)?
            };
            answer(json, &client.decisions(&query)?, show::decisions)
        }
        DecisionsCommand::Show { request, mask } => one(client, json, request, mask),
        DecisionsCommand::Follow { which } => follow(client, json, query(client, which)?),
    }
}

fn query(client: &Client, which: WhichDecisions) -> anyhow::Result<DecisionsQuery> {
    Ok(DecisionsQuery {
        instance: id_of(which.instance, client)?,
        volume: which.volume.map(|v| (v.pool, v.volume)),
        said: which.said,
        ..DecisionsQuery::default()
    })
}

fn one(client: &Client, json: bool, request: RequestId, mask: bool) -> anyhow::Result<()> {
    let mut found = client.decision(request)?;
    if mask {
        masked(&mut found)?;
    }
    if json {
        // A line each, so that it is a file of scenarios as it stands.
        let lines: Result<Vec<String>, _> = found
            .iter()
            .map(|reply| serde_json::to_string(&reply.record))
            .collect();
        return print(&lines?.join("\n"));
    }
    let shown: Vec<String> = found.iter().map(show::decision).collect();
    print(&shown.join("\n\n"))
}

/// What an older or newer daemon wrote and this program does not understand is not shown at all:
/// nobody knows what stands in it.
fn masked(found: &mut [DecisionReply]) -> anyhow::Result<()> {
    let mut mask = Mask::default();
    for reply in found {
        let mut record: DecisionRecord = serde_json::from_value(reply.record.take())
            .context("this decision is not understood, so it cannot be masked")?;
        mask.record(&mut record);
        reply.record = serde_json::to_value(&record)?;
        let mut outcome: Outcome = serde_json::from_value(reply.outcome.take())
            .context("this outcome is not understood, so it cannot be masked")?;
        mask.outcome(&mut outcome);
        reply.outcome = serde_json::to_value(&outcome)?;
    }
    Ok(())
}

/// The last few, then each as it is made, and once more when it is known how it ended.
fn follow(client: &Client, json: bool, mut query: DecisionsQuery) -> anyhow::Result<()> {
    query.limit = Some(10);
    let mut seen = Seen::default();
    loop {
        let reply = client.decisions(&query)?;
        if seen.begins_again(reply.last) {
            hint("volward: the log's numbers begin again; all that is in it follows");
            query.after = None;
            query.limit = Some(MOST);
            continue;
        }
        if query.limit == Some(MOST) && reply.decisions.len() >= MOST as usize {
            hint("volward: more was decided than is printed; `volward decisions ls -n` has more");
        }
        for view in reply.decisions.iter().filter(|view| seen.is_news(view)) {
            let line = if json {
                serde_json::to_string(view)?
            } else {
                show::decisions_line(view)
            };
            print(&line)?;
        }
        query.after = Some(seen.ask_after(reply.last));
        query.limit = Some(MOST);
        thread::sleep(PAUSE);
    }
}

/// What has been printed.
#[derive(Default)]
struct Seen {
    /// Up to this number all is.
    last: u64,
    /// Those of them that were under way.
    begun: BTreeSet<u64>,
    /// How often it was asked since one of them began or ended.
    looks: u32,
}

impl Seen {
    /// The latest number is lower than one there was: the log was put aside, and another begun.
    fn begins_again(&mut self, last: u64) -> bool {
        let again = last < self.last;
        if again {
            *self = Self::default();
        }
        again
    }

    fn is_news(&mut self, view: &DecisionView) -> bool {
        let begun = view.became == Became::Begun;
        let is_new = view.seq == 0 || view.seq > self.last;
        let ended = !begun && self.begun.remove(&view.seq);
        if is_new && begun {
            self.begun.insert(view.seq);
        }
        self.last = self.last.max(view.seq);
        if is_new || ended {
            self.looks = 0;
        }
        is_new || ended
    }

    /// Those with a greater number are asked for: those that are under way once more.
    fn ask_after(&mut self, last: u64) -> u64 {
        // What is new stands after both: the log may have grown while it was read.
        self.last = self.last.max(last);
        self.looks += 1;
        // A copy before start takes hours, and looking back has the daemon read its log.
        let looks_back = self.looks < 60 || self.looks.is_multiple_of(60);
        match self.begun.first() {
            Some(first) if looks_back => first - 1,
            _ => self.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(seq: u64, became: Became) -> DecisionView {
        DecisionView {
            seq,
            request: String::new(),
            at_ms: 0,
            hook: volward_api::Hook::Attach.into(),
            operation: None,
            instance: String::new(),
            instance_name: String::new(),
            disks: Vec::new(),
            said: volward_api::Said::Granted.into(),
            by: None,
            became: became.into(),
            message: None,
            micros: 0,
        }
    }

    #[test]
    fn what_is_under_way_is_told_again_once_it_has_ended() {
        let mut seen = Seen::default();
        let (done, begun) = (Became::Done, Became::Begun);
        assert!(seen.is_news(&view(6, done)));
        assert!(seen.is_news(&view(7, begun)) && seen.is_news(&view(8, done)));
        assert_eq!(seen.ask_after(8), 6);
        assert!(!seen.is_news(&view(7, begun)) && !seen.is_news(&view(8, done)));
        assert_eq!(seen.ask_after(8), 6);
        assert!(seen.is_news(&view(7, done)) && !seen.is_news(&view(8, done)));
        assert_eq!(seen.ask_after(8), 8);
        assert!(!seen.is_news(&view(7, done)));
    }

    #[test]
    fn a_log_whose_numbers_begin_again_is_read_from_its_beginning() {
        let mut seen = Seen::default();
        assert!(!seen.begins_again(8) && seen.is_news(&view(8, Became::Done)));
        assert_eq!(seen.ask_after(8), 8);
        assert!(!seen.begins_again(8));
        assert!(seen.begins_again(2));
        assert!(seen.is_news(&view(1, Became::Done)) && seen.is_news(&view(2, Became::Done)));
        assert!(!seen.begins_again(2));
    }

    #[test]
    fn what_takes_hours_is_looked_for_less_often() {
        let mut seen = Seen::default();
        seen.is_news(&view(1, Became::Begun));
        let back = (0..600).filter(|_| seen.ask_after(5) == 0).count();
        assert_eq!(back, 59 + 10);
    }
}
