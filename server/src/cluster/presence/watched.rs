//! A channel whose joins and leaves on other nodes are told here.

use std::collections::HashMap;

use tokio::task::JoinHandle;

use crate::cluster::NodeId;

/// A node where somebody always comes or goes is believed after so many questions.
const QUESTIONS: u32 = 4;

/// A watched channel; dropped, it is so no more.
pub(super) struct Watched {
    listening: JoinHandle<()>,
    asked: HashMap<NodeId, Asked>,
}

#[derive(Default)]
struct Asked {
    /// Questions since it was settled.
    times: u32,
    /// Somebody came or went since the last one.
    moved: bool,
}

impl Watched {
    pub(super) fn new(listening: JoinHandle<()>) -> Self {
        Self {
            listening,
            asked: HashMap::new(),
        }
    }

    /// A node is asked who is there.
    pub(super) fn asks(&mut self, node: &NodeId) {
        let asked = self.asked.entry(node.clone()).or_default();
        asked.times += 1;
        asked.moved = false;
    }

    /// Somebody came or went there.
    pub(super) fn moved(&mut self, node: &NodeId) {
        if let Some(asked) = self.asked.get_mut(node) {
            asked.moved = true;
        }
    }

    /// Whether the answer that came now counts: nobody came or went since the question.
    pub(super) fn is_settled(&mut self, node: &NodeId) -> bool {
        let Some(asked) = self.asked.get(node) else {
            return true;
        };
        let settled = !asked.moved || asked.times >= QUESTIONS;
        if settled {
            self.asked.remove(node);
        }
        settled
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
