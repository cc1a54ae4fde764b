//! The steps of a routine (an operation that is not a loop nest, such as a sort): the kernels that store its operands,
//! the clears of its scratch memory, and the call.

use super::Map;
use super::graph::RoutineNode;
use super::lower::Draft;
use super::making::Making;
use super::planner::Planner;
use super::shape;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Fault, Result};
use crate::base::layout;
use crate::graph::expr::NodeOp;
use crate::graph::routine::{GpuPass, Meta, RoutineOperand, Temp};
use crate::plan::kernel::{BufferRef, Load, RoutineCall, RoutinePass, Step, Store, Whole};
use std::rc::Rc;

/// Each dispatch of a routine's pass begins at an item whose index is a multiple of this number, so the elements of a
/// dispatch begin at a multiple of 256 bytes. On every device a binding can begin there, and no 32-bit word of 8- or
/// 16-bit elements belongs to two dispatches.
const ALIGNMENT: usize = 256;

impl Planner<'_> {
    /// Returns, for each node that is a result of a routine, the call of the routine. If the plan writes to an existing
    /// array (`has_target`), a routine's result is first written to a temporary, because a routine's results must be
    /// dense and must not share memory with its operands.
    pub(super) fn find_calls(&self, has_target: bool) -> Result<Map<usize, RoutineNode>> {
        let nodes = &self.arena.nodes;
        // for each call of a routine, the results that are nodes of the graph, each as its index among the results and
        // its node; the derivative of a checkpoint repeats calls, and each repetition is a call of its own
        let mut groups: Map<_, Vec<(usize, usize)>> = Map::default();
        for (i, n) in nodes.iter().enumerate() {
            if let NodeOp::Routine { row, params, part } = &n.op {
                let repetition = mutant!(repeated_calls_are_one, 0, n.repetition);
                groups.entry((row, params, &n.args, repetition)).or_default().push((*part as usize, i));
            }
        }
        let mut calls = Map::default();
        for group in groups.into_values() {
            let first = group[0].1;
            let n = &nodes[first];
            let NodeOp::Routine { row, params, .. } = &n.op else { continue };
            let metas = (row.infer)(&self.metas(first), params).map_err(|f| f.at(row.name, n.location))?;
            let mut results: Vec<Option<usize>> = metas.iter().map(|_| None).collect();
            for (part, node) in &group {
                match results.get_mut(*part) {
                    Some(result @ None) => *result = Some(*node),
                    // the call would write one of the two nodes, and the other would never be written
                    Some(Some(other)) => {
                        let detail = format!("nodes {other} and {node} of the plan are both result {part} of one call");
                        return Err(Error::with_line(ErrorKind::Internal, row.name, detail, n.location));
                    }
                    None => {
                        let detail = format!("a node is result {part} of a call with {} results", metas.len());
                        return Err(Error::with_line(ErrorKind::Internal, row.name, detail, n.location));
                    }
                }
            }
            let result = |(meta, node): (Meta, Option<usize>)| {
                let buffer = match node.filter(|n| !(has_target && self.facts[*n].output.is_some())) {
                    Some(node) => self.buffer(node),
                    None => self.temp(meta.bytes()),
                };
                Whole { buffer, meta, is_read: node.is_some() }
            };
            let results = Rc::new(metas.into_iter().zip(results).map(result).collect::<Vec<Whole>>());
            calls.extend(group.iter().map(|(_, node)| (*node, RoutineNode { first, results: results.clone() })));
        }
        Ok(calls)
    }

    fn metas(&self, node: usize) -> Vec<Meta> {
        let meta = |a: &usize| Meta { shape: self.arena.nodes[*a].shape.clone(), dtype: self.arena.nodes[*a].dtype };
        self.arena.nodes[node].args.iter().map(meta).collect()
    }

    /// Adds the steps that store a result of a routine. These are the call itself if `node` is the first of the call's
    /// results, and a copy to `to` if the result belongs in an existing array.
    pub(super) fn routine(&mut self, node: usize, to: Option<Store>, making: &mut Making) -> Result<()> {
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        let (NodeOp::Routine { row, params, part }, Some(call)) = (&n.op, self.calls.get(&node).cloned()) else {
            return Err(Error::with_line(ErrorKind::Internal, n.op.name(), "the routine has no call", n.location));
        };
        if call.first == node {
            let fail = |fault: Fault| fault.at(row.name, n.location);
            let metas = self.metas(node);
            let needs = (row.needs)(&metas, params, self.caps).map_err(fail)?;
            let mut operands = Vec::with_capacity(metas.len());
            for (a, meta) in n.args.iter().zip(metas) {
                let buffer = self.whole_operand(*a, node, meta.dtype, making)?;
                operands.push(Whole { buffer, meta, is_read: true });
            }
            let scratch: Vec<_> = needs.scratch.iter().map(|temp| self.scratch(*temp, making)).collect();
            let results = call.results.to_vec();
            let windows = |pass: GpuPass| -> Result<RoutinePass, Fault> {
                let windows = self.pass_windows(&pass, [&operands, &results], &scratch)?;
                Ok(RoutinePass { pass, windows, group: self.caps.group() as u32 })
            };
            let passes = needs.passes.into_iter().map(windows).collect::<Result<Vec<_>, Fault>>().map_err(fail)?;
            let (params, node) = (params.clone(), n.number as usize);
            making.steps.push(Step::Routine(RoutineCall { row, params, operands, results, scratch, passes, node }));
        } else {
            making.reads.push(call.first as u32);
        }
        let (Some(to), false) = (to, n.shape.contains(&0)) else { return Ok(()) };
        let buffer = call.results[*part as usize].buffer;
        let from = Load { buffer, dtype: n.dtype, strides: layout::c_strides(&n.shape), offset: 0 };
        making.steps.extend(shape::finish(self, Draft::copy(self, node, from, to))?.into_iter().map(Step::Nest));
        Ok(())
    }

    /// Returns a buffer that holds an operand densely in C order: the buffer in which the operand is already stored, or
    /// a temporary into which additional kernels compute the operand.
    fn whole_operand(&mut self, operand: usize, owner: usize, dtype: DType, making: &mut Making) -> Result<BufferRef> {
        let shape = self.arena.nodes[operand].shape.clone();
        let is_dense = layout::is_c_contiguous(&shape, &self.stored_strides(operand));
        if self.stored[operand] && mutant!(routine_reads_any_strides, true, is_dense) {
            let buffer = self.buffer(operand);
            if let BufferRef::Temp(node) = buffer {
                making.reads.push(node as u32);
            }
            return Ok(buffer);
        }
        let buffer = self.temp(self.bytes(operand));
        let to = self.whole_store(buffer, dtype, &shape);
        self.kernels(operand, owner, to, making)?;
        Ok(buffer)
    }

    /// Returns a temporary for the scratch memory `declared` of a routine, and its size in bytes. If the routine needs
    /// zeroed memory, adds the step that fills the temporary with zeros.
    fn scratch(&self, declared: Temp, making: &mut Making) -> (BufferRef, usize) {
        let buffer = self.temp(declared.bytes);
        let zeroed = mutant!(scratch_not_cleared, false, declared.zeroed);
        if let (true, BufferRef::Temp(temp)) = (zeroed, buffer) {
            making.steps.push(Step::Clear { temp });
        }
        (buffer, declared.bytes)
    }

    /// Returns the windows of a GPU pass of a routine: for each dispatch, the range of items that it handles. The
    /// windows are chosen so that no operand of a dispatch spans more than a binding.
    fn pass_windows(
        &self,
        pass: &GpuPass,
        call: [&[Whole]; 2],
        scratch: &[(BufferRef, usize)],
    ) -> Result<Vec<[usize; 2]>, Fault> {
        let [operands, results] = call;
        // the size in bytes of an operand, result or scratch buffer, and of one of its elements
        let size = |place: &RoutineOperand| match place {
            RoutineOperand::Operand(n) => (operands[*n].meta.bytes(), operands[*n].meta.dtype.size()),
            RoutineOperand::Result(n) => (results[*n].meta.bytes(), results[*n].meta.dtype.size()),
            RoutineOperand::Scratch(n) | RoutineOperand::Shared(n) => (scratch[*n].1, 4),
        };
        let limit = usize::try_from(self.caps.max_binding).unwrap_or(usize::MAX);
        // a binding begins up to 256 bytes before the first element and ends with a whole word; 512 bytes are enough
        // for both
        let usable = limit.saturating_sub(2 * ALIGNMENT);
        if let Some((bytes, _)) = pass.whole.iter().map(size).find(|(bytes, _)| *bytes > usable) {
            let name = &self.caps.name;
            let detail =
                format!("a pass needs a binding of {bytes} bytes; {name} allows at most {usable} usable bytes");
            return Err(Fault::new(ErrorKind::LimitExceeded, detail));
        }
        let mut most = usize::try_from(self.caps.max_indices).unwrap_or(usize::MAX);
        for (bytes, element) in pass.along.iter().map(size) {
            if bytes > usable {
                most = most.min(usable / element);
            }
        }
        // cut between workgroups, so that no workgroup's items belong to two dispatches
        let unit = (self.caps.group() * pass.each).next_multiple_of(ALIGNMENT);
        let most = (most / unit * unit).max(unit);
        Ok((0..pass.items).step_by(most).map(|start| [start, (start + most).min(pass.items)]).collect())
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::super::graph::{Graph, PlanNode, Walk};
    use super::*;
    use crate::base::dtype::Scalar;
    use crate::graph::expr::{Expr, routine};
    use crate::graph::routine::SORT;
    use smallvec::smallvec;
    use std::panic::Location;

    crate::testing::unit_tests!(plan_routines: a_result_belongs_to_one_node);

    /// Ordinary graphs have one node for each result of a call, because equal nodes are merged. If the planner took two
    /// for one, it would fill the memory of only one of them.
    fn a_result_belongs_to_one_node() {
        let at = Location::caller();
        let x = Expr::fill(Scalar::Float(1.0), smallvec![4], DType::F32, at);
        let sorted = routine(&SORT, smallvec![x], smallvec![4, 0, 4], at).expect("a sort")[0].clone();
        let mut walk = Walk::default();
        walk.take(&[&sorted], None, 1).expect("a graph");
        let graph = walk.arena().0;
        let caps = crate::testing::card("card");
        let calls = |graph: Graph| Planner::new(Rc::new(graph), &caps).find_calls(false).map(|c| c.len());
        assert_eq!(calls(graph.clone()).expect("one call"), 1);
        let sort = graph.nodes[1].clone();
        let message = |change: &dyn Fn(&mut PlanNode)| {
            let (mut graph, mut other) = (graph.clone(), sort.clone());
            change(&mut other);
            graph.nodes.push(other);
            calls(graph).map_err(|e| (e.kind(), e.to_string()))
        };
        let (kind, text) = message(&|_| ()).expect_err("two nodes for one result");
        assert_eq!(kind, ErrorKind::Internal);
        assert!(text.contains("nodes 1 and 2 of the plan are both result 0 of one call"), "{text}");
        let (kind, text) = message(&|n| n.op = NodeOp::Routine { row: &SORT, params: smallvec![4, 0, 4], part: 1 })
            .expect_err("a result that the call does not have");
        assert_eq!(kind, ErrorKind::Internal);
        assert!(text.contains("a node is result 1 of a call with 1 results"), "{text}");
        // the derivative of a checkpoint calls the routine again
        assert_eq!(message(&|n| n.repetition = 1), Ok(2));
    }
}
