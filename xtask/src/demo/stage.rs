//! Commands before the reader's eyes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use volward_system::guest::Guest;
use volward_system::volward::{VIRSH, Volward};
use volward_system::{Cluster, Node, Output};

/// Width of what is told, as of a plain terminal.
const WIDTH: usize = 80;

/// Where the story plays.
pub(super) struct Stage<'a> {
    root: &'a Path,
    cluster: &'a Cluster,
    volward: &'a Volward<'a>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(root: &'a Path, cluster: &'a Cluster, volward: &'a Volward<'a>) -> Self {
        Self {
            root,
            cluster,
            volward,
        }
    }

    pub(super) fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// Volward's own folder.
    pub(super) fn root(&self) -> &'a Path {
        self.root
    }

    pub(super) fn node(&self, number: u8) -> &'a Node {
        self.volward.node(number)
    }

    pub(super) fn volward(&self) -> &'a Volward<'a> {
        self.volward
    }

    /// A paragraph for the reader.
    pub(super) fn say(&self, text: &str) {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if line.len() + word.len() >= WIDTH - 3 {
                println!("   {line}");
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        println!("   {line}\n");
    }

    /// Runs a command that must succeed; answers what it said.
    pub(super) fn works(&self, node: u8, command: &str) -> Result<String> {
        let output = self.node(node).run_within(VIRSH, command)?;
        show(node, command, &output);
        ensure!(output.ok(), "on node {node} `{command}` failed");
        Ok(output.stdout)
    }

    /// Runs a command that must fail and say `word`.
    pub(super) fn refused(&self, node: u8, command: &str, word: &str) -> Result<()> {
        let output = self.node(node).run_within(VIRSH, command)?;
        show(node, command, &output);
        ensure!(
            !output.ok() && (output.stderr + &output.stdout).contains(word),
            "on node {node} `{command}` was to be refused with {word:?}"
        );
        Ok(())
    }

    /// Repeats a command until it says `word`, and shows the last time.
    pub(super) fn until(&self, node: u8, command: &str, word: &str) -> Result<()> {
        // sanlock counts a node as dead 68 s after its last renewal with the lab's I/O timeout.
        let patience = Duration::from_secs(180);
        let mut last = None;
        self.volward.wait(
            node,
            &format!("{word:?} from `{command}`"),
            patience,
            || {
                let output = self.node(node).run(command)?;
                let seen = output.ok() && output.stdout.contains(word);
                last = Some(output);
                Ok(seen)
            },
        )?;
        if let Some(output) = last {
            show(node, command, &output);
        }
        Ok(())
    }

    /// Lets a guest do I/O on its first disk; `command` is one of `qemu-io`.
    pub(super) fn guest_does(&self, guest: &Guest, node: u8, command: &str) -> Result<()> {
        println!("   {}> {command}", guest.name);
        let said = guest.io(self.node(node), 0, command)?;
        lines(&said);
        if said.contains("failed") {
            bail!("guest {} could not `{command}`", guest.name);
        }
        Ok(())
    }
}

fn show(node: u8, command: &str, output: &Output) {
    println!("   node{node}# {command}");
    lines(&output.stdout);
    lines(&output.stderr);
    println!();
}

fn lines(text: &str) {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        println!("      {}", line.trim_end());
    }
}
