//! Expressions that are planned once and then run on other arrays each time.
//!
//! The traced expressions read *placeholders* instead of arrays. A placeholder is an array node that has a layout but
//! no memory. Each run replaces the placeholders by arrays with the same layouts, and draws new random numbers.

use super::Array;
use super::check::{self, Checked, WantedChecks};
use super::checked::refuse;
use super::evaluate::{apart, constant};
use super::execute::{Results, compute};
use crate::array::device::Device;
use crate::base::buffer::Buffer;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{Layout, View};
use crate::graph::expr::{Expr, PublicCall, common, strong, view};
use crate::plan::backend::{Bindings, KeptLines};
use crate::plan::{self, CachedPlan, Seeds};
use smallvec::SmallVec;
use std::collections::HashSet;
use std::sync::Arc;

/// The plan of expressions that read placeholders (array nodes without memory). Each run replaces the placeholders by
/// arrays with the same devices, dtypes and layouts.
pub(crate) struct Traced {
    placeholders: Vec<Expr>,
    device: u32,
    /// The checks for NaNs, infinities and overflow that were on when the plan was made. The plan includes these
    /// checks.
    checks: WantedChecks,
    results: Vec<ResultSource>,
    /// The plan and the data that it reads, or `None` if no result needs a kernel.
    planned: Option<Planned>,
}

struct Planned {
    plan: Arc<CachedPlan>,
    /// The call that made each expression that the plan computes.
    roots: Vec<PublicCall>,
    checked: Option<Checked>,
    inputs: Vec<Input>,
    scalars: SmallVec<[u64; 4]>,
    seeds: Seeds,
    lines: KeptLines,
}

/// An array that a plan reads.
enum Input {
    /// The memory of the caller's array with this index. The second number is the distance, in elements, from the
    /// array's first element to the first element that the plan reads.
    Given(usize, isize),
    /// An array that the traced expressions contain, which is the same in each run, and its offset.
    Captured(Buffer, usize),
}

/// Where a result of a traced call comes from.
enum ResultSource {
    /// The plan's result with this index, or a view of that result.
    Computed(usize, Option<Box<View>>),
    /// A view of the caller's array with this index. The second number is the distance, in elements, from the array's
    /// first element to the view's first element.
    Given(usize, isize, Expr),
    /// An array that the traced expressions contain, which is the same in each run.
    Captured(Array),
}

/// Returns placeholders (array nodes without memory) for arrays. The caller builds the expressions to trace from them.
pub(crate) fn placeholders(arrays: &[Array], at: Loc) -> Vec<Expr> {
    // keep the array's offset, because negative strides lead to elements in front of the element at the offset
    arrays.iter().map(|a| Expr::stored(a.buffer().placeholder(), &a.layout(), a.dtype(), at)).collect()
}

/// Returns the device on which expressions of these arrays run: the device of the first array, or the current device if
/// there are no arrays.
fn device_of(arrays: &[Array]) -> u32 {
    arrays.first().map_or_else(|| Device::with(0, Device::id), |a| a.0.0.device)
}

fn checks_of(device: u32) -> Result<WantedChecks> {
    Device::with(device, |d| check::of_device(d.backend().checks()))
}

impl Traced {
    /// Plans expressions that read placeholders. Error messages name the operation `op`.
    pub fn new(op: &'static str, placeholders: Vec<Expr>, results: &[&Expr], at: Loc) -> Result<Traced> {
        let device = match common(op, placeholders.iter().chain(results.iter().copied()), at)? {
            0 => device_of(&[]),
            device => device,
        };
        let checks = checks_of(device).map_err(|e| e.or_at(at))?;
        let strong: Vec<Expr> = results.iter().map(|e| strong((*e).clone(), at)).collect();
        // returns the index of the placeholder that `buffer` belongs to, and the distance in elements from the
        // placeholder's first element to `offset`
        let given = |buffer: &Buffer, offset: usize| {
            let first = |p: &Expr| p.0.stored().filter(|s| s.0.same(buffer)).map(|s| s.2);
            let found = placeholders.iter().enumerate().find_map(|(i, p)| Some((i, first(p)?)));
            found.map(|(i, first)| (i, offset as isize - first as isize))
        };
        let (mut roots, mut results) = (vec![], vec![]);
        for e in &strong {
            results.push(match e.0.stored() {
                Some((buffer, _, offset)) => match given(buffer, offset) {
                    Some((i, by)) => ResultSource::Given(i, by, e.clone()),
                    None => ResultSource::Captured(constant(e)?),
                },
                None => {
                    let (root, v) = plan::computed(e);
                    roots.push(root);
                    ResultSource::Computed(roots.len() - 1, v.cloned().map(Box::new))
                }
            });
        }
        let planned = match roots.is_empty() {
            true => None,
            false => Some(Device::with(device, |d| Planned::new(&roots, checks, d, given, at))?),
        };
        Ok(Traced { device, checks, results, planned, placeholders })
    }

    /// Returns whether the plan can run on these arrays: they must have the placeholders' devices, dtypes and layouts,
    /// and the same checks must be on as when the plan was made.
    pub fn fits(&self, arrays: &[Array]) -> Result<bool> {
        let fits = |(p, a): (&Expr, &Array)| {
            let (p, a) = (&*p.0, &*a.0.0);
            p.device == a.device
                && p.dtype == a.dtype
                && p.shape == a.shape
                && mutant!(compiled_for_any_order, true, p.op == a.op)
        };
        let same = self.placeholders.len() == arrays.len() && self.placeholders.iter().zip(arrays).all(fits);
        let is_here = !arrays.is_empty() || self.device == device_of(arrays);
        Ok(same && is_here && self.checks == checks_of(self.device)?)
    }

    /// Runs the plan on arrays. Run 0 draws the same random numbers as evaluating the expressions directly, and each
    /// other run draws different ones.
    pub fn run(&self, arrays: &[Array], run: u64, at: Loc) -> Result<Vec<Array>> {
        let computed = match &self.planned {
            None => Results::new(),
            Some(planned) => Device::with(self.device, |device| planned.run(arrays, run, device, at))?,
        };
        let missing = || Error::with_line(ErrorKind::Internal, "call", "a result is missing", at);
        let (mut results, mut known) = (vec![], HashSet::new());
        for source in &self.results {
            results.push(match source {
                ResultSource::Captured(array) => array.clone(),
                ResultSource::Given(i, by, e) => {
                    let ((buffer, _, offset), layout) = (arrays[*i].stored(), e.0.layout().ok_or_else(missing)?);
                    let layout = Layout { offset: offset.wrapping_add_signed(*by), ..layout };
                    Array::new(buffer.another(), layout, e.0.dtype, at)
                }
                ResultSource::Computed(n, v) => {
                    let array = computed.get(*n).ok_or_else(missing)?.clone();
                    let array = match v {
                        Some(v) => Array(view("view", &array.0, at, |_| Ok(View::clone(v)))),
                        None => array,
                    };
                    apart(array, &mut known)
                }
            });
        }
        Ok(results)
    }
}

impl Planned {
    fn new(
        roots: &[&Expr],
        checks: WantedChecks,
        device: &Device,
        given: impl Fn(&Buffer, usize) -> Option<(usize, isize)>,
        at: Loc,
    ) -> Result<Planned> {
        let checked = if checks.is_none() { None } else { Checked::of(roots, checks, at)? };
        let all: Vec<&Expr> = roots.iter().copied().chain(checked.iter().map(|c| &c.code)).collect();
        let mut walk = plan::Walk::of_traced();
        let plan = plan::plan(&mut walk, &all, None, device.backend().caps())?;
        let input = |(buffer, offset): &(&Buffer, usize)| match given(buffer, *offset) {
            Some((i, by)) => Input::Given(i, mutant!(parts_of_inputs_at_the_first_element, 0, by)),
            None => Input::Captured((*buffer).clone(), *offset),
        };
        let inputs = walk.inputs().iter().map(input).collect();
        let (scalars, lines) = (SmallVec::from_slice(walk.scalars()), walk.lines());
        let (seeds, roots) = (walk.take_seeds(), all.iter().copied().map(PublicCall::of).collect());
        drop((walk, all));
        Ok(Planned { inputs, scalars, lines, seeds, roots, plan, checked })
    }

    fn run(&self, arrays: &[Array], run: u64, device: &Device, at: Loc) -> Result<Results> {
        let mut inputs: SmallVec<[(&Buffer, usize); 8]> = SmallVec::new();
        for input in &self.inputs {
            inputs.push(match input {
                Input::Given(i, by) => {
                    let (buffer, _, offset) = arrays[*i].stored();
                    (buffer, offset.wrapping_add_signed(*by))
                }
                Input::Captured(buffer, offset) => (buffer, *offset),
            });
        }
        let mut scalars = self.scalars.clone();
        self.seeds.advance(&mut scalars, mutant!(same_random_numbers_in_all_calls, 0, run));
        let (scalars, lines) = (&scalars, &self.lines);
        let bindings = Bindings { inputs: &inputs, outputs: &[], scalars, lines, replaces: false };
        let mut results = compute(&self.plan, &|i| self.roots[i], bindings, device, at, false)?;
        if let Some(checked) = &self.checked {
            refuse(checked, results.pop(), at)?;
        }
        Ok(results)
    }
}
