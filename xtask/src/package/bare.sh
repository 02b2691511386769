# Run by xtask (package/bare.rs) as root in a bare Debian 12 into which apt has just put the packages. Each step that holds
# says so in a line `ok: ...`; the first one that does not ends it.

ok() { echo "ok: $*"; }
fail() { echo "failed: $*" >&2; exit 1; }

# The machine's own packages are not touched, however this is run: only the bare system has this file at its root.
[ -f /root/debs/bare.sh ] || fail "this is not the bare system"

apt-get install -q -y --no-install-recommends /root/debs/*.deb > /tmp/said 2>&1 || fail "apt: $(cat /tmp/said)"
for package in volward volward-policies python3-volward; do
    [ "$(dpkg-query --show --showformat='${db:Status-Status} ${Version}' $package)" = "installed $DEBIAN" ] ||
        fail "$package is not installed in version $DEBIAN"
done
ok "installed by apt, with what they depend on"

for program in volward volwardd volward-policy; do
    [ "$($program --version)" = "$program $VERSION" ] || fail "$program --version"
done
ok "programs run with the libraries that are there"

for page in volward.1 volward-policy.1 volwardd.8 volward.toml.5; do
    man -w "${page##*.}" "${page%.*}" >/dev/null || fail "no man page $page"
    MANWIDTH=100 man "${page##*.}" "${page%.*}" > /tmp/page 2> /tmp/complaints || fail "man $page"
    grep -q . /tmp/page || fail "$page is empty"
    if grep -q . /tmp/complaints; then fail "$page: $(cat /tmp/complaints)"; fi
done
man 5 volward.toml | grep -q unfence-pause || fail "volward.toml(5) lacks a key"
ok "man pages"

bash -ec '. /usr/share/bash-completion/completions/volward; complete -p volward' >/dev/null || fail "bash completions"
test -s /usr/share/zsh/vendor-completions/_volward || fail "zsh completions"
test -s /usr/share/fish/vendor_completions.d/volward.fish || fail "fish completions"
ok "completions"

[ "$(readlink -f /etc/libvirt/hooks/qemu.d/volward)" = /usr/sbin/volward-hook ] || fail "the hook's link"
[ "$(stat -c %U:%a /etc/volward/policies.d)" = root:755 ] || fail "the policies folder"
if volwardd --check > /tmp/said 2>&1; then fail "a node that is not set up counts as configured"; fi
grep -q 'no shared pool is configured' /tmp/said || fail "$(cat /tmp/said)"
ok "nothing is configured"

for unit in volwardd volward-registry volward-release; do
    [ -e /lib/systemd/system/$unit.service ] || fail "no $unit.service"
    if [ -e /etc/systemd/system/multi-user.target.wants/$unit.service ]; then fail "$unit is enabled"; fi
done
ok "nothing is enabled"

setup() { volward setup --name node1 --host-id 3 --pool vg0 --local-pool local "$@"; }
cp -a /etc /tmp/etc-before
setup --dry-run > /tmp/said || fail "volward setup --dry-run"
grep -q '^+our_host_name = node1' /tmp/said || fail "it does not show the change: $(cat /tmp/said)"
diff -r --no-dereference /etc /tmp/etc-before || fail "a dry run changes files"
setup > /tmp/said || fail "volward setup"
[ "$(lvmconfig global/use_lvmlockd 2>/dev/null) $(lvmconfig local/host_id 2>/dev/null)" = 'use_lvmlockd=1 host_id=3' ] ||
    fail "LVM does not read what was written"
diff /etc/lvm/lvm.conf /tmp/etc-before/lvm/lvm.conf || fail "lvm.conf is changed"
(. /etc/default/sanlock; [ -z "$sanlock_opts" ]) || fail "sanlock is started without a watchdog"
grep -qx After=wdmd.service /etc/systemd/system/sanlock.service.d/volward.conf || fail "sanlock and wdmd end at once"
sh /lib/systemd/systemd-wdmd watchdog-check || fail "what wdmd.service runs first fails"
diff /etc/default/sanlock.before-volward /tmp/etc-before/default/sanlock || fail "no text from before"
volwardd --check | grep -q 'is fine' || fail "the configuration: $(volwardd --check 2>&1)"
cp -a /etc /tmp/etc-after
setup > /tmp/said || fail "volward setup, again"
grep -q '^nothing to change' /tmp/said || fail "there is something to change the second time: $(cat /tmp/said)"
diff -r --no-dereference /etc /tmp/etc-after || fail "setup again changes files"
if volward setup --host-id 4 2> /tmp/said; then fail "two host-ids are taken"; fi
grep -q 'two host-ids, 4 (--host-id) and 3 ' /tmp/said || fail "$(cat /tmp/said)"
ok "volward setup: shown, written, the same the second time"

for policy in /usr/share/volward/policies/*.wasm; do
    volward-policy inspect "$policy" >/dev/null || fail "$policy"
    test -s "${policy%.wasm}.scenarios.jsonl" || fail "scenarios of $policy"
done
volward-policy check /usr/share/volward/policies/hydrate-local.wasm >/dev/null || fail "a shipped policy is refused"
ok "shipped policies"

python3 -c 'import volward_openstack.client' || fail "python3-volward"
ok "the Python package"

# An attachment's device is the kernel's; of a system without one, the records of instances say the same.
mkdir -p /run/volward/instances
touch /run/volward/instances/11111111-2222-3333-4444-555555555555
if dpkg --remove volward > /tmp/said 2>&1; then fail "removed beneath an instance"; fi
grep -q 11111111-2222-3333-4444-555555555555 /tmp/said || fail "it does not say what is attached: $(cat /tmp/said)"
[ "$(dpkg-query --show --showformat='${db:Status-Status}' volward)" = installed ] || fail "half removed"
rm -r /run/volward
ok "removal refuses while an instance runs"

echo '# kept' >> /etc/volward/volward.toml
touch /var/lib/volward-was-here
mkdir -p /var/lib/volward && touch /var/lib/volward/state.db
dpkg --remove volward volward-policies python3-volward >/dev/null
grep -q '# kept' /etc/volward/volward.toml || fail "removal takes the configuration"
test -e /var/lib/volward/state.db || fail "removal takes the state"
for gone in /usr/bin/volward /usr/sbin/volwardd /etc/libvirt/hooks/qemu.d/volward; do
    if [ -e $gone ] || [ -L $gone ]; then fail "removal leaves $gone"; fi
done
ok "removed"

dpkg --purge volward volward-policies python3-volward >/dev/null
for gone in /etc/volward /var/lib/volward /etc/libvirt/hooks/qemu.d/volward; do
    if [ -e $gone ]; then fail "purging leaves $gone"; fi
done
test -e /etc/lvm/lvm.conf || fail "purging takes LVM's files"
ok "purged"
