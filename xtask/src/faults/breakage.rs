//! What can go wrong: how it is brought about, and how it ends. Judges nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::disk::SmallDisk;
use crate::cluster::links::Link;
use crate::cluster::world::World;
use crate::random::Random;

/// Where Debian keeps it. A node under it believes in the time that stands in a file.
const FAKE_TIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// So late everything comes over a slow link.
const SLOW: Duration = Duration::from_millis(150);

/// A way to break a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Fault {
    /// A node is killed with SIGKILL.
    KillNode,
    /// A node is frozen with SIGSTOP.
    FreezeNode,
    /// A node is stopped in good order.
    StopNode,
    /// A node hears nothing of NATS, and NATS nothing of it.
    CutNode,
    /// What a node and NATS say to each other comes late.
    SlowNode,
    /// A node's clock is ten minutes ahead.
    Clock,
    /// A NATS server is killed with SIGKILL.
    KillNats,
    /// A NATS server is frozen with SIGSTOP.
    FreezeNats,
    /// A NATS server hears nothing of its peers. Nodes reach it.
    CutNats,
    /// What a NATS server and its peers say to each other comes late.
    SlowNats,
    /// The disk of a NATS server is full.
    FullDisk,
    /// Everything is killed at once.
    RestartAll,
    /// Two of three NATS servers are killed, so that the log has no quorum.
    LoseLog,
    /// The same with nodes that refuse what they can't store.
    LoseLogRefusing,
}

/// What is needed for some faults, none by default; always the same node and server, as it has to be prepared.
#[derive(Default)]
pub(super) struct Victims {
    /// The file with the time of the last node; `None` = libfaketime is not installed.
    pub(super) clock: Option<PathBuf>,
    /// The disk of the first NATS server; `None` = it can't be mounted.
    pub(super) disk: Option<SmallDisk>,
}

/// These faults, or all, in any order.
pub(super) fn shuffled(only: &[Fault], random: &mut Random) -> Vec<Fault> {
    use clap::ValueEnum as _;
    let mut left: Vec<Fault> = match only {
        [] => Fault::value_variants().to_vec(),
        some => some.to_vec(),
    };
    let mut order = Vec::new();
    while !left.is_empty() {
        let count = u64::try_from(left.len()).expect("few");
        let at = usize::try_from(random.below(count)).expect("few");
        order.push(left.swap_remove(at));
    }
    order
}

/// Lets the last node believe in a file's time, where that is possible.
pub(super) fn prepare_clock(world: &mut World, folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !Path::new(FAKE_TIME).is_file() {
        return Ok(None);
    }
    let file = folder.join("clock");
    std::fs::write(&file, "+0")?;
    let node = world.nodes.last_mut().context("there are nodes")?;
    let pairs = [
        ("LD_PRELOAD", FAKE_TIME),
        ("FAKETIME_TIMESTAMP_FILE", &file.display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1"),
        // As in the world: the monotonic clock does not jump.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    node.environment.extend(pairs);
    Ok(Some(file))
}

impl Fault {
    /// What has to be installed for it, or done by root.
    pub(super) fn missing(self, victims: &Victims) -> Option<&'static str> {
        match self {
            Self::Clock if victims.clock.is_none() => Some("sudo apt-get install libfaketime"),
            Self::FullDisk if victims.disk.is_none() => Some("only root may mount a small disk"),
            _ => None,
        }
    }

    /// Whether the others should no longer see the node's users.
    pub(super) fn takes_node(self) -> bool {
        matches!(
            self,
            Self::KillNode | Self::FreezeNode | Self::StopNode | Self::CutNode
        )
    }

    /// Breaks something.
    pub(super) fn begin(
        self,
        victim: usize,
        world: &mut World,
        victims: &Victims,
    ) -> anyhow::Result<()> {
        match self {
            Self::KillNode => world.nodes[victim].program().kill(),
            Self::FreezeNode => world.nodes[victim].program().signal("STOP")?,
            Self::StopNode => world.nodes[victim].program().stop()?,
            Self::CutNode => world.to_nats[victim].iter().for_each(Link::cut),
            Self::SlowNode => {
                let links = world.to_nats[victim].iter();
                links.for_each(|link| link.slow_down(SLOW));
            }
            Self::Clock => set_clock(victims, "+600")?,
            Self::KillNats => world.nats[victim].program().kill(),
            Self::FreezeNats => world.nats[victim].program().signal("STOP")?,
            Self::CutNats => world.links_of(victim).for_each(Link::cut),
            Self::SlowNats => world.links_of(victim).for_each(|link| link.slow_down(SLOW)),
            Self::FullDisk => victims.disk.as_ref().context("a disk")?.fill()?,
            Self::LoseLog | Self::LoseLogRefusing => {
                for server in all_but(victim, &mut world.nats) {
                    server.program().kill();
                }
            }
            Self::RestartAll => {
                for node in &mut world.nodes {
                    node.program().kill();
                }
                for server in &mut world.nats {
                    server.program().kill();
                }
            }
        }
        Ok(())
    }

    /// Ends what [`Self::begin`] began.
    pub(super) fn heal(
        self,
        victim: usize,
        world: &mut World,
        victims: &Victims,
    ) -> anyhow::Result<()> {
        match self {
            Self::KillNode | Self::StopNode => world.nodes[victim].spawn()?,
            Self::FreezeNode => world.nodes[victim].program().signal("CONT")?,
            Self::CutNode | Self::SlowNode => world.to_nats[victim].iter().for_each(Link::heal),
            Self::Clock => set_clock(victims, "+0")?,
            Self::KillNats => world.nats[victim].spawn()?,
            Self::FreezeNats => world.nats[victim].program().signal("CONT")?,
            Self::CutNats | Self::SlowNats => world.links_of(victim).for_each(Link::heal),
            Self::FullDisk => {
                victims.disk.as_ref().context("a disk")?.make_room()?;
                // A server without room gives JetStream up until it is started again.
                world.nats[0].program().kill();
                world.nats[0].spawn()?;
            }
            Self::LoseLog | Self::LoseLogRefusing => {
                for server in all_but(victim, &mut world.nats) {
                    server.spawn()?;
                }
            }
            Self::RestartAll => {
                for server in &mut world.nats {
                    server.spawn()?;
                }
                for node in &mut world.nodes {
                    node.spawn()?;
                }
            }
        }
        Ok(())
    }
}

fn all_but<T>(one: usize, all: &mut [T]) -> impl Iterator<Item = &mut T> {
    let others = all.iter_mut().enumerate();
    others.filter_map(move |(at, other)| (at != one).then_some(other))
}

fn set_clock(victims: &Victims, time: &str) -> anyhow::Result<()> {
    let file = victims.clock.as_ref().context("a clock")?;
    Ok(std::fs::write(file, time)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_comes_once_in_a_round() {
        use clap::ValueEnum as _;
        let mut random = Random::new(1);
        let round = shuffled(&[], &mut random);
        assert_eq!(round.len(), Fault::value_variants().len());
        let all = Fault::value_variants().iter();
        assert!(all.clone().all(|fault| round.contains(fault)));
        assert_eq!(shuffled(&[Fault::Clock], &mut random), [Fault::Clock]);
    }
}
