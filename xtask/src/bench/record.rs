//! Figures into SPECIFICATION.md.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::figure::Figure;
use super::report;

const BEGIN: &str = "<!-- measured:begin -->";
const END: &str = "<!-- measured:end -->";

/// Replaces what stands between the markers; without them, adds a section.
pub(crate) fn write(path: &Path, figures: &[Figure], places: &[String]) -> Result<()> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => "# Specification\n".to_owned(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let text = replaced(&text, &report::table(figures, places))
        .with_context(|| format!("{} was left as it is", path.display()))?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn replaced(text: &str, table: &str) -> Result<String> {
    let section = format!("{BEGIN}\n{table}{END}");
    let Some((before, rest)) = text.split_once(BEGIN) else {
        return Ok(format!("{}\n\n## Measured\n\n{section}\n", text.trim_end()));
    };
    let Some((_, after)) = rest.split_once(END) else {
        bail!("there is {BEGIN} without {END} behind it");
    };
    Ok(format!("{before}{section}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let first = replaced("# Spec\n\nText.\n", "| old |\n").unwrap();
        assert!(
            first.starts_with("# Spec\n\nText.\n\n## Measured\n"),
            "{first}"
        );
        let longer = format!("{first}\nMore.\n");
        let second = replaced(&longer, "| new |\n").unwrap();
        assert!(!second.contains("old"), "{second}");
        assert_eq!(second.replace("new", "old"), longer);
        assert!(replaced(BEGIN, "x").is_err());
    }
}
