//! Format 1, of Volward 0.1.0: the JSON that serde derived of its types. Never written any more.
//!
//! An attachment had the fields it has today. An entry repeated what its columns say, had the
//! fields of every kind of entry side by side, and some steps had other words.

use serde_json::{Map, Value, json};

/// What the columns say, and say alone since format 2.
const IN_COLUMNS: [&str; 4] = ["id", "state", "marks", "causes"];

/// The fields that only some kinds of entry used; the others left them empty.
const OF_KINDS: [&str; 8] = [
    "kind",
    "instance",
    "volumes",
    "steps",
    "commit_at",
    "puts",
    "removes",
    "write_back",
];

/// Steps that had other words.
const STEPS: [(&str, &str); 5] = [
    ("look-again", "revalidate"),
    ("make-return-metadata", "make-write-back-metadata"),
    ("load-return", "load-write-back"),
    ("await-return", "await-write-back"),
    ("unload-return", "unload-write-back"),
];

/// Makes an entry of format 1 one of format 2. What is not as 0.1.0 wrote it is left for the
/// reader of format 2 to refuse: an unknown field stays where it was, and a field that is missing
/// is missing afterwards.
pub(super) fn upgrade_entry(mut entry: Value) -> Value {
    let planned = entry.get_mut("steps").and_then(Value::as_array_mut);
    for planned in planned.into_iter().flatten() {
        if let Some(step) = planned.get_mut("step") {
            rename(step);
        }
        let undo = planned.get_mut("undo").and_then(Value::as_array_mut);
        undo.into_iter().flatten().for_each(rename);
    }
    if let Some(fields) = entry.as_object_mut() {
        for column in IN_COLUMNS {
            fields.remove(column);
        }
        let of_kinds: Map<String, Value> = OF_KINDS
            .iter()
            .filter_map(|name| fields.remove_entry(*name))
            .collect();
        if !of_kinds.is_empty() {
            fields.insert("operation".to_owned(), operation(of_kinds));
        }
    }
    entry
}

fn rename(step: &mut Value) {
    let Some(word) = step.get_mut("step") else {
        return;
    };
    for (old, new) in STEPS {
        if *word == old {
            *word = Value::from(new);
            return;
        }
    }
}

/// What a kind of entry used, as an operation. A kind that 0.1.0 did not have keeps its word,
/// for which it is refused.
fn operation(mut fields: Map<String, Value>) -> Value {
    let kind = fields.get("kind").and_then(Value::as_str);
    let used: &[&str] = match kind {
        Some("attach") => &["kind", "instance", "steps", "commit_at", "puts"],
        Some("detach") => {
            // A detach is completed, never undone: its steps had empty undos.
            let steps = fields.get_mut("steps").and_then(Value::as_array_mut);
            for planned in steps.into_iter().flatten() {
                if let Some(step) = planned.get_mut("step") {
                    *planned = step.take();
                }
            }
            if let Some(leaving) = leaving(&fields) {
                fields.insert("leaving".to_owned(), leaving);
            }
            &["kind", "instance", "steps", "leaving"]
        }
        Some("write-back") => {
            if let Some(volume) = fields.get("volumes").and_then(|v| v.get(0)).cloned() {
                fields.insert("volume".to_owned(), volume);
            }
            &["kind", "volume"]
        }
        _ => &["kind"],
    };
    fields.retain(|name, _| used.contains(&name.as_str()));
    Value::Object(fields)
}

/// The volumes of the attachments that a detach removed, each with what was to become of it. `None` if one of them is not among the entry's volumes, or is not its instance's.
fn leaving(fields: &Map<String, Value>) -> Option<Value> {
    let volumes = fields.get("volumes")?.as_array()?;
    let write_back = fields.get("write_back")?.as_array()?;
    let removes = fields.get("removes")?.as_array()?;
    let one = |key: &Value| {
        let id = key.get("volume")?;
        let volume = volumes.iter().find(|v| v.get("id") == Some(id))?;
        let own = key.get("instance") == fields.get("instance");
        let then = match write_back.contains(volume) {
            true => "write-back",
            false => "nothing",
        };
        own.then(|| json!({ "volume": volume, "then": then }))
    };
    removes.iter().map(one).collect()
}
