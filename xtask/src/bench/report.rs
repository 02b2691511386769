//! Figures for people and programs.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::Result;
use serde_json::json;
use volward_system::Node;

use super::figure::Figure;

/// The machine that runs this: processor and kernel.
pub(crate) fn this_machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    format!(
        "here: {} ({cores} cores), Linux {}, {}",
        model_name(&model),
        said("uname", &["-r"]),
        said("rustc", &["--version"]),
    )
}

/// A node: under what it runs, and what it runs.
pub(crate) fn node(node: &Node) -> Result<String> {
    let cpu = node.run_ok("cat /proc/cpuinfo")?;
    let model = model_name(&cpu);
    // QEMU's own processor shows itself only where nothing accelerates it.
    let how = if model.contains("TCG") {
        "software emulation"
    } else {
        "KVM"
    };
    let versions = node.run_ok(
        "echo Linux $(uname -r), LVM $(lvm version | sed -n 's/.*LVM version: *//p'), \
         $(sanlock version | head -n 1)",
    )?;
    Ok(format!(
        "node: {how} ({model}), one of two nodes on this machine, {}",
        versions.trim()
    ))
}

fn model_name(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": "));
    name.map_or("unknown processor", |(_, name)| name)
        .to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|error| error.to_string())
}

pub(crate) fn json(figures: &[Figure], places: &[String]) -> Result<String> {
    let figures: Vec<_> = figures
        .iter()
        .map(|figure| json!({ "figure": figure, "met": figure.met() }))
        .collect();
    let all = json!({ "measured_on": places, "figures": figures });
    Ok(serde_json::to_string_pretty(&all)?)
}

/// A Markdown table, which a person can read as it is.
pub(crate) fn table(figures: &[Figure], places: &[String]) -> String {
    let mut rows = vec![
        [
            "what",
            "against",
            "n",
            "median",
            "p90",
            "p99",
            "base median",
            "ratio",
            "ratio p90",
            "goal",
            "",
        ]
        .map(str::to_owned),
    ];
    rows.extend(figures.iter().map(row));
    let mut text = String::new();
    for (number, cells) in rows.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].chars().count()).max();
            // Writing to a String does not fail.
            let _ok = write!(text, "| {cell:<width$} ", width = width.unwrap_or(0));
        }
        text.push_str("|\n");
        if number == 0 {
            for column in 0..cells.len() {
                let width = rows.iter().map(|row| row[column].chars().count()).max();
                let _ok = write!(text, "|{}", "-".repeat(width.unwrap_or(0) + 2));
            }
            text.push_str("|\n");
        }
    }
    text.push('\n');
    for place in places {
        let _ok = writeln!(text, "- {place}");
    }
    text
}

fn row(figure: &Figure) -> [String; 11] {
    let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |r| format!("{r:.2}"));
    let many = |value| {
        if figure.n > 1 {
            figure.unit.show(value)
        } else {
            String::new()
        }
    };
    [
        figure.what.clone(),
        figure.against.to_owned(),
        figure.n.to_string(),
        figure.unit.show(figure.ours.median),
        many(figure.ours.p90),
        // Of thirty samples the 99th percentile is the greatest, and says nothing.
        if figure.n >= 100 {
            many(figure.ours.p99)
        } else {
            String::new()
        },
        figure
            .base
            .map_or_else(String::new, |base| figure.unit.show(base.median)),
        ratio(figure.ratio),
        ratio(figure.ratio_p90),
        goal(figure),
        match figure.met() {
            Some(true) => "met".to_owned(),
            Some(false) => "missed".to_owned(),
            None => String::new(),
        },
    ]
}

fn goal(figure: &Figure) -> String {
    let limit = match (figure.goal, figure.most) {
        (Some(ratio), _) => format!("{ratio:.2}"),
        (None, Some(most)) => figure.unit.show(most),
        (None, None) => return String::new(),
    };
    format!("≤ {limit}")
}

#[cfg(test)]
mod tests {
    use super::super::figure::{Pairs, Unit};
    use super::*;

    #[test]
    fn the_table_says_what_was_missed() {
        let pairs = Pairs {
            ours: vec![0.002; 3],
            base: vec![0.001; 3],
        };
        let missed = Figure::pairs("a", "b", Unit::Milliseconds, &pairs, Some(1.5));
        let alone = Figure::alone("memory", Unit::Mebibytes, &[f64::from(3 << 20)]);
        let text = table(&[missed, alone], &["here".to_owned()]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].contains("| 2.0 ms "), "{text}");
        assert!(lines[2].contains("| ≤ 1.50 | missed |"), "{text}");
        assert!(lines[3].contains("| 3.0 MiB "), "{text}");
        assert_eq!(lines.last(), Some(&"- here"));
        let mebi = f64::from(1 << 20);
        let too_much = Figure::bounded("left", Unit::Mebibytes, 3.0 * mebi, mebi);
        let text = table(&[too_much], &[]);
        assert!(text.contains("| ≤ 1.0 MiB | missed |"), "{text}");
    }

    #[test]
    fn the_processor_is_named() {
        assert_eq!(
            model_name("processor : 0\nmodel name\t: Some CPU\n"),
            "Some CPU"
        );
        assert_eq!(model_name(""), "unknown processor");
    }
}
