//! Whoever writes to devices on a node all the time, and what is found there afterwards.

/// Writes the number of its round to the head of each MiB of its devices, the same MiB of each before the next one, one write after
/// the other, round after round, and says meanwhile which round it is and what the longest write took, in ms.
pub const WRITER: &str = "\
import mmap, os, signal, sys, time
block = mmap.mmap(-1, 4096)
devices = [os.open(path, os.O_RDWR | os.O_DIRECT) for path in sys.argv[3:]]
ended = False
def end(*_):
    global ended
    ended = True
signal.signal(signal.SIGTERM, end)
number, longest = 0, 0
while not ended:
    number += 1
    for mib in range(int(sys.argv[1])):
        block[:8] = number.to_bytes(8, 'little')
        for device in devices:
            begun = time.monotonic()
            os.pwrite(device, block, mib << 20)
            longest = max(longest, time.monotonic() - begun)
        if ended:
            break
    with open(sys.argv[2] + '.new', 'w') as out:
        print(number, int(longest * 1000), file=out)
    os.rename(sys.argv[2] + '.new', sys.argv[2])
";

/// Prints the numbers at the heads, and the digest of all the rest.
pub const READER: &str = "\
import hashlib, mmap, os, sys
block = mmap.mmap(-1, 1 << 20)
device = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
numbers, rest = [], hashlib.sha256()
for mib in range(int(sys.argv[2])):
    os.preadv(device, [block], mib << 20)
    numbers.append(int.from_bytes(block[:8], 'little'))
    rest.update(block[4096:])
print(rest.hexdigest(), *numbers)
";
