//! `cargo xtask bench`: the figures of SPECIFICATION.md, as ratios of one run: Volward and the
//! least that would do the same are measured in turn, so that a machine's speed and its other
//! work meet both.

mod beside;
mod boot;
mod copied;
mod corpus;
mod crowded;
mod death;
mod figure;
mod home;
mod install;
mod migrate;
mod native;
mod nova;
mod on_node;
mod record;
mod report;
mod volumes;
mod writer;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Lab, Progress};

use crate::sets::SETS;
use crate::{build, guests, package, setup};
use figure::Figure;

/// What is measured and where the figures go.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Figures and samples' summaries as JSON
    #[arg(long)]
    json: bool,
    /// Write the figures into SPECIFICATION.md, between its markers
    #[arg(long, conflicts_with = "only")]
    record: bool,
    /// Measure what was built last
    #[arg(long)]
    no_build: bool,
    /// These only
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// So many attachments in `boot` [default: 3 and 100]
    #[arg(long)]
    attached: Vec<usize>,
}

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A policy decision, here
    Decision,
    /// The same decision by wasmtime alone, Volward and Rego, and where its time goes; here
    Beside,
    /// Decisions while hostile components run, and the memory they leave; here
    Corpus,
    /// The hook on a guest without managed disks, here
    Hook,
    /// A long decision log replayed against a changed policy, here
    Replay,
    /// An attach, on a node of the lab
    Attach,
    /// Guests that start at the same instant, on a node
    Storm,
    /// Many attachments: their fence, the daemon's restart over them, their end; on a node
    Many,
    /// An attach where the volume group has 5,000 volumes, on a node
    Crowded,
    /// The daemon's start and memory, on a node
    Start,
    /// A local copy's hydration, on a node
    Hydration,
    /// What a local copy costs its guest: the start, and writes meanwhile; on a node
    Copied,
    /// A live migration, between nodes
    Migrate,
    /// Writes while a local copy comes home beneath them, on a node
    Home,
    /// Operations on volumes, and what somebody who writes feels of them, on a node
    Volumes,
    /// What OpenStack's nova adds to an attach, on a node
    Nova,
    /// A node that dies, and the start of its volume on the other one
    Death,
    /// From a node's boot to volwardd, and to what was attached before; on a node with the package
    Boot,
    /// From a bare node to its first attach, with the package
    Install,
}

const ON_NODE: [Part; 12] = [
    Part::Attach,
    Part::Storm,
    Part::Many,
    Part::Crowded,
    Part::Start,
    Part::Hydration,
    Part::Copied,
    Part::Migrate,
    Part::Volumes,
    Part::Home,
    Part::Nova,
    Part::Death,
];

/// Measures and prints.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    setup::run()?;
    if !options.no_build {
        build_all(root)?;
    }
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let mut figures = Vec::new();
    let mut places = vec![report::this_machine()];
    if wanted(Part::Decision) {
        figures.push(native::decision(root)?);
    }
    if wanted(Part::Beside) {
        figures.extend(beside::measure(root)?);
    }
    if wanted(Part::Corpus) {
        figures.extend(corpus::measure(root)?);
    }
    if wanted(Part::Hook) {
        figures.push(native::hook(root)?);
    }
    if wanted(Part::Replay) {
        figures.push(native::replay(root)?);
    }
    if wanted(Part::Nova) {
        crate::openstack::on_nodes(root)?;
    }
    if ON_NODE.into_iter().any(wanted) {
        // Production's: a node that is measured has all to do that it can, and the quickest would call its leases uncertain.
        let spec = ClusterSpec {
            io_timeout: Some(10),
            // Room for what `volumes` makes.
            lun_gib: 16,
            ..ClusterSpec::default()
        };
        let cluster = Cluster::with_volward(&Lab::open()?, &spec, Progress::shown())?;
        figures.extend(on_nodes(&cluster, &spec, wanted)?);
        places.push(report::node(cluster.node(1))?);
    }
    if [Part::Boot, Part::Install].into_iter().any(wanted) {
        figures.extend(packaged(root, options, wanted)?);
    }
    if options.json {
        println!("{}", report::json(&figures, &places)?);
    } else {
        print!("{}", report::table(&figures, &places));
    }
    if options.record {
        record::write(&root.join("SPECIFICATION.md"), &figures, &places)?;
    }
    Ok(())
}

/// On nodes that install the package.
fn packaged(root: &Path, options: &Options, wanted: impl Fn(Part) -> bool) -> Result<Vec<Figure>> {
    let lab = Lab::open()?;
    if !options.no_build {
        package::run(root, &package::Options::default())?;
    }
    let mut figures = Figures::default();
    if wanted(Part::Install) {
        figures.extend(install::measure(&lab)?);
    }
    if wanted(Part::Boot) {
        figures.extend(boot::measure(&lab, &options.attached)?);
    }
    Ok(figures.0)
}

fn on_nodes(
    cluster: &Cluster,
    spec: &ClusterSpec,
    wanted: impl Fn(Part) -> bool,
) -> Result<Vec<Figure>> {
    let mut figures = Figures::default();
    let volward = Volward::on(cluster);
    on_node::use_release(&volward)?;
    if wanted(Part::Attach) {
        figures.push(on_node::attach(&volward)?);
    }
    if wanted(Part::Storm) {
        for storm in on_node::STORMS {
            figures.extend(on_node::storm(&volward, storm)?);
        }
    }
    if wanted(Part::Many) {
        figures.extend(on_node::many(&volward)?);
    }
    if wanted(Part::Crowded) {
        figures.extend(crowded::measure(&volward)?);
    }
    if wanted(Part::Start) {
        figures.extend(on_node::start(&volward)?);
    }
    if wanted(Part::Hydration) {
        figures.extend(on_node::hydration(&volward)?);
    }
    if wanted(Part::Copied) {
        figures.extend(copied::measure(&volward)?);
    }
    if wanted(Part::Home) {
        figures.extend(home::measure(&volward)?);
    }
    if wanted(Part::Volumes) {
        figures.extend(volumes::measure(&volward)?);
    }
    if wanted(Part::Migrate) {
        figures.extend(migrate::measure(&volward)?);
    }
    if wanted(Part::Nova) {
        figures.extend(nova::measure(&volward)?);
    }
    // Last: the other node boots anew.
    if wanted(Part::Death) {
        figures.extend(death::measure(cluster, spec, &volward)?);
    }
    Ok(figures.0)
}

/// Figures, each told when it is there: what fails later takes none of them away.
#[derive(Default)]
struct Figures(Vec<Figure>);

impl Figures {
    fn push(&mut self, figure: Figure) {
        self.extend([figure]);
    }

    fn extend(&mut self, figures: impl IntoIterator<Item = Figure>) {
        let figures: Vec<Figure> = figures.into_iter().collect();
        eprint!("{}", report::table(&figures, &[]));
        self.0.extend(figures);
    }
}

fn build_all(root: &Path) -> Result<()> {
    guests::build(root)?;
    // Volward is installed on nodes from debug builds, as the tests do it, and then exchanged.
    build::all(root)?;
    release(root, SETS[0])?;
    release(root, &["volward-workbench", "volward-bench"])
}

/// As it is shipped: each set of packages by a cargo of its own.
fn release(root: &Path, packages: &[&str]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["build", "--release"]);
    for package in packages {
        command.args(["--package", package]);
    }
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("building {} failed, see above", packages.join(", "));
    }
    Ok(())
}
