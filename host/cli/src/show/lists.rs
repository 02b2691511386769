//! Everything that is a table.

use volward_api::model::{Bytes, CopyState, MemberState, PoolName};
use volward_api::{
    AttachReply, Attached, AttachmentView, BringHomeReply, CopyGrant, DetachReply, FenceReply,
    HydrationView, PoolMember, PoolView, VolumeStatusView, VolumeView,
};

use crate::show::facts::copy;
use crate::table::table;
use crate::time::{span, utc};

/// Pools, their nodes and their volumes.
pub(crate) fn pools(pools: &[PoolView]) -> String {
    if pools.is_empty() {
        return "no pools: name a volume group in /etc/volward/volward.toml, then `volward pool \
                init` it"
            .to_owned();
    }
    let rows = pools.iter().map(|pool| {
        [
            pool.name.clone(),
            pool.kind.to_string(),
            or_none(&pool.lock_type.to_string()),
            Bytes(pool.size).to_string(),
            Bytes(pool.free).to_string(),
            nodes(&pool.members),
        ]
    });
    let header = ["POOL", "KIND", "LOCK TYPE", "SIZE", "FREE", "NODES"];
    let mut parts = vec![table(header, &["SIZE", "FREE"], rows)];
    for pool in pools {
        if let Some(trouble) = &pool.trouble {
            parts.push(format!("{}: {trouble}", pool.name));
        }
        if pool.incomplete {
            parts.push(format!(
                "{0}: LVM misses a disk of it on this node: `volward pool show {0}` shows which, `volward doctor` what \
                 brings it back",
                pool.name
            ));
        }
        for member in &pool.members {
            if let Some(trouble) = &member.slot_trouble {
                let who = member_name(member);
                parts.push(format!("{}: the slot of {who}: {trouble}", pool.name));
            }
        }
    }
    if pools.iter().any(|pool| !pool.volumes.is_empty()) {
        parts.push(String::new());
        parts.push(volumes(pools));
    }
    parts.join("\n")
}

fn volumes(pools: &[PoolView]) -> String {
    let rows = pools.iter().flat_map(|pool| {
        pool.volumes.iter().map(|volume| {
            [
                format!("{}/{}", pool.name, volume.name),
                Bytes(volume.size).to_string(),
                yes(volume.shareable),
                volume.home.clone(),
                volume
                    .status
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), status),
            ]
        })
    });
    let header = ["VOLUME", "SIZE", "SHAREABLE", "HOME", "STATUS"];
    table(header, &["SIZE"], rows)
}

/// `in-use (2 attached, 1 attaching)`.
pub(super) fn status(of: &VolumeStatusView) -> String {
    let counts = [
        (of.fault, "fault"),
        (of.attached, "attached"),
        (of.attaching, "attaching"),
        (of.detaching, "detaching"),
    ];
    let there = counts.iter().filter(|(count, _)| *count > 0);
    let there: Vec<String> = there
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    match there.is_empty() {
        true => of.word.to_string(),
        false => format!("{} ({})", of.word, there.join(", ")),
    }
}

/// `n1 (this node), n2, 3 dead`.
fn nodes(members: &[PoolMember]) -> String {
    let shown = members.iter().map(|member| {
        let mut about = Vec::new();
        if member.own {
            about.push("this node".to_owned());
        }
        if member.state != MemberState::Live {
            about.push(member.state.to_string());
        }
        if let Some(ms) = member.silent_ms {
            about.push(format!("silent for {} s", ms / 1_000));
        }
        match about.is_empty() {
            true => member_name(member),
            false => format!("{} ({})", member_name(member), about.join(", ")),
        }
    });
    or_none(&shown.collect::<Vec<_>>().join(", "))
}

fn member_name(member: &PoolMember) -> String {
    let number = || format!("host-id {}", member.host_id);
    member.node.clone().unwrap_or_else(number)
}

/// After `volume set`: the mark as it is now, in one line.
pub(crate) fn volume_set(pool: &PoolName, volume: &VolumeView) -> String {
    let not = if volume.shareable { "" } else { "not " };
    format!("{pool}/{} is {not}shareable", volume.name)
}

/// `volward ls`; `place`: where it was looked.
pub(crate) fn attachments(found: &[AttachmentView], place: &str) -> String {
    if found.is_empty() {
        return format!("nothing is attached {place}");
    }
    let rows = found.iter().map(|a| {
        [
            a.node.clone(),
            format!("{}/{}", a.pool, a.volume),
            a.instance_name.clone().unwrap_or_else(|| "-".to_owned()),
            a.instance.clone(),
            a.sharing.to_string(),
            match &a.asked {
                None => a.access.to_string(),
                Some(asked) => format!("{}, of {asked}", a.access),
            },
            asked_by(a),
            if a.fenced.is_some() {
                "fenced".to_owned()
            } else {
                a.state.to_string()
            },
            utc(a.since_ms),
        ]
    });
    let header = [
        "NODE", "VOLUME", "NAME", "INSTANCE", "SHARING", "ACCESS", "BY", "STATE", "SINCE",
    ];
    let mut parts = vec![table(header, &[], rows)];
    for a in found.iter().filter(|a| !a.causes.is_empty()) {
        parts.push(format!("{}/{} on {}:", a.pool, a.volume, a.node));
        parts.extend(a.causes.iter().map(|cause| format!("  {cause}")));
    }
    for a in found.iter().filter(|a| !a.notes.is_empty()) {
        parts.push(format!("{}/{} of {}:", a.pool, a.volume, a.instance));
        parts.extend(a.notes.iter().map(|note| format!("  {note}")));
    }
    parts.extend(found.iter().filter_map(fenced_line));
    parts.join("\n")
}

/// Who has asked for it, as far as this node knows.
fn asked_by(of: &AttachmentView) -> String {
    if of.claims.is_empty() {
        return "-".to_owned();
    }
    let claims: Vec<String> = of.claims.iter().map(ToString::to_string).collect();
    claims.join(", ")
}

fn fenced_line(of: &AttachmentView) -> Option<String> {
    let fenced = of.fenced.as_ref()?;
    let how = if fenced.cut {
        "is cut off"
    } else {
        "is to be cut off, and I/O in flight has not ended"
    };
    let (pool, volume, node) = (&of.pool, &of.volume, &of.node);
    let reason = &fenced.reason;
    let back = fenced.back_after_s.map_or(String::new(), |after| {
        format!("; it is given back by itself when the leases have been sound for {after} s")
    });
    let since = utc(fenced.since_ms);
    Some(format!(
        "the I/O of {pool}/{volume} on {node} {how}; found at {since}: {reason}{back}"
    ))
}

/// After `fence`: a line an attachment.
pub(crate) fn fenced(reply: &FenceReply) -> String {
    if reply.attachments.is_empty() {
        return "nothing was attached".to_owned();
    }
    let lines: Vec<String> = reply.attachments.iter().filter_map(fenced_line).collect();
    lines.join("\n")
}

/// After `unfence`: a line an attachment.
pub(crate) fn unfenced(reply: &FenceReply) -> String {
    if reply.attachments.is_empty() {
        return "nothing was cut off".to_owned();
    }
    let lines = reply.attachments.iter();
    let lines = lines.map(|a| format!("{}/{} has its I/O back", a.pool, a.volume));
    lines.collect::<Vec<_>>().join("\n")
}

/// What `ls --all` could not read.
pub(crate) fn unreadable(sentences: &[String]) -> String {
    let mut lines = vec!["volward: there may be more, for not everything can be read:".to_owned()];
    lines.extend(sentences.iter().map(|sentence| format!("  {sentence}")));
    lines.join("\n")
}

/// After `attach`: a line a disk, the device first, for scripts.
pub(crate) fn attached(reply: &AttachReply, dry_run: bool) -> String {
    let mut lines: Vec<String> = reply.attached.iter().map(attached_line).collect();
    lines.extend(reply.notes.iter().map(|note| format!("note: {note}")));
    if dry_run {
        lines.push(plan(&reply.plan));
    }
    lines.join("\n")
}

fn attached_line(disk: &Attached) -> String {
    let copied = disk.copy.as_ref().map(|copy| format!(", {}", copied(copy)));
    format!(
        "{}  {}/{}, {}, {}{}{}",
        disk.device,
        disk.pool,
        disk.volume,
        disk.sharing,
        disk.access,
        copied.unwrap_or_default(),
        if disk.already { ", as before" } else { "" },
    )
}

/// In the words of a later daemon where this program has none of its own.
fn copied(grant: &CopyGrant) -> String {
    grant.plan().map_or_else(
        || format!("copy {}, then {}", grant.mode, grant.fate),
        |plan| copy(&plan),
    )
}

/// What a dry run says would be done.
pub(crate) fn plan(steps: &[String]) -> String {
    if steps.is_empty() {
        return "nothing would be done".to_owned();
    }
    let numbered = steps.iter().enumerate();
    let lines = numbered.map(|(n, step)| format!("{:>3}. {step}", n + 1));
    format!("would be done:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// After `detach`: a line a disk, or the plan.
pub(crate) fn detached(reply: &DetachReply, dry_run: bool) -> String {
    let notes = reply.notes.iter().map(|note| format!("note: {note}"));
    if dry_run {
        return [plan(&reply.plan)]
            .into_iter()
            .chain(notes)
            .collect::<Vec<_>>()
            .join("\n");
    }
    if reply.detached.is_empty() && reply.trying_again.is_empty() {
        let nothing = "nothing was attached on this node".to_owned();
        return [nothing]
            .into_iter()
            .chain(notes)
            .collect::<Vec<_>>()
            .join("\n");
    }
    let unfinished = reply.trying_again.iter().map(|disk| {
        format!(
            "{}/{} detaching: it is tried again until it is done ({})",
            disk.pool, disk.volume, disk.cause
        )
    });
    let lines = reply.detached.iter().map(|disk| {
        let rest = if disk.writing_back {
            ", its copy is being written back: see `volward hydration watch`"
        } else {
            ""
        };
        format!("{}/{} detached{rest}", disk.pool, disk.volume)
    });
    let lines = lines.chain(unfinished).chain(notes);
    lines.collect::<Vec<_>>().join("\n")
}

/// `hydration ls`: a table, a line a copy.
pub(crate) fn hydrations(found: &[HydrationView]) -> String {
    if found.is_empty() {
        return "no copy is under way on this node; `volward pool ls` says under HOME where each volume's data is"
            .to_owned();
    }
    let rows = found.iter().map(|h| {
        [
            format!("{}/{}", h.pool, h.volume),
            h.state.to_string(),
            percent(h.done, h.total),
            bytes(h, h.done),
            bytes(h, h.total),
            hydration_remark(h),
        ]
    });
    let header = ["VOLUME", "STATE", "DONE", "BYTES", "OF", "REMARK"];
    table(header, &["DONE", "BYTES", "OF"], rows)
}

/// What a copy does that was asked home.
pub(crate) fn coming_home(volume: &str, reply: &BringHomeReply) -> String {
    if !reply.plan.is_empty() {
        return plan(&reply.plan);
    }
    match reply.begun {
        true => format!(
            "the copy of {volume} is being brought home under its guest: see `volward hydration watch`"
        ),
        false => format!(
            "the data of {volume} is at home, or on its way: `volward hydration ls` says which"
        ),
    }
}

/// A write-back has no numbers before its device is there.
fn bytes(h: &HydrationView, bytes: u64) -> String {
    match h.total {
        0 => "-".to_owned(),
        _ => Bytes(bytes).to_string(),
    }
}

/// What there is to say besides the numbers.
pub(crate) fn hydration_remark(h: &HydrationView) -> String {
    if let Some(trouble) = &h.trouble {
        return trouble.clone();
    }
    if h.stalled_ms > 0 {
        return format!("no progress for {}", span(h.stalled_ms));
    }
    if h.total == 0 {
        return "not begun yet".to_owned();
    }
    // It ends when the guest stops, whatever was copied until then.
    if h.state == CopyState::WritesOnly {
        return "only what the guest writes".to_owned();
    }
    h.remaining_ms
        .map(|ms| format!("about {} left", span(ms)))
        .unwrap_or_default()
}

/// Rounded down: 100 % is only what is complete.
pub(super) fn percent(done: u64, total: u64) -> String {
    let hundredths = u128::from(done) * 100;
    let percent = hundredths.checked_div(u128::from(total));
    percent.map_or_else(|| "-".to_owned(), |p| format!("{p} %"))
}

pub(super) fn or_none(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

pub(super) fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}
