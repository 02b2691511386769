//! `volume diff`.

use volward_api::model::Bytes;

use crate::diff::Difference;
use crate::table::table;

/// A line a range, then what it comes to.
pub(crate) fn difference(found: &Difference) -> String {
    let rows = found.changed.iter().map(|range| {
        [
            range.start.to_string(),
            range.length.to_string(),
            Bytes(range.length).to_string(),
        ]
    });
    let changed: u64 = found.changed.iter().map(|range| range.length).sum();
    let sum = format!(
        "{} of {} in {} are not as in {}",
        Bytes(changed),
        Bytes(found.size),
        found.new,
        found.old
    );
    if found.changed.is_empty() {
        return format!("{} is as {}", found.new, found.old);
    }
    let header = ["START", "LENGTH", ""];
    [table(header, &["START", "LENGTH", ""], rows), sum].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::Range;

    #[test]
    fn ranges_are_listed_with_what_they_come_to() {
        let mut found = Difference {
            old: "vg0/mon".to_owned(),
            new: "vg0/tue".to_owned(),
            size: 8 << 20,
            block: 65_536,
            changed: vec![
                Range {
                    start: 0,
                    length: 65_536,
                },
                Range {
                    start: 4 << 20,
                    length: 1 << 20,
                },
            ],
        };
        let text = difference(&found);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines[2].contains("4194304") && lines[2].contains("1 MiB"),
            "{text}"
        );
        assert!(
            lines[3].ends_with("of 8 MiB in vg0/tue are not as in vg0/mon"),
            "{text}"
        );
        found.changed.clear();
        assert_eq!(difference(&found), "vg0/tue is as vg0/mon");
    }
}
