//! What an operation may find.

use super::*;

/// Everything that may be found: by whom it is marked, how large it is, what this node has of it.
pub(super) fn sights() -> Vec<Sight> {
    let marks = ["op", "other"].map(id).into_iter().flat_map(|by| {
        [
            Mark::New { by: by.clone() },
            Mark::Dying { by: by.clone() },
            Mark::Growing {
                by: by.clone(),
                from: SIZE,
            },
            Mark::Copying { by, size: SIZE },
        ]
    });
    let unknown = Mark::Unknown {
        tags: "volward.new=a/b".to_owned(),
    };
    let marks: Vec<Option<Mark>> = marks.chain([unknown]).map(Some).chain([None]).collect();
    let mut sights = vec![Sight::nothing(false), Sight::nothing(true)];
    for mark in marks {
        for (name, size) in [("data", SIZE), ("data", LARGER), ("volward-dying-x", SIZE)] {
            for (holds, works) in [(false, false), (true, false), (true, true)] {
                for known in [false, true] {
                    sights.push(Sight {
                        known,
                        volume: Some(seen(name, size, mark.clone())),
                        holds,
                        works,
                        attached: false,
                        behind: false,
                        away: None,
                        source: None,
                        place: None,
                    });
                }
            }
        }
    }
    let attached = sights.iter().filter(|s| s.volume.is_some() && !s.holds);
    let attached: Vec<Sight> = attached
        .cloned()
        .flat_map(|sight| {
            [false, true].map(|behind| Sight {
                attached: true,
                behind,
                ..sight.clone()
            })
        })
        .collect();
    sights.extend(attached);
    // What has a mark is in the pool.
    let is_free = |s: &&Sight| {
        let marked = s.volume.as_ref().is_some_and(|seen| seen.mark.is_some());
        s.volume.is_some() && !marked && !s.holds && !s.works
    };
    let away: Vec<Sight> = sights
        .iter()
        .filter(is_free)
        .cloned()
        .flat_map(|sight| {
            [Away::Filling, Away::Whole, Away::Returning].map(|away| Sight {
                away: Some(away),
                ..sight.clone()
            })
        })
        .collect();
    sights.extend(away);
    sights
}

/// Everywhere that a volume may be which goes to another disk.
pub(super) fn places() -> Vec<Option<Place>> {
    let from = "f".repeat(32).parse().unwrap();
    let moving = [None, Some(0), Some(100)].map(|percent| Place::Moving { from, percent });
    let places = [Place::There, Place::On { from }, Place::Halted { from }];
    places.into_iter().chain(moving).map(Some).collect()
}

const WRITERS: [Writer; 5] = [
    Writer::Apart,
    Writer::Filling,
    Writer::Equal,
    Writer::Failed,
    Writer::Cut,
];

/// The source of a copy, which nobody has.
pub(super) fn source() -> SourceSeen {
    SourceSeen {
        name: "origin".parse().unwrap(),
        dying_name: "volward-dying-y".parse().unwrap(),
        wipes: false,
        size: SIZE,
        mark: None,
        holds: false,
        works: false,
        read: false,
        writer: None,
    }
}

/// Everything that may be found of the source of a copy.
pub(super) fn sources() -> Vec<Option<SourceSeen>> {
    let copying = |by| Mark::Copying {
        by: id(by),
        size: SIZE,
    };
    let marks = [
        None,
        Some(copying("op")),
        Some(copying("other")),
        Some(Mark::Dying { by: id("other") }),
        Some(Mark::Dying { by: id("op") }),
    ];
    let mut sources = vec![None];
    for mark in marks {
        for (holds, works) in [(false, false), (true, false), (true, true), (false, true)] {
            for read in [false, true] {
                sources.push(Some(SourceSeen {
                    mark: mark.clone(),
                    holds,
                    works,
                    read,
                    ..source()
                }));
            }
        }
    }
    for writer in WRITERS {
        sources.push(Some(SourceSeen {
            writer: Some(writer),
            ..source()
        }));
    }
    for (name, wipes) in [
        ("origin", true),
        ("volward-dying-y", true),
        ("volward-dying-y", false),
    ] {
        sources.push(Some(SourceSeen {
            name: name.parse().unwrap(),
            wipes,
            mark: Some(Mark::Dying { by: id("op") }),
            ..source()
        }));
    }
    sources
}
