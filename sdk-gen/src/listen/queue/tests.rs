use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Context;
use std::time::SystemTime;

use futures_util::FutureExt;

use super::super::{PrivateMessage, Received};
use super::*;
use crate::testing::when_woken;

fn publication(message: &str) -> Event {
    Event::Publication {
        publication: Received {
            channel: "web_a".to_owned(),
            event: String::new(),
            message: message.to_owned(),
            user: None,
            at: SystemTime::UNIX_EPOCH,
            position: None,
        },
    }
}

fn message(offset: u64) -> Event {
    Event::Message {
        message: PrivateMessage {
            event: String::new(),
            message: String::new(),
            at: SystemTime::UNIX_EPOCH,
            offset,
            stored: true,
        },
    }
}

fn offline(detail: &str) -> Event {
    Event::Offline {
        detail: detail.to_owned(),
        retry_ms: 0,
    }
}

/// There is a connection, and that was told.
fn online(queue: &Queue) {
    queue.push(Event::Online { url: String::new() });
    next(queue, 1);
}

/// What the application wants the task to acknowledge.
fn handled(queue: &Queue) -> Vec<u64> {
    queue.wishes().unwrap().handled
}

fn queue(by_hand: bool) -> Queue {
    Queue::new(3, 4_000, by_hand, ["web_a".to_owned()])
}

/// What there is without waiting; `None` = the application would wait.
fn next(queue: &Queue, most: usize) -> Option<Result<Vec<Event>, CometError>> {
    queue.next(most).now_or_never()
}

#[test]
fn events_in_order_and_not_more_than_wanted() {
    let queue = queue(false);
    assert_eq!(next(&queue, 2), None);
    for text in ["1", "2", "3"] {
        queue.push(publication(text));
    }
    let first = vec![publication("1"), publication("2")];
    assert_eq!(next(&queue, 2), Some(Ok(first)));
    assert_eq!(next(&queue, 0), Some(Ok(vec![publication("3")])));
    assert_eq!(next(&queue, 1), None);
}

#[test]
fn waiting_and_taking_are_two_steps() {
    let queue = queue(false);
    assert_eq!(queue.ready().now_or_never(), None);
    assert_eq!(queue.take_now(5), Ok(Some(Vec::new())));
    queue.push(message(1));
    for _ in 0..2 {
        assert_eq!(queue.ready().now_or_never(), Some(()));
    }
    assert_eq!(queue.take_now(0), Ok(Some(vec![message(1)])));
    assert_eq!(handled(&queue), [0; 0]);
    assert_eq!(queue.ready().now_or_never(), None);
    assert_eq!(handled(&queue), [1]);
    queue.end(CometError::Closed);
    assert_eq!(queue.ready().now_or_never(), Some(()));
    assert_eq!(queue.take_now(1), Err(CometError::Closed));
    queue.close();
    assert_eq!(queue.take_now(1), Ok(None));
}

#[test]
fn full_by_count_and_by_bytes() {
    let queue = queue(false);
    // Before the first connection there are only attempts to tell of.
    for event in [offline(""), publication(""), offline("")] {
        queue.push(event);
    }
    assert!(!queue.is_full());
    next(&queue, 9);
    online(&queue);
    for _ in 0..3 {
        assert!(!queue.is_full());
        queue.push(publication(""));
    }
    assert!(queue.is_full());
    // The task is told that there is room again.
    assert!(queue.told().now_or_never().is_none());
    next(&queue, 1);
    assert!(queue.told().now_or_never().is_some());
    assert!(!queue.is_full());
    next(&queue, 2);
    queue.push(publication(&"x".repeat(4_000)));
    assert!(queue.is_full());
    next(&queue, 1);
    assert_eq!(queue.state().bytes, 0);
}

#[test]
fn what_was_given_is_handled_when_more_is_asked_for() {
    let queue = queue(false);
    queue.push(message(1));
    queue.push(message(2));
    next(&queue, 1);
    assert_eq!(handled(&queue), [0; 0]);
    next(&queue, 1);
    assert_eq!(handled(&queue), [1]);
    // Who acknowledges by hand does not do it twice.
    queue.acknowledge(2);
    assert_eq!(next(&queue, 1), None);
    assert_eq!(handled(&queue), [2]);
    assert!(queue.told().now_or_never().is_some());
}

#[test]
fn by_hand_only_what_is_acknowledged_is_handled() {
    let queue = queue(true);
    queue.push(message(1));
    queue.push(message(2));
    next(&queue, 1);
    next(&queue, 1);
    queue.acknowledge(2);
    assert_eq!(handled(&queue), [2]);
}

#[test]
fn of_failed_attempts_the_last_one_is_told() {
    let queue = queue(false);
    queue.push(offline("first"));
    queue.push(offline("second"));
    queue.push(publication("1"));
    queue.push(offline("third"));
    let expected = vec![offline("second"), publication("1"), offline("third")];
    assert_eq!(next(&queue, 9), Some(Ok(expected)));
    assert_eq!(queue.state().bytes, 0);
}

#[test]
fn the_end_comes_behind_what_waits_and_stays() {
    let queue = queue(false);
    let ended = CometError::Ended {
        code: "revoked".to_owned(),
        detail: String::new(),
    };
    queue.push(publication("1"));
    queue.end(ended.clone());
    queue.finish();
    assert_eq!(next(&queue, 1), Some(Ok(vec![publication("1")])));
    for _ in 0..2 {
        assert_eq!(next(&queue, 1), Some(Err(ended.clone())));
    }
    queue.close();
    assert_eq!(next(&queue, 1), Some(Ok(Vec::new())));
}

#[test]
fn closed_means_at_once_and_for_all() {
    let queue = queue(false);
    let (mut one, mut other) = (Box::pin(queue.next(1)), Box::pin(queue.next(1)));
    assert!((&mut one).now_or_never().is_none());
    assert!((&mut other).now_or_never().is_none());
    queue.close();
    assert_eq!(one.now_or_never(), Some(Ok(Vec::new())));
    assert_eq!(other.now_or_never(), Some(Ok(Vec::new())));
    queue.push(publication("late"));
    assert_eq!(next(&queue, 1), Some(Ok(Vec::new())));
    assert!(queue.wishes().unwrap().close);
}

#[test]
fn listening_has_begun_when_all_channels_answered() {
    let queue = queue(false);
    let why = |queue: &Queue| queue.has_started(5).unwrap_err().to_string();
    let unreachable = "no host can be reached: ";
    assert_eq!(
        why(&queue),
        format!("{unreachable}no node answered in time")
    );
    queue.push(offline("dead"));
    assert_eq!(queue.started().now_or_never(), None);
    assert_eq!(why(&queue), format!("{unreachable}dead"));
    queue.push(Event::Trouble {
        code: "unauthorized".to_owned(),
        detail: "no".to_owned(),
    });
    assert_eq!(
        why(&queue),
        format!("{unreachable}dead; another node refused the log-in: no")
    );
    queue.push(Event::Online { url: String::new() });
    // Else what is published before it answers would be missed in silence.
    assert_eq!(why(&queue), "timed out: no answer within 5 ms for web_a");
    queue.push(Event::Subscribed {
        channel: "web_a".to_owned(),
        position: None,
        recovered: false,
    });
    assert_eq!(queue.has_started(5), Ok(()));
    assert_eq!(queue.started().now_or_never(), Some(Ok(())));
}

/// Whoever waits in this way, and comes back at once when this happens, finds no lock in the way.
#[track_caller]
fn check_unlocked<'a, T>(
    queue: &'a Arc<Queue>,
    waits: impl Future<Output = T> + 'a,
    happens: impl FnOnce(),
) {
    let woken = Arc::new(AtomicU32::new(0));
    let (seen, queue) = (Arc::clone(&woken), Arc::clone(queue));
    let waker = when_woken(move || {
        assert!(queue.state.try_lock().is_ok(), "woken under the lock");
        seen.fetch_add(1, Ordering::Relaxed);
    });
    let mut waits = pin!(waits);
    let mut context = Context::from_waker(&waker);
    assert!(waits.as_mut().poll(&mut context).is_pending());
    happens();
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert!(waits.as_mut().poll(&mut context).is_ready());
}

#[test]
fn who_is_woken_may_come_back_at_once() {
    let queue = Arc::new(queue(true));
    online(&queue);
    let application = |happens: &dyn Fn()| check_unlocked(&queue, queue.ready(), happens);
    let task = |happens: &dyn Fn()| check_unlocked(&queue, queue.told(), happens);
    application(&|| queue.push(message(1)));
    task(&|| queue.acknowledge(1));
    task(&|| queue.set_token(String::new()));
    for offset in 2..4 {
        queue.push(message(offset));
    }
    // It was full.
    task(&|| drop(queue.take_now(9)));
    application(&|| queue.end(CometError::Closed));
    let over = |happens: &dyn Fn()| check_unlocked(&queue, queue.over(), happens);
    over(&|| queue.finish());
    let queue = Arc::new(self::queue(false));
    queue.push(message(1));
    drop(queue.take_now(1));
    check_unlocked(&queue, queue.told(), || queue.handle_given());
    check_unlocked(&queue, queue.ready(), || queue.close());
}

/// A task that does not end, as one of a process that is about to end.
#[tokio::test]
async fn the_end_of_a_task_is_not_waited_for_without_limit() {
    let queue = queue(false);
    queue.close();
    queue.end_of_task().await;
}

#[test]
fn of_many_channels_that_did_not_answer_some_are_named() {
    let names = (10..25).map(|number| format!("web_{number}"));
    let queue = Queue::new(3, 4_000, false, names);
    online(&queue);
    let told = queue.has_started(5).unwrap_err().to_string();
    assert!(told.ends_with("web_18, web_19 and 5 more"), "{told}");
}

#[test]
fn while_it_is_full_wishes_wait() {
    let queue = queue(true);
    online(&queue);
    for offset in 1..4 {
        queue.push(message(offset));
    }
    queue.acknowledge(1);
    queue.set_token("newer".to_owned());
    assert!(queue.wishes().is_none());
    next(&queue, 1);
    let wishes = queue.wishes().unwrap();
    assert_eq!(wishes.handled, [1]);
    assert_eq!(wishes.token.as_deref(), Some("newer"));
    queue.push(message(4));
    queue.acknowledge(2);
    // Who wants nothing any more need not take anything out of it.
    queue.close();
    let wishes = queue.wishes().unwrap();
    assert_eq!((wishes.handled, wishes.close), (vec![2], true));
}
