//! An attach in a volume group of 5,000 volumes, against the same in one of ten, and against the same by hand.

use anyhow::Result;
use volward_system::volward::Volward;

use super::figure::{Figure, Pairs, Unit};
use super::on_node::{DEADLINE, NODE, bench};

/// Volumes of the group in turn.
const VOLUMES: [u32; 2] = [10, 5000];
/// The ratio an attach may have to the same by hand, at each of them.
const GOALS: [f64; 2] = [0.15, 0.08];
/// The ratio that an attach at 5,000 may have to one at ten.
const GROWTH: f64 = 1.2;

/// A second shared pool on the node's own disk, with room for so long a description of it.
const POOL: &str = "
lvcreate -qq -n crowd -L 6G local && losetup /dev/loop3 /dev/local/crowd
pvcreate -qq --metadatasize 64m /dev/loop3
vgcreate -qq --shared -s 1m crowd /dev/loop3
until sanlock client status | grep -q '^s lvm_crowd:'; do sleep 0.2; done
for n in $(seq 1 10); do lvcreate -qq -an -Wn -Zn -l 1 -n lv$n crowd; done
printf '\\n[[pool]]\\nname = \"crowd\"\\n' >> /etc/volward/volward.toml";

/// Writes the description of the group anew, with copies of lv1's up to so many. Nobody leases these.
const FILL: &str = r#"
cat > /run/lab/fill.py <<'END'
import re, sys
wanted = int(sys.argv[1])
text = open('/run/lab/crowd.vg').read()
one = re.search(r'(\t\tlv1 \{.*?\n\t\t\}\n)', text, re.S).group(1)
more = []
for number in range(11, wanted + 1):
    digits = 'A%031d' % number
    cut = [digits[a:b] for a, b in ((0, 6), (6, 10), (10, 14), (14, 18), (18, 22), (22, 26), (26, 32))]
    lv = one.replace('\t\tlv1 {', '\t\tlv%d {' % number)
    lv = re.sub(r'(\t\t\tid = ")[^"]+', lambda found: found.group(1) + '-'.join(cut), lv, count=1)
    lv = re.sub(r'"pv0", \d+', '"pv0", %d' % (1000 + number - 11), lv)
    lv = re.sub(r'\t\t\tlock_args = .*\n', '', lv)
    more.append(lv)
open('/run/lab/crowd.vg', 'w').write(text.replace(one, one + '\n'.join(more)))
END
vgcfgbackup -qq -f /run/lab/crowd.vg crowd
python3 /run/lab/fill.py WANTED
vgcfgrestore -qq -y -f /run/lab/crowd.vg crowd
lvs --noheadings crowd | wc -l"#;

pub(crate) fn measure(volward: &Volward<'_>) -> Result<Vec<Figure>> {
    let node = volward.node(NODE);
    node.run_ok_within(DEADLINE, POOL)?;
    volward.stop(NODE)?;
    volward.start(NODE, &["VOLWARD_LOG=info".to_owned()])?;
    volward.cli_ok(NODE, "pool init crowd")?;
    let mut measured = Vec::new();
    let mut figures = Vec::new();
    for (volumes, goal) in VOLUMES.into_iter().zip(GOALS) {
        let there = node.run_ok_within(DEADLINE, &FILL.replace("WANTED", &volumes.to_string()))?;
        eprintln!("  the volume group has {} volumes", there.trim());
        let pairs: Pairs = bench(volward, "attach crowd/lv2")?;
        figures.push(Figure::pairs(
            format!("attach in a volume group of {volumes}"),
            "lvchange -aey, lvs, dmsetup create by hand",
            Unit::Milliseconds,
            &pairs,
            Some(goal),
        ));
        measured.push(pairs.ours);
    }
    if let [few, many] = &measured[..] {
        let pairs = Pairs {
            ours: many.clone(),
            base: few.clone(),
        };
        figures.push(Figure::pairs(
            "attach in a volume group of 5,000",
            "in one of ten, measured before it",
            Unit::Milliseconds,
            &pairs,
            Some(GROWTH),
        ));
    }
    Ok(figures)
}
