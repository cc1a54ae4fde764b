//! The context in which a thread makes nodes: inside or outside of a call that consists of several operations, and the
//! name of the public function that was called.

use super::{Expr, NodeOp, carry};
use crate::base::error::{Error, Loc, Result};
use crate::base::shared::Shared;
use std::cell::Cell;

/// The call of a public function: its name, and the line of the caller.
#[derive(Clone, Copy)]
pub(crate) struct PublicCall {
    pub name: &'static str,
    pub at: Loc,
}

impl PublicCall {
    /// Returns the call that made an expression. For a view of a result, it is the call that computes the result, which
    /// needs the memory.
    pub fn of(mut e: &Expr) -> PublicCall {
        while let (NodeOp::View(_), None, [below]) = (&e.0.op, e.0.call, &e.0.args[..]) {
            e = below;
        }
        PublicCall { name: e.0.called(), at: e.0.location }
    }
}

/// The context in which a thread makes nodes. Each new node gets a copy of it.
#[derive(Clone, Copy)]
pub(super) struct NodeContext {
    /// Whether the thread is building the inner operations of a call that consists of several operations (see
    /// [`composed`]).
    pub(super) inner: bool,
    /// The number of the innermost scope that the thread is in (see [`scoped`]), or 0 outside of all scopes.
    pub(super) scope: u64,
}

/// The context outside of all calls and scopes.
const OUTSIDE: NodeContext = NodeContext { inner: false, scope: 0 };

thread_local! {
    static MAKING: Cell<NodeContext> = const { Cell::new(OUTSIDE) };
    /// The call of a public function that the thread is building (see [`Called`]), or `None` outside of such calls. It
    /// is not part of the [`NodeContext`], because most nodes are made outside of such calls, where a test of it costs
    /// less than a copy.
    static CALL: Cell<Option<PublicCall>> = const { Cell::new(None) };
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
        Inner(Before::change(NodeContext { inner: true, ..context() }))
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
    making(NodeContext { inner: true, ..context() }, build)
}

/// Returns the thread's context. Like [`call`], it uses `try_with`, because the compiler does not inline `get` and `set`.
#[inline(always)]
pub(super) fn context() -> NodeContext {
    MAKING.try_with(Cell::get).unwrap_or(OUTSIDE)
}

/// Returns the call of a public function that the thread is building.
#[inline(always)]
pub(super) fn call() -> Option<PublicCall> {
    CALL.try_with(Cell::get).unwrap_or(None)
}

/// Sets the call of a public function that the thread is building.
#[inline(always)]
fn set_call(call: Option<PublicCall>) {
    _ = CALL.try_with(|own| own.set(call));
}

/// The thread builds nodes of a call of a public function until this value is dropped. An error that is found when such
/// a node is evaluated, for example because memory is too small, names this function and the line of its caller, and
/// not the operation of the node. If a public function calls another one, the outer call counts, because it is the one
/// that the user wrote. A call that makes a node of its own name and nothing else needs no such value.
pub(crate) struct Called {
    before: Option<PublicCall>,
}

impl Called {
    #[inline(always)]
    pub(crate) fn begin(name: &'static str, at: Loc) -> Called {
        let before = call();
        set_call(before.or(Some(PublicCall { name, at })));
        Called { before }
    }
}

impl Drop for Called {
    #[inline(always)]
    fn drop(&mut self) {
        set_call(self.before);
    }
}

/// Builds nodes of a call of the public function `name`: see [`Called`].
pub(crate) fn called<T>(name: &'static str, at: Loc, build: impl FnOnce() -> T) -> T {
    let _called = Called::begin(name, at);
    build()
}

/// Calls a function of the user inside of a call of the library. The calls in it are calls of their own.
pub(crate) fn by_user<T>(build: impl FnOnce() -> T) -> T {
    let _outside = Called { before: CALL.replace(None) };
    build()
}

/// Builds the result of a call of the public function `name`, as [`called`] and [`carry`] do.
#[inline(always)]
pub(crate) fn result_of(name: &'static str, at: Loc, build: impl FnOnce() -> Result<Expr>) -> Expr {
    let _called = Called::begin(name, at);
    carry(at, build)
}

/// If an error has a line of this library, gives it the name and the line of the call that the thread is building. Such
/// an error comes from an operation in a closure, whose line is not the line of the user.
pub(super) fn of_call(error: Error) -> Error {
    match call() {
        Some(PublicCall { name, at }) if error.is_inside() => error.of_call(name, at),
        _ => error,
    }
}
