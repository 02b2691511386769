//! A guest that writes by itself, all the time: its disk's first sector is a program that the BIOS starts.
//! It writes a growing number into one sector after the other of a ring, through the BIOS, so that each write is
//! done before the next one begins. What it has written says whether one was lost, wherever the guest ran. A disk
//! that it is asked to let go of it ejects, as the ACPI code of an operating system does.

use std::time::Duration;

use crate::volward::{POOL, Volward};
use crate::{LabError, Node, Result};

/// Sectors of the ring. Before so many writes some have nothing yet, and count as lost.
pub const RING: u64 = 1024;
/// Where it begins, in sectors.
const FIRST: u64 = 8;

/// In 16 bits, at 0x7c00. Where a write fails it stops. The ports are those of QEMU's PCI hot-plug for its machine `pc`:
/// 0xae10 selects the bus, 0xae04 has a bit for each slot whose device is to go, 0xae08 ejects one.
#[rustfmt::skip]
const PROGRAM: &[u8] = &[
    0xfa,                                           // cli
    0x31, 0xc0,                                     // xor ax, ax
    0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0,             // mov ds, es, ss, ax
    0xbc, 0x00, 0x7c,                               // mov sp, 0x7c00
    0xfb,                                           // sti
    0x88, 0x16, 0x5b, 0x7c,                         // mov [drive], dl
    0x66, 0xc7, 0x06, 0x00, 0x7e, 0, 0, 0, 0,       // mov dword [0x7e00], 0
    // next:
    0x66, 0xff, 0x06, 0x00, 0x7e,                   // inc dword [0x7e00]
    0x66, 0xa1, 0x00, 0x7e,                         // mov eax, [0x7e00]
    0x66, 0x25, 0xff, 0x03, 0x00, 0x00,             // and eax, RING - 1
    0x66, 0x83, 0xc0, 0x08,                         // add eax, FIRST
    0x66, 0xa3, 0x64, 0x7c,                         // mov [packet.lba], eax
    0xb4, 0x43, 0xb0, 0x00,                         // mov ax, 0x4300: write
    0x8a, 0x16, 0x5b, 0x7c,                         // mov dl, [drive]
    0xbe, 0x5c, 0x7c,                               // mov si, packet
    0xcd, 0x13,                                     // int 0x13
    0x72, 0x19,                                     // jc stop
    0xba, 0x10, 0xae,                               // mov dx, 0xae10
    0x66, 0x31, 0xc0,                               // xor eax, eax
    0x66, 0xef,                                     // out dx, eax
    0xba, 0x04, 0xae,                               // mov dx, 0xae04
    0x66, 0xed,                                     // in eax, dx
    0x66, 0x85, 0xc0,                               // test eax, eax
    0x74, 0xc8,                                     // jz next
    0xba, 0x08, 0xae,                               // mov dx, 0xae08
    0x66, 0xef,                                     // out dx, eax
    0xeb, 0xc1,                                     // jmp next
    // stop:
    0xeb, 0xfe,                                     // jmp $
    0x00,                                           // drive
    0x10, 0x00, 0x01, 0x00, 0x00, 0x7e, 0x00, 0x00, // packet: one sector from 0000:7e00
    0, 0, 0, 0, 0, 0, 0, 0,                         //         lba
];

/// Reads the ring and prints the last number, and how many sectors do not have what the guest wrote into them last.
const CHECK: &str = "\
import mmap, os, struct, sys
ring, first = int(sys.argv[2]), int(sys.argv[3])
buffer = mmap.mmap(-1, ring * 512)
device = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
os.preadv(device, [buffer], first * 512)
found = [struct.unpack_from('<I', buffer, n * 512)[0] for n in range(ring)]
last = max(n for at, n in enumerate(found) if n % ring == at)
# The last number of each place: of the ring's last turn, or of the one before it.
lost = [at for at, n in enumerate(found) if n != last - (last - at) % ring]
print(last, len(lost))
";

/// What the ring says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticks {
    /// The last number that was written: so many writes were done.
    pub last: u64,
    /// Sectors that do not have their last number. While the guest writes, one of them may be on its way.
    pub lost: u64,
}

/// Makes a volume of the shared pool that a guest boots from.
///
/// # Errors
/// When LVM refuses.
pub fn volume(volward: &Volward<'_>, name: &str) -> Result<()> {
    volward.volume(name, 32)?;
    install(volward, name)
}

/// Makes a volume that is there one that a guest boots from.
///
/// # Errors
/// When somebody has it.
pub fn install(volward: &Volward<'_>, name: &str) -> Result<()> {
    let mut sector = PROGRAM.to_vec();
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    let node = volward.node(1);
    node.put_file("/run/lab/ticker", 0o644, sector)?;
    let device = format!("/dev/{POOL}/{name}");
    let script = format!(
        "lvchange -aey {POOL}/{name} && \
         dd if=/dev/zero of={device} bs=512 seek={FIRST} count={RING} oflag=direct status=none && \
         dd if=/run/lab/ticker of={device} bs=512 oflag=direct status=none && \
         lvchange -an {POOL}/{name}"
    );
    node.run_ok_within(Duration::from_secs(60), &script)
        .map(drop)
}

/// Empties the ring, for a guest that begins to count again.
///
/// # Errors
/// When the device cannot be written to.
pub fn empty(node: &Node, device: &str) -> Result<()> {
    node.run_ok(&format!(
        "dd if=/dev/zero of={device} bs=512 seek={FIRST} count={RING} oflag=direct status=none"
    ))
    .map(drop)
}

/// What has been written to a device, read on a node that has it.
///
/// # Errors
/// When the device cannot be read, or nothing has been written.
pub fn ticks(node: &Node, device: &str) -> Result<Ticks> {
    node.put_file("/run/lab/ticks.py", 0o644, CHECK)?;
    let said = node.run_ok(&format!(
        "python3 /run/lab/ticks.py {device} {RING} {FIRST}"
    ))?;
    let mut numbers = said.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(last)), Some(Ok(lost))) => Ok(Ticks { last, lost }),
        _ => Err(LabError::Machine(format!("no ticks: {said:?}"))),
    }
}

/// The number where a guest writes its first one. One that has gone round since has a larger one there, until it begins
/// anew.
///
/// # Errors
/// When the device cannot be read.
pub fn first(node: &Node, device: &str) -> Result<u64> {
    let sector = FIRST + 1;
    let script = format!(
        "dd if={device} iflag=direct bs=512 skip={sector} count=1 2> /dev/null | od -An -tu4 -N4"
    );
    let said = node.run_ok(&script)?;
    let number = said.trim().parse();
    number.map_err(|error| LabError::Machine(format!("no number ({error}): {said:?}")))
}
