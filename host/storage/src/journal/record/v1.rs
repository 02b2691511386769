//! Format 1, of Volward 0.1.0: the JSON that serde derived of its types. Never written any more.
//!
//! An attachment had the fields it has today. An entry repeated what its columns say, and some
//! steps had other words.

use serde_json::Value;

/// What the columns say, and say alone since format 2.
const IN_COLUMNS: [&str; 4] = ["id", "state", "marks", "causes"];

/// Steps that had other words.
const STEPS: [(&str, &str); 5] = [
    ("look-again", "revalidate"),
    ("make-return-metadata", "make-write-back-metadata"),
    ("load-return", "load-write-back"),
    ("await-return", "await-write-back"),
    ("unload-return", "unload-write-back"),
];

/// Makes an entry of format 1 one of format 2. What is not as 0.1.0 wrote it is left for the
/// reader of format 2 to refuse.
pub(super) fn upgrade_entry(mut entry: Value) -> Value {
    if let Some(fields) = entry.as_object_mut() {
        for column in IN_COLUMNS {
            fields.remove(column);
        }
    }
    let planned = entry.get_mut("steps").and_then(Value::as_array_mut);
    for planned in planned.into_iter().flatten() {
        if let Some(step) = planned.get_mut("step") {
            rename(step);
        }
        let undo = planned.get_mut("undo").and_then(Value::as_array_mut);
        undo.into_iter().flatten().for_each(rename);
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
