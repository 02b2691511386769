//! A program's man page and its completions for shells, made of the same command line that prints
//! `--help`: they cannot say anything else. Programs print them, so that what is packaged is made of
//! the very program that is packaged.

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// Where a man page belongs, and what `--help` does not say.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// `"1"` for everybody's programs, `"8"` for the administrator's.
    pub section: &'static str,
    /// More sections, each a heading and its text; behind those of the command line.
    pub more: &'static [(&'static str, &'static str)],
    /// Other pages, as `volwardd(8)`.
    pub see_also: &'static [&'static str],
}

/// The man page, in roff. Subcommands, those of subcommands too, are described in the same page,
/// each under its whole name: a page for each would make `volward policy` and `volward-policy` one.
#[must_use]
pub fn page(command: Command, page: Page) -> String {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let (name, version) = (command.get_name(), command.get_version());
    let source = format!("{name} {}", version.unwrap_or_default());
    let man = Man::new(command.clone());
    // The renderer leaves an empty date out, and what is behind it would count as the date.
    let title = part(|out| man.render_title(out));
    let preamble = title.split(".TH ").next().unwrap_or_default();
    let (name, section) = (escaped(&name.to_uppercase()), page.section);
    let mut text = format!("{preamble}.TH {name} {section} \"\" \"{source}\" Volward\n");
    for rendered in [
        part(|out| man.render_name_section(out)),
        part(|out| man.render_synopsis_section(out)),
        part(|out| man.render_description_section(out)),
        part(|out| man.render_options_section(out)),
    ] {
        text += &rendered[rendered.find(".SH ").unwrap_or(0)..];
    }
    if command.get_subcommands().any(|one| !one.is_hide_set()) {
        text += ".SH COMMANDS\n";
        subcommands(&command, &mut text);
    }
    if let Some(after) = command.get_after_help() {
        let after = after.to_string();
        let (heading, lines) = after.split_once(":\n").unwrap_or(("More", &after));
        own_section(&mut text, heading, lines);
    }
    for (heading, lines) in page.more {
        own_section(&mut text, heading, lines);
    }
    if !page.see_also.is_empty() {
        own_section(&mut text, "See also", &page.see_also.join(", "));
    }
    text
}

/// Completions for a shell, as its own completion system reads them.
#[must_use]
pub fn completions(command: &mut Command, shell: Shell) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    script
}

fn subcommands(command: &Command, text: &mut String) {
    for sub in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        // What is for all commands stands once, above; --help needs no description.
        let sub = sub.clone().mut_args(|argument| {
            let everywhere = argument.is_global_set() || argument.get_id() == "help";
            argument.hide(everywhere)
        });
        let has_own = sub.get_subcommands().any(|one| !one.is_hide_set());
        if has_own {
            subcommands(&sub, text);
            continue;
        }
        let name = sub.get_bin_name().unwrap_or_else(|| sub.get_name());
        text.push_str(&format!(".SS {}\n", escaped(name)));
        let man = Man::new(sub.clone());
        text.push_str(body(&part(|out| man.render_synopsis_section(out))));
        text.push_str(".PP\n");
        text.push_str(body(&part(|out| man.render_description_section(out))));
        if sub.get_arguments().any(|argument| !argument.is_hide_set()) {
            text.push_str(body(&part(|out| man.render_options_section(out))));
        }
        if let Some(after) = sub.get_after_help() {
            verbatim(text, &after.to_string());
        }
    }
}

/// What a renderer writes. A vector takes everything.
fn part(render: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    match render(&mut bytes) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => unreachable!("a vector takes everything: {error}"),
    }
}

/// A section without what begins each document of the renderer, and without its heading.
fn body(section: &str) -> &str {
    let heading = section.find(".SH ").unwrap_or(0);
    let rest = &section[heading..];
    rest.split_once('\n').map_or("", |(_, body)| body)
}

fn own_section(text: &mut String, heading: &str, lines: &str) {
    text.push_str(&format!(".SH {}\n", escaped(&heading.to_uppercase())));
    verbatim(text, lines);
}

/// Lines as they are: tables of words and what they mean.
fn verbatim(text: &mut String, lines: &str) {
    text.push_str(".PP\n.nf\n");
    for line in lines.lines() {
        text.push_str(&escaped(line));
        text.push('\n');
    }
    text.push_str(".fi\n");
}

/// Plain text for roff: nothing in it is a request or an escape.
#[must_use]
pub fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with('.') || line.starts_with('\'') {
        return format!("\\&{line}");
    }
    line
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};

    use super::*;

    fn tool() -> Command {
        let json = Arg::new("json").long("json").global(true);
        let json = json.action(ArgAction::SetTrue).help("Answer in JSON");
        let all = Arg::new("all").long("all").action(ArgAction::SetTrue);
        let ls = Command::new("ls").about("List them");
        let ls = ls.arg(all.help("Those of other nodes too"));
        let set = Command::new("set").about("Change one");
        Command::new("tool")
            .about("Does things")
            .version("1.2")
            .arg(json)
            .after_help("Exit codes:\n   0  done\n   1  .not done")
            .subcommand(ls)
            .subcommand(Command::new("thing").about("Things").subcommand(set))
            .subcommand(Command::new("manual").hide(true).about("Print this"))
    }

    const PAGE: Page = Page {
        section: "8",
        more: &[("Files", "/etc/tool.conf  its configuration")],
        see_also: &["other(1)"],
    };

    #[test]
    fn a_page_has_every_command_under_its_whole_name_and_global_options_once() {
        let text = page(tool(), PAGE);
        assert!(
            text.contains(".TH TOOL 8 \"\" \"tool 1.2\" Volward\n"),
            "{text}"
        );
        assert_eq!(text.matches(".ie ").count(), 1, "one preamble: {text}");
        for words in [
            ".SS tool ls\n",
            ".SS tool thing set\n",
            "List them",
            "Those of other nodes too",
            ".SH EXIT CODES\n.PP\n.nf\n   0  done\n   1  .not done\n.fi\n",
            ".SH FILES\n",
            "other(1)",
        ] {
            assert!(text.contains(words), "no {words:?} in {text}");
        }
        assert_eq!(text.matches("Answer in JSON").count(), 1, "{text}");
        assert!(!text.contains("manual"), "hidden commands stay so: {text}");
    }

    #[test]
    fn a_line_that_begins_like_a_request_is_none() {
        assert_eq!(escaped(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(escaped("a\\fB --x"), "a\\efB \\-\\-x");
    }

    #[test]
    fn completions_are_of_the_program_that_is_asked() {
        let script = completions(&mut tool(), Shell::Bash);
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("complete -F _tool"), "{script}");
    }
}
