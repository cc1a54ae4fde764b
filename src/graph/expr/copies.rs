//! Copies nodes, either to give them another derivative rule or for a checkpoint. A checkpoint repeats a computation
//! instead of keeping its results.

use super::{Args, Back, Binding, Expr, Node, NodeContext, NodeOp, Order, Reach, Rule, context, making};
use crate::base::layout::Shape;
use crate::base::shared::Shared;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Returns a number that is larger than every number that this function returned before.
pub(crate) fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Calls `build` in a new scope, and returns its result with the scope's number. Every node that is made during the
/// call, also in an inner scope, has this number or a larger one. Nodes that this thread made before have smaller
/// numbers.
pub(crate) fn scoped<T>(build: impl FnOnce() -> T) -> (T, u64) {
    let number = number();
    (making(NodeContext { scope: number, ..context() }, build), number)
}

/// Returns one of the stored arrays that the expression reads, if it has a device and is not only a fill.
pub(crate) fn array_below(expr: &Expr) -> Option<&Expr> {
    let mut at = expr;
    while !at.0.is_stored() {
        at = at.0.args.iter().find(|c| c.0.device != 0)?;
    }
    Some(at)
}

impl Expr {
    /// Returns a new node with the same values as this node and another derivative. The planner treats the two nodes as
    /// equal, and computes their values once.
    pub(crate) fn with_rule(&self, operands: Vec<Expr>, back: Option<Back>) -> Expr {
        self.with_rule_of(operands, back, Reach::Anything)
    }

    /// Returns a node as [`Expr::with_rule`] does, and states on which elements of the operands the result depends.
    pub(crate) fn with_rule_of(&self, operands: Vec<Expr>, back: Option<Back>, reach: Reach) -> Expr {
        self.copied(self.0.args.clone(), Some(Arc::new(Rule { operands, back, reach })), self.0.order.clone())
    }

    /// Returns a node of the same operation with other operands, another derivative rule and another [`Order`]. A node
    /// that carries an error is returned unchanged.
    pub(crate) fn copied(&self, args: Args, rule: Option<Arc<Rule>>, order: Option<Box<Order>>) -> Expr {
        let n = &*self.0;
        let binding = match &n.binding {
            Binding::None => Binding::None,
            Binding::Array { buffer, offset } => Binding::Array { buffer: buffer.clone(), offset: *offset },
            Binding::Number(s) => Binding::Number(*s),
            Binding::Random { seed, stream } => Binding::Random { seed: *seed, stream: *stream },
            Binding::Failure(_) => return self.clone(),
        };
        Expr(Shared::new(|| Node {
            op: n.op.clone(),
            args,
            binding,
            shape: n.shape.clone(),
            dtype: n.dtype,
            device: n.device,
            inner: n.inner,
            wraps: n.wraps,
            rule,
            scope: context().scope,
            order,
            call: n.call,
            location: n.location,
        }))
    }

    /// Returns a node of the same operation on a device, for an expression that reads no array.
    pub(crate) fn placed_on(&self, device: u32) -> Expr {
        let mut placed = self.copied(self.0.args.clone(), self.0.rule.clone(), self.0.order.clone());
        if let Some(node) = Shared::get_mut(&mut placed.0) {
            node.device = device;
        }
        placed
    }

    /// Gives a new node the call that made another one, which the new node replaces.
    pub(super) fn called_as(mut self, replaced: &Expr) -> Expr {
        if let Some(node) = Shared::get_mut(&mut self.0)
            && (node.call, replaced.0.call.is_some()) == (None, true)
        {
            (node.call, node.location) = (replaced.0.call, replaced.0.location);
        }
        self
    }

    /// Returns a new node with the dtype, device and source line of this node, for an operation on operands of other
    /// lengths. The new node has no derivative rule and no [`Order`].
    pub(super) fn resized(&self, op: NodeOp, args: Args, shape: Shape) -> Expr {
        let n = &*self.0;
        Expr(Shared::new(|| Node {
            op,
            args,
            binding: Binding::None,
            shape,
            dtype: n.dtype,
            device: n.device,
            inner: n.inner,
            wraps: n.wraps,
            rule: None,
            scope: context().scope,
            order: None,
            call: n.call,
            location: n.location,
        }))
    }
}
