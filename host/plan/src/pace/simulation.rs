//! The pace on made-up LUNs: how soon a copy is at their speed, and how long a renewal of sanlock's would wait behind it.
//!
//! A LUN serves one piece after the other at its speed; each comes back a latency later. dm-clone begins pieces until as
//! much is on its way as was set, and goes on when one comes back.

use std::collections::VecDeque;

use volward_model::{CopyFate, CopyMode};

use super::*;

/// 64 KiB.
const REGION: Sectors = Sectors(128);
/// A step of the simulation.
const TICK: Duration = Duration::from_micros(100);

struct Lun {
    /// Bytes a second.
    speed: u64,
    latency: Duration,
    /// When all that was sent will have been served.
    idle_at: Duration,
    /// When each piece comes back, and its regions.
    on_way: VecDeque<(Duration, u32)>,
    regions: u64,
    /// The longest that anything sent behind the copy would have waited.
    longest_queue: Duration,
}

impl Lun {
    fn new(mib: u64, latency_us: u64) -> Self {
        Self {
            speed: mib << 20,
            latency: Duration::from_micros(latency_us),
            idle_at: Duration::ZERO,
            on_way: VecDeque::new(),
            regions: 0,
            longest_queue: Duration::ZERO,
        }
    }

    /// A step until `now`, with these amounts.
    fn pass(&mut self, now: Duration, amounts: Amounts) {
        while let Some((_, regions)) = self.on_way.pop_front_if(|(back, _)| *back <= now) {
            self.regions += u64::from(regions);
        }
        let on_way: u32 = self.on_way.iter().map(|(_, regions)| regions).sum();
        let mut room = amounts.threshold.saturating_sub(on_way);
        while room > 0 {
            let piece = amounts.batch.min(room);
            room -= piece;
            let bytes = u64::from(piece) * REGION.bytes().0;
            let takes = Duration::from_nanos(bytes * 1_000_000_000 / self.speed);
            self.idle_at = self.idle_at.max(now) + takes;
            self.on_way.push_back((self.idle_at + self.latency, piece));
        }
        let queue = self.idle_at.saturating_sub(now);
        self.longest_queue = self.longest_queue.max(queue);
    }
}

/// Bytes copied by the end of each tenth of a second, beside a quiet guest.
fn copy(lun: &mut Lun, mut pace: Option<Pace>, seconds: u64) -> (Vec<u64>, Option<Pace>) {
    let full = new_pace(None).ceiling;
    let (mut now, mut look) = (Duration::ZERO, Duration::ZERO);
    let mut tenths = Vec::new();
    while now < Duration::from_secs(seconds) {
        let mut amounts = full;
        if let Some(pace) = &mut pace {
            if now >= look {
                let reached = Reached {
                    regions: lun.regions,
                    at: now,
                };
                pace.hear(IoCounters::default(), reached);
                look = now + pace.next_look();
            }
            amounts = pace.amounts();
        }
        lun.pass(now, amounts);
        now += TICK;
        if now.as_micros() % 100_000 == 0 {
            tenths.push(lun.regions * REGION.bytes().0);
        }
    }
    (tenths, pace)
}

fn new_pace(speed: Option<Bytes>) -> Pace {
    let grant = CopyPlan {
        mode: CopyMode::Background,
        in_flight: None,
        batch: None,
        fate: CopyFate::WriteBack,
    };
    Pace::new(REGION, &grant, speed)
}

/// What a second copies once all that is granted is on its way.
fn at_best(mib: u64, latency_us: u64) -> u64 {
    let (tenths, _) = copy(&mut Lun::new(mib, latency_us), None, 4);
    tenths[39] - tenths[29]
}

/// Milliseconds after which every whole second copies nine tenths of what a second can.
fn until_nine_tenths(tenths: &[u64], best: u64) -> u64 {
    let at = |n: usize| n.checked_sub(1).map_or(0, |n| tenths[n]);
    let slow = |begin: &usize| at(begin + 10) - at(*begin) < best * 9 / 10;
    let last = (0..=tenths.len() - 10).rev().find(slow);
    last.map_or(0, |last| (last as u64 + 1) * 100)
}

const LATENCIES_US: [u64; 3] = [200, 1000, 10_000];
const SPEEDS_MIB: [u64; 10] = [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];

#[test]
fn i2_a_copy_is_soon_at_the_luns_speed_and_no_renewal_waits_long_behind_it() {
    for mib in SPEEDS_MIB {
        for latency in LATENCIES_US {
            let best = at_best(mib, latency);
            let mut lun = Lun::new(mib, latency);
            let (tenths, pace) = copy(&mut lun, Some(new_pace(None)), 6);
            let soon = until_nine_tenths(&tenths, best);
            let queue = lun.longest_queue;
            println!("{mib} MiB/s, {latency} us: {soon} ms, {queue:?}");
            assert!(soon <= 200, "{mib} MiB/s, {latency} us: {soon} ms");
            assert!(queue <= QUEUE, "{mib} MiB/s, {latency} us: {queue:?}");
            // The next copy begins with what this one has found out.
            let speed = pace.and_then(|pace| pace.speed()).unwrap();
            assert!(speed.0 <= (mib << 20) * 11 / 10, "{speed} of {mib} MiB/s");
            let mut lun = Lun::new(mib, latency);
            let (tenths, _) = copy(&mut lun, Some(new_pace(Some(speed))), 6);
            let sooner = until_nine_tenths(&tenths, best);
            assert!(sooner <= 100, "{mib}, {latency} us: {sooner} ms");
            println!("    the next: {sooner} ms");
            assert!(lun.longest_queue <= QUEUE, "{mib}, {:?}", lun.longest_queue);
        }
    }
}

/// What was found out does not hold any more: the LUN is eight times slower by now.
#[test]
fn i2_a_speed_that_is_remembered_and_wrong_makes_a_short_queue() {
    for mib in SPEEDS_MIB {
        let mut lun = Lun::new(mib, 1000);
        let speed = Bytes::mib(mib * 8);
        copy(&mut lun, Some(new_pace(Some(speed))), 6);
        let queue = lun.longest_queue;
        assert!(queue <= QUEUE * 2, "{mib} MiB/s: {queue:?}");
    }
}

/// Two copies of one LUN, each with half of it.
#[test]
fn i2_a_second_copy_beside_one_at_full_speed_makes_the_queue_little_longer() {
    for mib in [16, 64, 256] {
        let mut lun = Lun::new(mib, 1000);
        let (_, pace) = copy(&mut lun, Some(new_pace(None)), 3);
        let mut pace = pace.unwrap();
        let first = pace.amounts().threshold;
        let second = new_pace(pace.speed()).amounts().threshold;
        let bytes = u64::from(first + second) * REGION.bytes().0;
        let queue = Duration::from_secs_f64(bytes as f64 / lun.speed as f64);
        let floor = Duration::from_secs_f64((1u64 << 20) as f64 / lun.speed as f64);
        assert!(queue <= QUEUE * 5 / 4 + floor, "{mib}: {queue:?}");
        // The first has half of it from now on.
        let mut reached = pace.reached.unwrap().0;
        for _ in 0..2 {
            reached.regions += lun.speed / REGION.bytes().0 / 2;
            reached.at += LOOK;
            pace.hear(IoCounters::default(), reached);
        }
        let bytes = 2 * u64::from(pace.amounts().threshold) * REGION.bytes().0;
        let queue = Duration::from_secs_f64(bytes as f64 / lun.speed as f64);
        assert!(queue <= QUEUE + floor, "{mib}, both: {queue:?}");
    }
}
