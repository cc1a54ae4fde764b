//! The context in which a thread makes nodes: inside or outside of a call that consists of several operations.

use super::Expr;
use crate::base::shared::Shared;
use std::cell::Cell;

/// The context in which a thread makes nodes. Each new node gets a copy of it.
#[derive(Clone, Copy)]
pub(super) struct NodeContext {
    /// Whether the thread is building the inner operations of a call that consists of several operations (see
    /// [`composed`]).
    pub(super) inner: bool,
    /// The number of the innermost scope that the thread is in (see [`scoped`]), or 0 outside of all scopes.
    pub(super) scope: u64,
}

thread_local! {
    pub(super) static MAKING: Cell<NodeContext> = const { Cell::new(NodeContext { inner: false, scope: 0 }) };
}

/// The thread's context before a change of it. It is restored when this value is dropped, also in a panic.
struct Before(NodeContext);

impl Before {
    /// Makes `there` the thread's context for new nodes.
    fn change(there: NodeContext) -> Before {
        Before(MAKING.replace(there))
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        MAKING.set(self.0);
    }
}

/// Calls `build` with `there` as the thread's context for new nodes, and then restores the earlier context.
pub(super) fn making<T>(there: NodeContext, build: impl FnOnce() -> T) -> T {
    let _before = Before::change(there);
    build()
}

/// The thread builds inner operations of a call until this value is dropped: see [`composed`]. It is for code that is
/// not a closure, because the operators in a closure would record a line of this library as the caller's.
pub(crate) struct Inner(Before);

impl Inner {
    pub(crate) fn begin() -> Inner {
        Inner(Before::change(NodeContext { inner: true, ..MAKING.get() }))
    }

    /// Ends the inner operations, and returns the results of the call.
    pub(crate) fn end<const N: usize>(self, mut results: [Expr; N]) -> [Expr; N] {
        let outermost = !self.0.0.inner;
        drop(self);
        for result in &mut results {
            // if something else also holds the node of a result, this result is an operand of the call or one of its
            // inner operations
            if outermost && let Some(node) = Shared::get_mut(&mut result.0) {
                node.inner = false;
            }
        }
        results
    }
}

/// Builds the result of a call that consists of several operations, some of which produce NaN, infinities or wrapped
/// integers by design. For example, a test whether two numbers are close computes ∞ − ∞. Checks for such values look
/// only at the result and the operands of the call.
pub(crate) fn composed(build: impl FnOnce() -> Expr) -> Expr {
    let inner = Inner::begin();
    let [result] = inner.end([build()]);
    result
}

/// Builds inner operations of a call, which lie between its operands and its results. Checks ignore inner operations.
pub(crate) fn between<T>(build: impl FnOnce() -> T) -> T {
    making(NodeContext { inner: true, ..MAKING.get() }, build)
}
