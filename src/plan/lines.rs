//! The source lines of an evaluation, and the public functions that its caller has called, for errors.

use super::graph::Walk;
use crate::base::error::{Error, ErrorKind, Loc};
use crate::plan::backend::{KeptLines, SourceLines};

impl SourceLines for Walk<'_> {
    fn of(&self, node: usize) -> Option<Loc> {
        self.nodes().get(node).map(|n| n.location)
    }

    fn call(&self, node: usize) -> Option<&'static str> {
        self.nodes().get(node).and_then(|n| n.call)
    }
}

impl Walk<'_> {
    /// Returns the caller's line and the call of each node, by its number. A plan is shared between callers, so it
    /// refers to nodes and holds no lines. Each evaluation reports errors with its own lines.
    pub fn lines(&self) -> KeptLines {
        let mut lines = KeptLines::default();
        for node in self.nodes() {
            lines.push(node.location, node.call);
        }
        lines
    }

    /// If a node cannot be planned on the device, gives the error the name of the public function whose call made the
    /// node, which has the error's line. An error that reports a bug keeps its name.
    #[cold]
    pub(super) fn blame(&self, error: Error) -> Error {
        let call = self.nodes().iter().filter(|n| Some(n.location) == error.location()).find_map(|n| n.call);
        match call {
            Some(call) if error.kind() != ErrorKind::Internal => error.named(call),
            _ => error,
        }
    }
}
