//! A disk on the command line, `POOL/VOLUME[:OPTION[,OPTION...]]`: options as mount(8) has them.

use volward_api::model::{Access, Sharing};
use volward_api::{DiskPath, DiskRequest};

use crate::volume_path::VolumePath;

/// One option of a disk.
struct DiskOption {
    word: &'static str,
    /// In the help, and with more about it in docs/cli.md.
    meaning: &'static str,
    /// Options that cannot be given with it; each of those names this one too.
    excludes: &'static [&'static str],
    set: fn(&mut DiskRequest),
}

/// All of them, in the order in which they are listed.
const OPTIONS: &[DiskOption] = &[
    DiskOption {
        word: "rw",
        meaning: "the guest reads and writes; the default",
        excludes: &["ro"],
        set: |disk| disk.access = Access::ReadWrite,
    },
    DiskOption {
        word: "ro",
        meaning: "the guest reads; the kernel refuses its writes",
        excludes: &["rw", "lv"],
        set: |disk| disk.access = Access::ReadOnly,
    },
    DiskOption {
        word: "exclusive",
        meaning: "no other instance has the volume, on any node",
        excludes: &["shared"],
        set: |disk| disk.sharing = Some(Sharing::Exclusive),
    },
    DiskOption {
        word: "shared",
        meaning: "other instances may have it too; with rw only a shareable volume",
        excludes: &["exclusive"],
        set: |disk| disk.sharing = Some(Sharing::Shared),
    },
    DiskOption {
        word: "lv",
        meaning: "the guest opens /dev/POOL/VOLUME, not a device of the attachment's own",
        excludes: &["ro"],
        set: |disk| disk.path = DiskPath::Lv,
    },
    DiskOption {
        word: "narrow",
        meaning: "a grant of less than was asked for is accepted, such as ro for rw",
        excludes: &[],
        set: |disk| disk.accept_narrowing = true,
    },
];

/// Which of the two it is where neither `exclusive` nor `shared` is given.
const DEFAULT_SHARING: &str =
    "without exclusive or shared: shared for ro on a shareable volume, else exclusive";

/// The table at the end of `volward attach --help`.
pub(crate) fn help() -> String {
    let mut lines = vec!["Options of a disk, joined by commas as for mount(8):".to_owned()];
    lines.extend(OPTIONS.iter().map(|option| {
        let line = format!("  {:9}  {}", option.word, option.meaning);
        match option.excludes {
            [] => line,
            others => format!("{line}; not with {}", others.join(", ")),
        }
    }));
    lines.push(format!("  {DEFAULT_SHARING}"));
    lines.join("\n")
}

fn words() -> String {
    let words: Vec<&str> = OPTIONS.iter().map(|option| option.word).collect();
    words.join(", ")
}

/// Reads a disk as it is typed.
///
/// # Errors
/// In a sentence: it is no volume, an option does not exist, or two exclude each other.
pub(crate) fn request(text: &str) -> Result<DiskRequest, String> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    let VolumePath { pool, volume } = path.parse()?;
    let mut disk = DiskRequest {
        pool,
        volume,
        path: DiskPath::Own,
        access: Access::ReadWrite,
        sharing: None,
        accept_narrowing: false,
    };
    let mut given: Vec<&DiskOption> = Vec::new();
    // As mount(8): nothing between two commas is nothing.
    for word in options.split(',').filter(|word| !word.is_empty()) {
        let option = OPTIONS.iter().find(|option| option.word == word);
        let option = option.ok_or_else(|| {
            format!(
                "there is no option {word:?} for disk {path}, only {}",
                words()
            )
        })?;
        if let Some(other) = given.iter().find(|g| g.excludes.contains(&word)) {
            return Err(format!(
                "the options {} and {word} of disk {path} exclude each other",
                other.word
            ));
        }
        (option.set)(&mut disk);
        given.push(option);
    }
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(text: &str) -> DiskRequest {
        request(text).unwrap()
    }

    fn error(text: &str) -> String {
        request(text).unwrap_err()
    }

    #[test]
    fn each_option_does_what_it_says_and_nothing_else() {
        let plain = disk("vg0/a+b");
        assert_eq!((plain.pool.as_str(), plain.volume.as_str()), ("vg0", "a+b"));
        assert_eq!(
            (plain.access, plain.sharing, plain.path),
            (Access::ReadWrite, None, DiskPath::Own)
        );
        assert!(!plain.accept_narrowing);
        for (options, expected) in [
            ("rw", plain.clone()),
            (
                "ro",
                DiskRequest {
                    access: Access::ReadOnly,
                    ..plain.clone()
                },
            ),
            (
                "exclusive",
                DiskRequest {
                    sharing: Some(Sharing::Exclusive),
                    ..plain.clone()
                },
            ),
            (
                "shared",
                DiskRequest {
                    sharing: Some(Sharing::Shared),
                    ..plain.clone()
                },
            ),
            (
                "lv",
                DiskRequest {
                    path: DiskPath::Lv,
                    ..plain.clone()
                },
            ),
            (
                "narrow",
                DiskRequest {
                    accept_narrowing: true,
                    ..plain.clone()
                },
            ),
            // Twice is once, and so is nothing.
            ("rw,,rw,", plain.clone()),
            ("", plain.clone()),
            (
                "ro,shared,narrow",
                DiskRequest {
                    access: Access::ReadOnly,
                    sharing: Some(Sharing::Shared),
                    accept_narrowing: true,
                    ..plain.clone()
                },
            ),
        ] {
            assert_eq!(disk(&format!("vg0/a+b:{options}")), expected, "{options}");
        }
    }

    #[test]
    fn a_wrong_option_is_refused_with_the_disk_and_what_there_is() {
        assert_eq!(
            error("vg0/a:ro,r"),
            "there is no option \"r\" for disk vg0/a, only rw, ro, exclusive, shared, lv, narrow"
        );
        for bad in [
            "vg0",
            "vg0/",
            "/a",
            "vg0/a/b",
            "vg0/a:RO",
            "vg0/a:ro shared",
        ] {
            assert!(request(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_that_exclude_each_other_do_in_both_orders() {
        let mut refused = 0;
        for one in OPTIONS {
            for other in one.excludes {
                let text = format!("vg0/a:narrow,{},{other}", one.word);
                let sentence = format!(
                    "the options {} and {other} of disk vg0/a exclude each other",
                    one.word
                );
                assert_eq!(error(&text), sentence);
                let back = OPTIONS.iter().find(|option| option.word == *other).unwrap();
                assert!(back.excludes.contains(&one.word), "{other}");
                refused += 1;
            }
        }
        assert_eq!(refused, 6);
    }

    /// The document has the same options with the same words.
    #[test]
    fn the_document_has_every_option() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        let document = std::fs::read_to_string(path).unwrap();
        for option in OPTIONS {
            let excludes: Vec<String> = option.excludes.iter().map(|w| format!("`{w}`")).collect();
            let beginning = format!("| `{}` | {}", option.word, option.meaning);
            let end = format!("| {} |", excludes.join(", "));
            let row = document.lines().find(|line| line.starts_with(&beginning));
            let row = row.unwrap_or_else(|| panic!("docs/cli.md lacks {beginning}"));
            assert!(row.ends_with(&end), "{row} lacks {end}");
        }
        assert!(document.to_lowercase().contains(DEFAULT_SHARING));
    }
}
