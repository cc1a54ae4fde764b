//! Writes the WGSL statements that compute a kernel's values: one statement for each value, in the order of the
//! kernel's list.

use super::text::{Text, line};
use super::{ERROR_SLOTS, ParamPositions, Variant, access};
use crate::base::dtype::{Compute, DType};
use crate::base::error::{ErrorKind, Fault};
use crate::graph::ufunc::{Ufunc, arithmetic};
use crate::plan::kernel::{IndexMode, Kernel, KernelKind, Op, Passes, Position, Value};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};

pub(super) type Fallible<T> = Result<T, Fault>;

/// Identifies a Philox block (four random words) by three things: the number of the value that holds the index of the
/// random number; `word % 4` of [`Op::Philox`], which selects one of the four blocks with the same index, key and
/// stream; and the scalars that hold the key and the stream.
pub(super) type PhiloxBlock = (usize, u8, [usize; 3]);

/// Writes the functions of one kernel.
pub(super) struct Body<'a> {
    pub kernel: &'a Kernel,
    pub form: &'a ParamPositions,
    pub variant: &'a Variant,
    /// The passes over the inner axes, along which a reduction or a row kernel loops. There are no passes if the kernel
    /// has no inner axes.
    pub passes: &'a Passes,
    /// The name of each column of the table of axes in the parameters, such as `in0`, `out0` or `index3`. A 64-bit
    /// index has two columns; the name of the second is empty.
    pub columns: Vec<String>,
    /// The name of each value in the function that is being written.
    pub names: Vec<String>,
    /// For each value, whether it is guarded: operations that use a guarded value read it through an expression that
    /// hides from compilers how the value was computed.
    guarded: Vec<bool>,
    /// The Philox blocks in scope. Each is named after the value whose statement declared it.
    philox: HashMap<PhiloxBlock, usize>,
}

impl<'a> Body<'a> {
    pub fn new(kernel: &'a Kernel, form: &'a ParamPositions, variant: &'a Variant) -> Body<'a> {
        let mut columns: Vec<String> = (0..kernel.loads.len()).map(|n| format!("in{n}")).collect();
        columns.extend((0..kernel.stores.len()).map(|n| format!("out{n}")));
        columns.resize(form.columns, String::new());
        for (v, column) in &form.indices {
            columns[*column] = format!("index{v}");
        }
        let names = (0..kernel.values.len()).map(|v| format!("v{v}")).collect();
        static NONE: Passes = Passes { after: Vec::new(), list: Vec::new() };
        let passes = kernel.schedule.passes().unwrap_or(&NONE);
        Body { kernel, form, variant, passes, columns, names, guarded: guarded(kernel), philox: HashMap::new() }
    }

    /// Sets the name of each value of the kernel, for the statements that are written from now on.
    pub fn name_values(&mut self, name: impl Fn(usize) -> String) {
        self.names = (0..self.kernel.values.len()).map(name).collect();
    }

    /// Returns `text`, the expression of value `i`. If the value is guarded, hides from compilers how it was computed.
    pub fn guard(&self, i: usize, text: String) -> String {
        if self.guarded[i] { access::block(self.kernel.values[i].compute(), &text) } else { text }
    }

    /// Returns the WGSL expression for a call of the ufunc `row` with the operands `args`, which have the type
    /// `compute`.
    pub fn ufunc(row: &Ufunc, compute: Compute, args: &[&str]) -> Fallible<String> {
        let Some(text) = row.wgsl[compute as usize] else {
            let detail = format!("{} of {} is not supported on a GPU", row.name, compute.name());
            return Err(Fault::new(ErrorKind::Unsupported, detail));
        };
        let mut text = text.replace("{T}", compute.name());
        for (name, arg) in ["{a}", "{b}", "{c}"].iter().zip(args) {
            text = text.replace(name, arg);
        }
        Ok(text)
    }

    /// Writes the statement that computes value `i`. If `owner` is `None`, the statement declares the variable `v{i}`.
    /// Otherwise `owner` is the name of a struct variable, and the statement sets the variable's field `v{i}`. `places`
    /// is the name of a WGSL variable that holds, for each loaded value, the position of its element in its buffer, and
    /// for each index value, the index itself.
    fn value(&mut self, out: &mut Text, i: usize, places: &str, owner: Option<&str>) -> Fallible<()> {
        let kernel = self.kernel;
        let v = &kernel.values[i];
        let text = match &v.op {
            Op::Load(n) => format!("load_in{n}({places}.at_in{n})"),
            Op::Scalar(n) => scalar(&self.scalar(*n), v.compute()),
            Op::Constant(bits) => access::constant(*bits, v.compute()),
            Op::Index { .. } => {
                let at = format!("{places}.at_index{i}");
                match v.compute() {
                    Compute::I32 => format!("bitcast<i32>({at})"),
                    Compute::U64 => format!("i64_to_u64({at})"),
                    Compute::Bool | Compute::U32 | Compute::I64 | Compute::F32 | Compute::F64 => at,
                }
            }
            Op::Ufunc(row, args) => self.call(i, row, args)?,
            Op::Cast(a) => self.guard(i, access::cast(kernel.values[*a].dtype, v.dtype, &self.names[*a])),
            Op::Round(a) => access::round(v.dtype, &self.names[*a]),
            Op::Gather { load: n, position, .. } => {
                self.position(out, i, position);
                line!(out, "let at{i} = {places}.at_in{n} + position{i} * params.gather{i}_stride;");
                format!("load_in{n}(at{i})")
            }
            Op::Position(position) => {
                self.position(out, i, position);
                format!("bitcast<i32>(position{i})")
            }
            Op::Philox { index, word, slots } => {
                let (counter, block) = self.philox_block(out, i, *index, *word % 4, *slots);
                match *word / 4 {
                    0 => format!("philox_word(random{block}, {counter})"),
                    1 => format!("philox_word(random{block}, {counter} & ~1u)"),
                    _ => format!("(philox_word(random{block}, {counter} | 1u) + (({counter} & 1u) << 30u))"),
                }
            }
            Op::Reduce(..) | Op::Scan(..) | Op::Dot { .. } => return Ok(()), // other functions write these statements
        };
        match owner {
            Some(owner) => line!(out, "{owner}.v{i} = {text};"),
            None => line!(out, "let v{i}: {} = {text};", v.compute().name()),
        }
        Ok(())
    }

    /// Returns the name of the parameter that holds scalar `n` of the plan. The name has the scalar's position in this
    /// kernel, so that kernels have the same source if they differ only in how their plans number the scalars.
    fn scalar(&self, n: usize) -> String {
        format!("params.scalar{}", self.form.scalars.iter().position(|s| *s == n).unwrap_or(0))
    }

    /// Writes the declaration of the variable `position{i}`: the index that value `i` (a gather or a position) uses
    /// along its axis, brought into range.
    fn position(&self, out: &mut Text, i: usize, position: &Position) {
        let ordinal = self.form.gathers.iter().position(|g| *g == i).unwrap_or(0);
        let index = (self.names[position.index].as_str(), self.kernel.values[position.index].compute());
        gather_position(out, i, ordinal, index, position.mode);
    }

    /// Returns the expression of value `i`, which calls a function of the table of ufuncs.
    fn call(&self, i: usize, row: &Ufunc, args: &[usize]) -> Fallible<String> {
        let values = &self.kernel.values;
        let kind = |a: usize| values[a].compute();
        // a compiler would fold x − x to 0 and x / x to 1, also for NaN and ∞, so an operand that occurs again is
        // hidden from the compiler
        let is = &row.properties;
        let foldable = values[i].dtype.is_float() && !is.opaque && !is.simplifies_exactly;
        let again = |n: usize| args[..n].iter().any(|a| may_equal(&values[*a], &values[args[n]]));
        let names: SmallVec<[String; 3]> = (args.iter().enumerate())
            .map(|(n, a)| match mutant!(x_less_x_folded, false, foldable) && again(n) {
                true => access::block(kind(*a), &self.names[*a]),
                false => self.names[*a].clone(),
            })
            .collect();
        let names: SmallVec<[&str; 3]> = names.iter().map(String::as_str).collect();
        let by = row.typed_operand(args).map_or(values[i].compute(), |a| kind(*a));
        let text = match self.divisor(i) {
            Some(divisor) => format!("cp_quotient({}, divisor_v{divisor})", names[0]),
            None => Self::ufunc(row, by, &names)?,
        };
        Ok(self.guard(i, text))
    }

    /// Returns the value that divides value `i` of an element, if a row kernel has it once for the whole row. What a
    /// quotient needs of such a divisor, the variable `divisor_v…`, is computed once in a pass.
    pub fn divisor(&self, i: usize) -> Option<usize> {
        let values = &self.kernel.values;
        let Op::Ufunc(row, args) = &values[i].op else { return None };
        let by = *args.get(1)?;
        let is_once = self.kernel.kind == KernelKind::Row && values[i].inner && !values[by].inner;
        (is_once && std::ptr::eq(*row, &arithmetic::divide) && values[by].compute() == Compute::F32).then_some(by)
    }

    /// Declares the four random words of a Philox block as the variable `random{i}`, unless an earlier value in scope
    /// has declared the same block. Returns the expression of the index, and the number of the value that declared the
    /// block. If an invocation computes one block for its four elements, nothing is declared, because the function that
    /// computes an element gets the blocks and the element's number `n` as arguments.
    fn philox_block(
        &mut self,
        out: &mut Text,
        i: usize,
        index: usize,
        number: u8,
        slots: [usize; 3],
    ) -> (String, usize) {
        if self.variant.draws_blocks {
            let key = (index, number, slots);
            return ("n".to_string(), self.philox_blocks().get(&key).copied().unwrap_or(i));
        }
        let counter = self.counter(index, &self.names[index]);
        if let Some(known) = self.philox.get(&(index, number, slots)) {
            return (counter, *known);
        }
        line!(out, "let random{i} = {};", self.philox(&counter, number, slots));
        self.philox.insert((index, number, slots), i);
        (counter, i)
    }

    /// Returns the expression for a Philox block: the four random words for the four indices with the same `index / 4`
    /// as `counter`.
    fn philox(&self, counter: &str, number: u8, slots: [usize; 3]) -> String {
        let [lo, hi, stream] = slots.map(|n| self.scalar(n));
        format!("philox(vec4<u32>({counter} >> 2u, 0u, {stream}, {number}u), vec2<u32>({lo}, {hi}))")
    }

    /// Returns the expression that converts the value `index`, whose name is `name`, to u32.
    fn counter(&self, index: usize, name: &str) -> String {
        let compute = self.kernel.values[index].compute();
        match compute {
            Compute::U32 => name.to_string(),
            Compute::I32 => format!("bitcast<u32>({name})"),
            Compute::I64 | Compute::U64 => format!("low_{}({name})", compute.name()),
            Compute::Bool | Compute::F32 | Compute::F64 => format!("u32({name})"),
        }
    }

    /// Returns the Philox blocks of the kernel, each with the number of the first value that uses it.
    pub fn philox_blocks(&self) -> BTreeMap<PhiloxBlock, usize> {
        let mut blocks = BTreeMap::new();
        for (i, v) in self.kernel.values.iter().enumerate() {
            if let Op::Philox { index, word, slots } = v.op {
                blocks.entry((index, word % 4, slots)).or_insert(i);
            }
        }
        blocks
    }

    /// Declares the kernel's Philox blocks for four neighbouring elements. `first` is the name of the variable that
    /// holds the first element. Returns the names of the blocks, as further arguments of a call.
    pub fn draw_blocks(&self, out: &mut Text, first: &str) -> String {
        let mut names = String::new();
        for ((index, number, slots), i) in self.philox_blocks() {
            let at = format!("{first}.at_index{index}");
            // an index is held in the type of its column, which is i64 if the index has 64 bits
            let at = if self.kernel.values[index].dtype.size() == 8 { format!("low_i64({at})") } else { at };
            line!(out, "let random{i} = {};", self.philox(&at, number, slots));
            names += &format!(", random{i}");
        }
        names
    }

    /// Writes the statements that compute the values for which `which` returns true. `places` and `owner` are as in
    /// [`Body::value`]. No Philox block may be declared yet in the WGSL scope of these statements.
    pub fn values(
        &mut self,
        out: &mut Text,
        places: &str,
        owner: Option<&str>,
        which: impl Fn(usize) -> bool,
    ) -> Fallible<()> {
        self.philox.clear();
        (0..self.kernel.values.len()).filter(|i| which(*i)).try_for_each(|i| self.value(out, i, places, owner))
    }
}

/// Returns the expression for a run-time scalar of a compute type, from its two words in the parameters.
fn scalar(lo: &str, compute: Compute) -> String {
    let hi = format!("{lo}_high");
    match compute {
        Compute::Bool => format!("({lo} & 0xffu) != 0u"),
        Compute::U32 => lo.to_string(),
        Compute::I32 | Compute::F32 => format!("bitcast<{}>({lo})", compute.name()),
        Compute::U64 | Compute::I64 => format!("make_{}({lo}, {hi})", compute.name()),
        Compute::F64 => format!("bitcast<f64>(make_u64({lo}, {hi}))"),
    }
}

/// Returns for each value whether it is guarded, that is, hidden from compilers. A value is guarded if it is the result
/// of a float operation that another value uses. A compiler that knew the operation would fold `(x + 1) − x` to 1,
/// rewrite `x·y + x·z` as `x·(y + z)`, or round `x·y + z` once. A value that is only stored needs no guard. A value that
/// is only rounded to f16 or bf16 needs none, because the functions that round hide their operand or work on its bits.
/// The results of opaque functions need none either, because these functions work on bits or select an operand.
fn guarded(kernel: &Kernel) -> Vec<bool> {
    let mut taken = vec![false; kernel.values.len()];
    let rounds = |v: &Value| matches!(v.op, Op::Round(_)) && matches!(v.dtype, DType::F16 | DType::BF16);
    for v in kernel.values.iter().filter(|v| !rounds(v)) {
        v.op.operands().iter().for_each(|a| taken[*a] = true);
    }
    let computes = |v: &Value| match &v.op {
        Op::Ufunc(row, _) => v.dtype.is_float() && !row.properties.opaque,
        Op::Reduce(r) | Op::Scan(r) => {
            v.dtype.is_float() && !r.fold.functions(r.element).iter().all(|(row, _)| row.properties.opaque)
        }
        Op::Dot { .. } => v.dtype.is_float(),
        // a compiler that knows `x < x` to be false replaces its cast to float by 0, and a product with it by +0,
        // although the other factor may be negative, NaN or ∞
        Op::Cast(a) => {
            let from = &kernel.values[*a];
            v.dtype.is_float() && !from.dtype.is_float() && !matches!(from.op, Op::Load(_) | Op::Scalar(_))
        }
        Op::Load(_)
        | Op::Scalar(_)
        | Op::Constant(_)
        | Op::Index { .. }
        | Op::Round(_)
        | Op::Gather { .. }
        | Op::Position(_)
        | Op::Philox { .. } => false,
    };
    kernel.values.iter().zip(taken).map(|(v, taken)| taken && computes(v)).collect()
}

/// Returns whether a compiler may find that two operands are the same value. A compiler also sees that `x·y` is `y·x`
/// or `square(x)` is `x·x`.
fn may_equal(a: &Value, b: &Value) -> bool {
    match (&a.op, &b.op) {
        (Op::Load(m), Op::Load(n)) => m == n,
        (Op::Load(_), Op::Scalar(_)) | (Op::Scalar(_), Op::Load(_)) => false,
        _ => true,
    }
}

pub(super) fn is_load(kernel: &Kernel, value: usize) -> bool {
    matches!(kernel.values[value].op, Op::Load(_))
}

/// Declares `position{i}` as u32: the index `x` of gather or position `i`, brought into range according to `mode`.
/// `ordinal` is the number of the value among the kernel's gathers and positions, which selects its error id and its
/// error note.
fn gather_position(out: &mut Text, i: usize, ordinal: usize, (x, compute): (&str, Compute), mode: IndexMode) {
    let extent = &format!("params.gather{i}_extent");
    let (narrow, unsigned) = match compute {
        Compute::I32 => (format!("bitcast<u32>({x})"), format!("bitcast<u32>({x})")),
        Compute::I64 => (format!("low_i64({x})"), format!("i64_to_u64({x})")),
        Compute::U64 => (format!("low_u64({x})"), x.to_string()),
        Compute::Bool | Compute::U32 | Compute::F32 | Compute::F64 => (x.to_string(), x.to_string()),
    };
    let wide = matches!(compute, Compute::I64 | Compute::U64);
    let fits =
        if wide { format!("lt_u64({unsigned}, u32_to_u64({extent}))") } else { format!("{unsigned} < {extent}") };
    match mode {
        IndexMode::Check | IndexMode::CheckFromStart => {
            let slot = 4 * ordinal.min(ERROR_SLOTS - 1);
            let planted = mutant!(take_unchecked_on_gpu, "true || ", "");
            let high = match compute {
                Compute::I32 => format!("bitcast<u32>({x} >> 31u)"),
                Compute::I64 | Compute::U64 => format!("high_u64({unsigned})"),
                Compute::Bool | Compute::U32 | Compute::F32 | Compute::F64 => "0u".to_string(),
            };
            line!(out, "let fits{i} = {planted}{fits};\nif !fits{i} {{\nindices_fit = false;");
            line!(out, "note(params.header.error_id - {ordinal}u, {slot}u, {narrow}, {high});\n}}");
            line!(out, "let position{i} = select(0u, {narrow}, fits{i});");
        }
        IndexMode::Clip => {
            let below = match compute {
                Compute::I32 => format!("{x} < 0i"),
                Compute::I64 => format!("cp_minus64({x})"),
                Compute::Bool | Compute::U32 | Compute::U64 | Compute::F32 | Compute::F64 => "false".to_string(),
            };
            let top = format!("select({extent} - 1u, {narrow}, {fits})");
            line!(out, "let position{i} = select({top}, 0u, {below});");
        }
        IndexMode::Wrap => {
            let t = compute.name();
            let length = match compute {
                Compute::I32 => format!("bitcast<i32>({extent})"),
                Compute::U32 => extent.to_string(),
                Compute::I64 | Compute::U64 => format!("u32_to_{t}({extent})"),
                Compute::Bool | Compute::F32 | Compute::F64 => format!("{t}({extent})"),
            };
            let wrapped = format!("imod_{t}({x}, {length})");
            let narrow = match compute {
                Compute::I32 => format!("bitcast<u32>({wrapped})"),
                Compute::I64 | Compute::U64 => format!("low_{t}({wrapped})"),
                Compute::Bool | Compute::U32 | Compute::F32 | Compute::F64 => wrapped,
            };
            line!(out, "let position{i} = {narrow};");
        }
    }
}
