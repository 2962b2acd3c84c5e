//! The generator: one thread, one epoll, all subscribed connections and one publisher.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use mio::{Events, Interest, Poll, Token};

use super::connection::Connection;
use super::frames::payload;
use super::publisher::Publisher;
use super::subjects::{Subscription, Target};

const PUBLISHER: Token = Token(usize::MAX);
/// Connections that are being opened at the same time.
const OPENING: usize = 128;
/// Without any delivery for so long, what is missing is lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long doubled publications are watched for after the last one.
const LISTEN_ON: Duration = Duration::from_millis(300);
/// Latencies are counted in steps of so many microseconds, up to 2 s.
const STEP_US: u64 = 10;
const STEPS: usize = 200_000;

/// How publications are paced.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// So many a second.
    PerSecond(u32),
    /// As fast as they are delivered to everybody, with so many on their way.
    InFlight(u64),
}

/// What a run of publications showed.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) deliveries: u64,
    pub(super) seconds: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

pub(super) struct Generator {
    target: Target,
    subscription: Option<Subscription>,
    poll: Poll,
    connections: Vec<Connection>,
    live: usize,
    scratch: Vec<u8>,
    /// The sequence number of the next publication.
    next: u64,
    clock: Instant,
}

/// The state of a run of publications.
pub(super) struct Run {
    first: u64,
    end: u64,
    /// Deliveries of each publication.
    counts: Vec<usize>,
    complete: u64,
    latencies: Vec<u32>,
}

impl Generator {
    pub(super) fn new(target: Target) -> anyhow::Result<Self> {
        Ok(Self {
            target,
            subscription: target.kind.subscription(),
            poll: Poll::new()?,
            connections: Vec::new(),
            live: 0,
            scratch: vec![0; 256 << 10],
            next: 0,
            clock: Instant::now(),
        })
    }

    /// One whose connections come back with a position, and have missed all from publication number `next` on.
    pub(super) fn resuming(
        target: Target,
        subscription: Subscription,
        next: u64,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            subscription: Some(subscription),
            next,
            ..Self::new(target)?
        })
    }

    /// The number of the next publication.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Opens so many subscribed connections more.
    pub(super) fn subscribe(&mut self, count: usize) -> anyhow::Result<()> {
        self.subscribe_at(self.target.subscribe, count)
    }

    /// The same, to another node of a cluster.
    pub(super) fn subscribe_at(&mut self, server: SocketAddr, count: usize) -> anyhow::Result<()> {
        let total = self.connections.len() + count;
        let mut events = Events::with_capacity(1024);
        while self.live < total {
            while self.connections.len() < total && self.connections.len() - self.live < OPENING {
                let mut connection = Connection::open(server, self.next)?;
                let token = Token(self.connections.len());
                let both = Interest::READABLE | Interest::WRITABLE;
                self.poll
                    .registry()
                    .register(&mut connection.stream, token, both)?;
                self.connections.push(connection);
            }
            self.poll.poll(&mut events, Some(PATIENCE))?;
            ensure!(
                !events.is_empty(),
                "{} of {total} connections after {PATIENCE:?} of silence",
                self.live
            );
            for event in &events {
                self.connection_ready(event.token(), &mut |_, _| {})?;
            }
        }
        Ok(())
    }

    /// Opens so many connections and waits until each has been told all that it missed, `missed` publications.
    pub(super) fn recover(&mut self, count: usize, missed: u64) -> anyhow::Result<()> {
        let next = self.next;
        self.subscribe(count)?;
        let mut events = Events::with_capacity(4096);
        while self
            .connections
            .iter()
            .any(|one| one.next() < next + missed)
        {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            ensure!(
                !events.is_empty(),
                "a connection was not told all that it missed"
            );
            for event in &events {
                self.connection_ready(event.token(), &mut |_, _| {})?;
            }
        }
        Ok(())
    }

    /// Publishes and waits until everybody has everything.
    pub(super) fn publish(
        &mut self,
        count: u64,
        size: usize,
        pace: Pace,
    ) -> anyhow::Result<Delivered> {
        let mut publisher = Publisher::connect(self.target)?;
        self.poll.registry().register(
            &mut publisher.stream,
            PUBLISHER,
            Interest::READABLE | Interest::WRITABLE,
        )?;
        let mut run = Run::new(self.next, count)?;
        let start = Instant::now();
        let mut heard = Instant::now();
        let mut events = Events::with_capacity(4096);
        while run.complete < count {
            self.publish_due(&mut publisher, &run, start, size, pace)?;
            let wait = self.next_due(&run, start, pace).unwrap_or(PATIENCE);
            self.poll.poll(&mut events, Some(wait))?;
            if !events.is_empty() {
                heard = Instant::now();
            } else if heard.elapsed() > PATIENCE {
                bail!(
                    "after {} of {count} publications nothing came for {PATIENCE:?}",
                    run.complete
                );
            }
            self.handle(&events, &mut publisher, &mut run)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        self.listen_on(&mut publisher, &mut run)?;
        self.poll.registry().deregister(&mut publisher.stream)?;
        Ok(run.delivered(seconds))
    }

    fn publish_due(
        &mut self,
        publisher: &mut Publisher,
        run: &Run,
        start: Instant,
        size: usize,
        pace: Pace,
    ) -> anyhow::Result<()> {
        while self.next < run.end {
            let sent = self.next - run.first;
            let due = match pace {
                Pace::PerSecond(rate) => start.elapsed() >= due_after(sent, rate),
                Pace::InFlight(most) => sent - run.complete < most,
            };
            if !due {
                break;
            }
            publisher.publish(&payload(self.next, self.now_us(), size))?;
            self.next += 1;
        }
        Ok(())
    }

    fn next_due(&self, run: &Run, start: Instant, pace: Pace) -> Option<Duration> {
        match pace {
            Pace::PerSecond(rate) if self.next < run.end => {
                Some(due_after(self.next - run.first, rate).saturating_sub(start.elapsed()))
            }
            Pace::PerSecond(_) | Pace::InFlight(_) => None,
        }
    }

    fn handle(
        &mut self,
        events: &Events,
        publisher: &mut Publisher,
        run: &mut Run,
    ) -> anyhow::Result<()> {
        let (now, subscribers) = (self.now_us(), self.live);
        for event in events {
            if event.token() == PUBLISHER {
                publisher.flush()?;
                publisher.read(&mut self.scratch)?;
            } else {
                self.connection_ready(event.token(), &mut |sequence, time| {
                    run.count(sequence, now.saturating_sub(time), subscribers);
                })?;
            }
        }
        Ok(())
    }

    /// A publication that comes twice breaks the connection's sequence, which is an error there.
    fn listen_on(&mut self, publisher: &mut Publisher, run: &mut Run) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(4096);
        let until = Instant::now() + LISTEN_ON;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.poll.poll(&mut events, Some(left))?;
            self.handle(&events, publisher, run)?;
        }
        let all = run.counts.iter().all(|count| *count == self.live);
        ensure!(
            all,
            "a publication was not delivered exactly once to everybody"
        );
        Ok(())
    }

    fn connection_ready(
        &mut self,
        token: Token,
        delivered: &mut impl FnMut(u64, u64),
    ) -> anyhow::Result<()> {
        let connection = &mut self.connections[token.0];
        let was_live = connection.is_live();
        connection
            .ready(
                self.target.kind,
                self.subscription.as_ref(),
                &mut self.scratch,
                delivered,
            )
            .with_context(|| format!("connection {}", token.0))?;
        self.live += usize::from(connection.is_live() && !was_live);
        Ok(())
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

fn due_after(sent: u64, rate: u32) -> Duration {
    Duration::from_micros(sent * 1_000_000 / u64::from(rate))
}

impl Run {
    pub(super) fn new(first: u64, count: u64) -> anyhow::Result<Self> {
        Ok(Self {
            first,
            end: first + count,
            counts: vec![0; usize::try_from(count)?],
            complete: 0,
            latencies: vec![0; STEPS],
        })
    }

    pub(super) fn count(&mut self, sequence: u64, latency_us: u64, subscribers: usize) {
        let at = usize::try_from(sequence.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
            self.complete += u64::from(*count == subscribers);
        }
        let step = usize::try_from(latency_us / STEP_US).unwrap_or(STEPS);
        self.latencies[step.min(STEPS - 1)] += 1;
    }

    pub(super) fn delivered(&self, seconds: f64) -> Delivered {
        let deliveries = self.latencies.iter().map(|count| u64::from(*count)).sum();
        Delivered {
            deliveries,
            seconds,
            p50_ms: self.percentile(deliveries, 50),
            p99_ms: self.percentile(deliveries, 99),
        }
    }

    fn percentile(&self, deliveries: u64, percent: u64) -> f64 {
        let wanted = deliveries * percent / 100;
        let mut sum = 0;
        let step = self.latencies.iter().position(|count| {
            sum += u64::from(*count);
            sum > wanted
        });
        let steps = u32::try_from(step.unwrap_or(STEPS)).unwrap_or(u32::MAX);
        f64::from(steps) * 0.01
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_deliveries() {
        let mut run = Run::new(5, 2).unwrap();
        for latency in [1_000; 98] {
            run.count(5, latency, 98);
        }
        run.count(6, 9_000, 2);
        run.count(6, 9_000_000, 2);
        let delivered = run.delivered(1.0);
        assert_eq!((run.complete, delivered.deliveries), (2, 100));
        assert!((delivered.p50_ms - 1.0).abs() < 0.02, "{delivered:?}");
        assert!(delivered.p99_ms > 1_000.0, "{delivered:?}");
    }
}
