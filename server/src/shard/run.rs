//! The loop of a shard's thread: drain the mailbox, let the engine handle all of it, flush some sockets, look again.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cometql_engine::{Input, Rules, ShardId};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use super::core::TICK_MS;
use super::{Core, Mail, Shared};
use crate::http;

/// Most mails that are handled before every socket is flushed.
const BATCH: usize = 256;

/// The runtime of one shard.
pub(super) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Runs a shard until it is told to stop.
pub(super) fn run(
    runtime: &Runtime,
    id: ShardId,
    shared: &Shared,
    rules: Arc<Rules>,
    shards: Vec<UnboundedSender<Mail>>,
    mails: UnboundedReceiver<Mail>,
) {
    let core = Core::new(id, shared, rules, shards);
    let tasks = LocalSet::new();
    tasks.block_on(runtime, serve(core, shared.clone(), mails));
}

async fn serve(core: Core, shared: Shared, mut mails: UnboundedReceiver<Mail>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping: Option<Instant> = None;
    let mut allowed = BATCH;
    let mut unflushed = false;
    loop {
        tokio::select! {
            biased;
            count = mails.recv_many(&mut batch, allowed), if allowed > 0 => {
                allowed -= count;
                for mail in batch.drain(..) {
                    if matches!(mail, Mail::Stop) {
                        stopping = Some(Instant::now() + shared.close_wait);
                    } else {
                        handle(&core, &shared, mail);
                    }
                }
            }
            _ = ticks.tick() => core.tick(),
            () = core.flush_wanted() => {}
            () = tokio::task::yield_now(), if unflushed => {}
        }
        unflushed = core.flush();
        if core.take_handed() {
            // However much mail there is: else outboxes of clients over TLS fill while nobody writes.
            tokio::task::yield_now().await;
        }
        if !unflushed {
            allowed = BATCH;
        }
        if stopping.is_some_and(|end| core.connections() == 0 || Instant::now() > end) {
            return;
        }
    }
}

fn handle(core: &Core, shared: &Shared, mail: Mail) {
    match mail {
        Mail::Messages(messages) => {
            for message in messages {
                core.input(Input::Message(message));
            }
        }
        Mail::Command(command, token) => core.input(Input::Command(command, token)),
        Mail::Commands(commands) => {
            for (command, token) in commands {
                core.input(Input::Command(command, token));
            }
        }
        Mail::Stored { ticket, result } => core.input(Input::Stored { ticket, result }),
        Mail::Log(event) => core.input(Input::Log(*event)),
        Mail::Rules(rules) => core.input(Input::Rules(rules)),
        Mail::Query(look) => core.look(look),
        Mail::Tap(tap) => core.tap(tap),
        // Who asked may have gone.
        Mail::Waiting(told) => _ = told.send(core.waiting()),
        // Who asked may have gone.
        Mail::Outlook(sought, told) => _ = told.send(core.outlook(&sought)),
        Mail::Relieve => core.relieve(),
        // Who asked may have gone.
        Mail::Disconnect(which, told) => _ = told.send(core.disconnect(which)),
        Mail::Arrival(stream, arrival) => {
            let front = Arc::clone(&shared.front);
            // A socket that can't be watched is closed.
            if let Ok(stream) = TcpStream::from_std(stream) {
                tokio::task::spawn_local(http::serve(core.clone(), front, stream, arrival));
            }
        }
        Mail::Listen(listener) => {
            let front = Arc::clone(&shared.front);
            tokio::task::spawn_local(http::accept(listener, core.clone(), front));
        }
        Mail::Requests {
            connection,
            secret,
            text,
            known,
        } => {
            let found = core.has_stream(connection, &secret);
            if found {
                core.text(connection, &text);
            }
            _ = known.send(found);
        }
        Mail::Drain { spread_ms } => core.drain(spread_ms),
        Mail::Stop => unreachable!("the caller handles it"),
    }
}
