//! Who waits for the answer to a command: one caller, or a place in a batch. Knows nothing of what is answered.

use std::sync::{Arc, Mutex, PoisonError};

use cometql_engine::{Answer, Reject};
use cometql_protocol::ErrorCode;
use tokio::sync::oneshot;

/// Stands for a waiting caller inside the shard that carries out its command. Dropped unanswered (the node stops), the
/// caller is told `unavailable`.
#[derive(Debug)]
pub(crate) enum Token {
    /// One command, one caller.
    Single(oneshot::Sender<Answer>),
    /// One command of many that were handed in together.
    Place(Arc<Batch>, usize),
}

impl Token {
    /// A token and what its answer arrives at.
    pub(crate) fn single() -> (Self, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        (Self::Single(sender), receiver)
    }

    /// Passes the answer on. A caller that went away is no error: what it asked for is done.
    pub(crate) fn answer(self, answer: Answer) {
        match self {
            Self::Single(sender) => _ = sender.send(answer),
            Self::Place(batch, index) => batch.fill(index, answer),
        }
    }
}

/// The answers to commands that were handed in together; the caller is woken once, when all are there.
#[derive(Debug)]
pub(crate) struct Batch(Mutex<Gathering>);

#[derive(Debug)]
struct Gathering {
    answers: Vec<Answer>,
    missing: usize,
    waiter: Option<oneshot::Sender<Vec<Answer>>>,
}

impl Batch {
    /// A batch of `size` > 0 commands and what its answers arrive at.
    pub(crate) fn new(size: usize) -> (Arc<Self>, oneshot::Receiver<Vec<Answer>>) {
        let (sender, receiver) = oneshot::channel();
        let gathering = Gathering {
            answers: vec![unavailable(); size],
            missing: size,
            waiter: Some(sender),
        };
        (Arc::new(Self(Mutex::new(gathering))), receiver)
    }

    fn fill(&self, index: usize, answer: Answer) {
        let mut gathering = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gathering.answers[index] = answer;
        gathering.missing -= 1;
        if gathering.missing == 0 {
            gathering.send();
        }
    }
}

impl Gathering {
    fn send(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            _ = waiter.send(std::mem::take(&mut self.answers));
        }
    }
}

impl Drop for Batch {
    /// Tokens were dropped unanswered: the caller learns what is known, `unavailable` for the rest.
    fn drop(&mut self) {
        self.0
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .send();
    }
}

/// What a caller is told when the node stops before its command was carried out.
pub(crate) fn unavailable() -> Answer {
    Answer::Rejected(Reject::new(
        ErrorCode::Unavailable,
        "the node is stopping: try again later or on another node",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(rows: u64) -> Answer {
        Answer::Done { rows }
    }

    #[test]
    fn a_batch_answers_once_in_the_order_of_its_commands() {
        let (batch, mut receiver) = Batch::new(2);
        let (first, second) = (Token::Place(Arc::clone(&batch), 0), Token::Place(batch, 1));
        second.answer(done(2));
        assert!(receiver.try_recv().is_err());
        first.answer(done(1));
        assert_eq!(receiver.try_recv().unwrap(), [done(1), done(2)]);
    }

    #[test]
    fn dropped_tokens_are_answered_unavailable() {
        let (batch, mut receiver) = Batch::new(2);
        let (first, second) = (Token::Place(Arc::clone(&batch), 0), Token::Place(batch, 1));
        second.answer(done(2));
        drop(first);
        assert_eq!(receiver.try_recv().unwrap(), [unavailable(), done(2)]);
    }
}
