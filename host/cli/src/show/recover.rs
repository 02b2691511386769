//! `volward recover`: what each witness says of a volume, and the ways out.

use volward_api::{Heard, Open, RecoverReply};

use crate::table::table;
use crate::time::utc;

pub(crate) fn recover(reply: &RecoverReply) -> String {
    let said = reply.witnesses.iter();
    let rows = said.map(|(witness, says)| [witness.to_string(), says.clone()]);
    let together = match &reply.heard {
        Open::Known(Heard::Agree) => {
            "the witnesses of this node agree (a copy is heard on its own node only)".to_owned()
        }
        Open::Known(Heard::Leftovers) => {
            "the data is home in the pool, and something is left of a copy".to_owned()
        }
        Open::Known(Heard::Silent) => {
            "the local pool cannot be read, and a copy in it may have the data".to_owned()
        }
        Open::Known(Heard::Contradict) => "the witnesses contradict each other".to_owned(),
        Open::Other(word) => word.clone(),
    };
    let mut lines = vec![
        format!("{}: {together}", reply.volume),
        table(["WITNESS", "SAYS"], &[], rows),
    ];
    if !reply.contradictions.is_empty() {
        lines.push("what does not fit together:".to_owned());
        lines.extend(reply.contradictions.iter().map(|s| format!("  {s}")));
    }
    lines.extend(reply.given_up.iter().map(|said| {
        format!(
            "the copy {} on node {} was given up at {} by uid {}, at the home's generation {}: {}",
            said.copy,
            said.node,
            utc(said.at_ms),
            said.uid,
            said.generation,
            said.reason
        )
    }));
    lines.extend(reply.copied_at_ms.map(|at| {
        format!(
            "the copy was made at {}: the pool has what {} had then, and what a write-back has brought home since",
            utc(at),
            reply.volume
        )
    }));
    if !reply.ways_out.is_empty() {
        lines.push("what can be done (nothing was changed):".to_owned());
        lines.extend(reply.ways_out.iter().map(|s| format!("  {s}")));
    }
    lines.join("\n")
}
