//! What the planner collects while it makes the steps of one stored node.

use super::lower::Draft;
use crate::plan::kernel::Step;

/// What is collected while the steps of one stored node (a stage) are made.
#[derive(Default)]
pub(super) struct Making {
    /// Whether it is decided which nodes are stored. Before that, elementwise kernels are made only to learn what they
    /// read, and are dropped.
    pub decided: bool,
    pub steps: Vec<Step>,
    /// The draft of the stage's only kernel, if it is elementwise and the graph is small, with the planner's `changes`
    /// when the draft was made.
    pub draft: Option<(u32, Box<Draft>)>,
    /// The nodes whose values the kernels of the stage (the steps of one stored node) compute. `reads` has the stored
    /// nodes that these kernels load.
    pub computes: Vec<u32>,
    pub reads: Vec<u32>,
    /// The nodes that were marked as stored because they do not fit the kernels of the stage, or because these kernels
    /// would compute them too often.
    pub marks: Vec<u32>,
}
