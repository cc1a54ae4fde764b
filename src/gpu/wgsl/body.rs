//! The statements of a kernel: offsets, values, stores, and the order in which a kernel kind runs them.

use super::{ERROR_SLOTS, Form, HEADER, How, Variant, access, word};
use crate::dtype::Compute;
use crate::error::{ErrorKind, Fault};
use crate::kernel::{Fold, IndexMode, Kernel, Op, Value};
use crate::ufunc::Ufunc;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::fmt::Write;

pub(super) type Fallible<T> = Result<T, Fault>;

/// Writes a line; a String takes everything.
macro_rules! line {
    ($out:expr, $($arg:tt)*) => { let _ = writeln!($out, $($arg)*); };
}
pub(super) use line;

pub(super) struct Body<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) form: &'a Form,
    pub(super) variant: &'a Variant,
    /// Values that other operations must take as they are.
    guarded: Vec<bool>,
    /// Philox results in scope, by index value and scalars.
    philox: HashMap<(usize, [usize; 3]), usize>,
}

impl<'a> Body<'a> {
    pub fn new(kernel: &'a Kernel, form: &'a Form, variant: &'a Variant) -> Body<'a> {
        Body { kernel, form, variant, guarded: guarded(kernel), philox: HashMap::new() }
    }

    /// The text of value `i`, guarded where other operations take its result.
    pub(super) fn guard(&self, i: usize, text: String) -> String {
        if self.guarded[i] { access::block(self.kernel.values[i].compute(), &text) } else { text }
    }

    /// The column of a store.
    fn store_column(&self, store: usize) -> usize {
        self.kernel.loads.len() + store
    }

    /// The column that a value's own offset is in.
    fn value_column(&self, value: usize) -> Option<usize> {
        match self.kernel.values[value].op {
            Op::Load(n) | Op::Gather { load: n, .. } => Some(n),
            Op::Index { .. } => self.form.indices.iter().find(|x| x.0 == value).map(|x| x.1),
            _ => None,
        }
    }

    /// Whether the column belongs to an index of 64 bits.
    fn is_wide(&self, column: usize) -> bool {
        self.form.indices.iter().any(|(v, c)| *c == column && self.kernel.values[*v].dtype.size() == 8)
    }

    /// The stride in `column` of the table row at vector `at`.
    pub(super) fn stride(at: &str, column: usize) -> String {
        let n = column + 1;
        match n / 4 {
            0 => format!("params[{at}].{}", ["x", "y", "z", "w"][n % 4]),
            q => format!("params[{at} + {q}u].{}", ["x", "y", "z", "w"][n % 4]),
        }
    }

    /// Declares an offset variable for each column, from `start` (a prefix) or from the parameters.
    pub(super) fn declare(&self, out: &mut String, prefix: &str, from: Option<&str>, columns: &[usize]) {
        for &c in columns {
            let start = match from {
                Some(p) => format!("{p}{c}"),
                None if self.is_wide(c) => {
                    format!(
                        "bitcast<i64>(cp_u64({}, {}))",
                        word(self.form.offsets + c),
                        word(self.form.offsets + c + 1)
                    )
                }
                None => word(self.form.offsets + c),
            };
            line!(out, "var {prefix}{c} = {start};");
        }
    }

    /// Adds what the linear `index` over `rank` axes, whose rows start at vector `row`, contributes to each column.
    pub(super) fn decompose(
        &self,
        out: &mut String,
        prefix: &str,
        index: &str,
        rank: &str,
        row: &str,
        columns: &[usize],
    ) {
        if columns.is_empty() {
            return;
        }
        let add = |out: &mut String, i: &str| {
            for &c in columns {
                if self.is_wide(c) {
                    let stride =
                        format!("bitcast<i64>(cp_u64({}, {}))", Self::stride("at", c), Self::stride("at", c + 1));
                    line!(out, "{prefix}{c} = {prefix}{c} + i64({i}) * {stride};");
                } else {
                    line!(out, "{prefix}{c} = {prefix}{c} + {i} * {};", Self::stride("at", c));
                }
            }
        };
        line!(out, "{{ var rest = {index};\nvar at = {row};");
        line!(out, "for (var axis = 1u; axis < {rank}; axis = axis + 1u) {{");
        line!(
            out,
            "let extent = params[at].x;\nlet whole = rest / extent;\nlet i = rest - whole * extent;\nrest = whole;"
        );
        add(out, "i");
        line!(out, "at = at + {}u; }}", self.form.row);
        add(out, "rest");
        line!(out, "}}");
    }

    /// Offsets of all columns at the outer level, as `q…`.
    pub(super) fn outer_offsets(&self, out: &mut String) {
        let columns: Vec<usize> = self.columns(|_| true, |_| true);
        self.declare(out, "q", None, &columns);
        self.decompose(out, "q", "index", "params[0].z", &format!("{}u", self.form.table), &columns);
    }

    /// Offsets of some columns at the inner level, as `o…`.
    pub(super) fn inner_offsets(&self, out: &mut String, index: &str, columns: &[usize]) {
        self.declare(out, "o", Some("q"), columns);
        let row = format!("{}u + params[0].z * {}u", self.form.table, self.form.row);
        self.decompose(out, "o", index, "params[0].w", &row, columns);
    }

    /// The columns of values and stores that pass the tests, without doubles.
    pub(super) fn columns(&self, value: impl Fn(usize) -> bool, store: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut columns: Vec<usize> =
            (0..self.kernel.values.len()).filter(|v| value(*v)).filter_map(|v| self.value_column(v)).collect();
        columns.extend((0..self.kernel.stores.len()).filter(|s| store(*s)).map(|s| self.store_column(s)));
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The two words of run-time scalar `n`.
    fn scalar(&self, n: usize) -> (String, String) {
        let at = HEADER + 2 * self.form.scalars.iter().position(|s| *s == n).unwrap_or(0);
        (word(at), word(at + 1))
    }

    /// A row's text for operands of a compute type.
    pub(super) fn ufunc(row: &Ufunc, compute: Compute, args: &[&str]) -> Fallible<String> {
        let Some(text) = row.wgsl[compute as usize] else {
            let detail = format!("{} of {} on a GPU", row.name, compute.name());
            return Err(Fault::new(ErrorKind::Unsupported, detail));
        };
        let mut text = text.replace("{T}", compute.name());
        for (name, arg) in ["{a}", "{b}", "{c}"].iter().zip(args) {
            text = text.replace(name, arg);
        }
        Ok(text)
    }

    /// The statement of value `i`; its operands are in scope, its offset is in the variable with `prefix`.
    fn value(&mut self, out: &mut String, i: usize) -> Fallible<()> {
        let v = &self.kernel.values[i];
        let prefix = if v.inner { "o" } else { "q" };
        let kind = |a: usize| self.kernel.values[a].compute();
        let text = match &v.op {
            Op::Load(n) => self.load(*n, &format!("{prefix}{n}")),
            Op::Scalar(n) => {
                let (lo, hi) = self.scalar(*n);
                match v.compute() {
                    Compute::Bool => format!("({lo} & 0xffu) != 0u"),
                    Compute::U32 => lo,
                    Compute::I32 | Compute::F32 => format!("bitcast<{}>({lo})", v.compute().name()),
                    Compute::U64 => format!("cp_u64({lo}, {hi})"),
                    c => format!("bitcast<{}>(cp_u64({lo}, {hi}))", c.name()),
                }
            }
            Op::Constant(bits) => access::constant(*bits, v.compute()),
            Op::Index { .. } => {
                let at = format!("{prefix}{}", self.value_column(i).unwrap_or(0));
                match v.compute() {
                    Compute::I32 => format!("bitcast<i32>({at})"),
                    Compute::U64 => format!("bitcast<u64>({at})"),
                    _ => at,
                }
            }
            Op::Ufunc(row, args) => {
                // a compiler would make 0 of x − x and 1 of x / x, also for NaN and ∞
                let is = &row.properties;
                let foldable = v.dtype.is_float() && !is.opaque && !is.simplifies_exactly;
                let values = &self.kernel.values;
                let again = |n: usize| args[..n].iter().any(|a| may_equal(&values[*a], &values[args[n]]));
                let names: SmallVec<[String; 3]> = (args.iter().enumerate())
                    .map(|(n, a)| match mutant!(x_less_x_folded, false, foldable) && again(n) {
                        true => access::block(kind(*a), &format!("v{a}")),
                        false => format!("v{a}"),
                    })
                    .collect();
                let names: SmallVec<[&str; 3]> = names.iter().map(String::as_str).collect();
                let typed = if row.class == crate::ufunc::Class::Select { 1 } else { 0 };
                self.guard(i, Self::ufunc(row, kind(args[typed]), &names)?)
            }
            Op::Cast(a) => access::cast(self.kernel.values[*a].dtype, v.dtype, &format!("v{a}")),
            Op::Round(a) => access::round(v.dtype, &format!("v{a}")),
            Op::Gather { load: n, index, mode, .. } => {
                let ordinal = self.form.gathers.iter().position(|g| *g == i).unwrap_or(0);
                let at = HEADER + 2 * (self.form.scalars.len() + ordinal);
                let (stride, extent) = (word(at), word(at + 1));
                let index_type = kind(*index);
                line!(out, "{}", gather_index(i, ordinal, *index, index_type, *mode, &extent));
                line!(out, "let g{i} = {prefix}{n} + e{i} * {stride};");
                self.load(*n, &format!("g{i}"))
            }
            Op::Philox { index, word, slots } => {
                let known = self.philox.get(&(*index, *slots)).copied();
                let first = match known {
                    Some(first) => first,
                    None => {
                        let name = format!("v{index}");
                        let counter = match kind(*index) {
                            Compute::U32 => name,
                            Compute::I32 => format!("bitcast<u32>({name})"),
                            Compute::I64 => format!("cp_lo64(bitcast<u64>({name}))"),
                            _ => format!("cp_lo64({name})"),
                        };
                        let [lo, hi, stream] = slots.map(|n| self.scalar(n).0);
                        line!(out, "let x{i} = philox(vec4<u32>({counter}, 0u, {stream}, 0u), vec2<u32>({lo}, {hi}));");
                        self.philox.insert((*index, *slots), i);
                        i
                    }
                };
                format!("x{first}.{}", ["x", "y", "z", "w"][*word as usize & 3])
            }
            Op::Reduce(..) | Op::Dot => return Ok(()), // made by the kernel kind
        };
        line!(out, "let v{i}: {} = {text};", access::type_name(v.compute()));
        Ok(())
    }

    /// Values `which`, in a scope of their own.
    pub(super) fn values(&mut self, out: &mut String, which: impl Fn(usize) -> bool) -> Fallible<()> {
        self.philox.clear();
        for i in 0..self.kernel.values.len() {
            if which(i) {
                self.value(out, i)?;
            }
        }
        Ok(())
    }

    pub(super) fn stores(&self, out: &mut String, inner: bool, unit: &str, last: &str) {
        if self.form.checks {
            line!(out, "if ok {{");
        }
        for (n, s) in self.kernel.stores.iter().enumerate() {
            if self.kernel.values[s.value].inner == inner {
                let (slot, how) = self.variant.stores[n];
                let at = format!("{}{}", if inner { "o" } else { "q" }, self.store_column(n));
                let value = format!("v{}", s.value);
                out.push_str(&access::store(
                    n,
                    slot as usize,
                    self.variant.slots[slot as usize],
                    how,
                    s.dtype,
                    &value,
                    &at,
                    unit,
                    last,
                ));
            }
        }
        if self.form.checks {
            line!(out, "}}");
        }
    }

    pub(super) fn declare_ok(&self, out: &mut String) {
        if self.form.checks {
            line!(out, "var ok = true;");
        }
    }

    /// The words that owned stores collect.
    pub fn words(&self) -> String {
        let owned = self.variant.stores.iter().enumerate().filter(|(_, s)| s.1 == How::Owned);
        owned.map(|(n, _)| format!("var w{n} = 0u;\n")).collect()
    }

    /// All of an elementwise kernel.
    pub fn elements(&mut self) -> Fallible<String> {
        let mut out = String::new();
        let spread = self.variant.spread;
        if spread == 1 {
            out.push_str(&self.words());
            line!(out, "for (var unit = 0u; unit < UNITS; unit = unit + 1u) {{\nlet index = first + unit;");
            line!(out, "if index >= count {{ break; }}");
            self.declare_ok(&mut out);
            self.outer_offsets(&mut out);
            self.values(&mut out, |_| true)?;
            self.stores(&mut out, false, "unit", "index + 1u == count");
            line!(out, "}}");
            return Ok(out);
        }
        let columns = self.columns(|_| true, |_| true);
        // neighbours where a word needs one owner, else elements that the workgroup reads in order
        let apart = if self.variant.units > 1 { 1 } else { 256 };
        out.push_str(&self.words());
        for e in 0..spread {
            // past the end the last element is loaded again and not stored
            self.hoist(&mut out, e, "q", false, &columns, |body, out| {
                line!(out, "let index = min(first + {}u, count - 1u);", e * apart);
                body.outer_offsets(out);
            });
        }
        for e in 0..spread {
            line!(out, "if first + {}u < count {{", e * apart);
            self.declare_ok(&mut out);
            self.unhoist(&mut out, e, "q", false, &columns);
            let kernel = self.kernel;
            self.values(&mut out, |i| !is_load(kernel, i))?;
            self.stores(&mut out, false, &format!("{e}u"), &format!("first + {}u == count", e * apart + 1));
            line!(out, "}}");
        }
        Ok(out)
    }

    /// Loads of element `e` of several, all before any is used: declares `l{value}_{e}` and the offsets as `q{column}_{e}`.
    pub(super) fn hoist(
        &self,
        out: &mut String,
        e: u32,
        prefix: &str,
        inner: bool,
        columns: &[usize],
        offsets: impl Fn(&Self, &mut String),
    ) {
        let values = &self.kernel.values;
        for &c in columns {
            line!(out, "var {prefix}{c}_{e}: {};", if self.is_wide(c) { "i64" } else { "u32" });
        }
        let loads = || (0..values.len()).filter(|i| values[*i].inner == inner && is_load(self.kernel, *i));
        for i in loads() {
            line!(out, "var l{i}_{e}: {};", values[i].compute().name());
        }
        line!(out, "{{");
        offsets(self, out);
        for &c in columns {
            line!(out, "{prefix}{c}_{e} = {prefix}{c};");
        }
        for i in loads() {
            if let Op::Load(n) = values[i].op {
                line!(out, "l{i}_{e} = {};", self.load(n, &format!("{prefix}{n}")));
            }
        }
        line!(out, "}}");
    }

    /// Gives the hoisted loads and offsets of element `e` their usual names.
    pub(super) fn unhoist(&self, out: &mut String, e: u32, prefix: &str, inner: bool, columns: &[usize]) {
        for &c in columns {
            line!(out, "let {prefix}{c} = {prefix}{c}_{e};");
        }
        for (i, v) in self.kernel.values.iter().enumerate() {
            if v.inner == inner && is_load(self.kernel, i) {
                line!(out, "let v{i} = l{i}_{e};");
            }
        }
    }

    /// Load `n` at the offset in `at`.
    pub(super) fn load(&self, n: usize, at: &str) -> String {
        let slot = self.variant.loads[n] as usize;
        access::load(slot, self.variant.slots[slot], self.kernel.loads[n].dtype, at)
    }
}

/// Which values are guarded: results of float operations that other values take. A compiler that saw through them would
/// fold `(x + 1) − x` to 1, take `x·y + x·z` together, or round `x·y + z` once. What is only stored needs no guard, nor
/// do operations that choose among their operands: those are made of integers.
fn guarded(kernel: &Kernel) -> Vec<bool> {
    let mut taken = vec![false; kernel.values.len()];
    for v in &kernel.values {
        match &v.op {
            Op::Ufunc(_, args) => args.iter().for_each(|a| taken[*a] = true),
            Op::Cast(a) | Op::Round(a) | Op::Reduce(_, a) => taken[*a] = true,
            Op::Gather { index, .. } | Op::Philox { index, .. } => taken[*index] = true,
            Op::Load(_) | Op::Scalar(_) | Op::Constant(_) | Op::Index { .. } | Op::Dot => {}
        }
    }
    let computes = |v: &Value| match &v.op {
        Op::Ufunc(row, _) | Op::Reduce(Fold { row, .. }, _) => v.dtype.is_float() && !row.properties.opaque,
        Op::Dot => v.dtype.is_float(),
        _ => false,
    };
    kernel.values.iter().zip(taken).map(|(v, taken)| taken && computes(v)).collect()
}

/// Whether two operands may be one value to a compiler, which also sees that `x·y` is `y·x` or `square(x)` is `x·x`.
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

/// Declares `e{i}`, the checked index of gather `i`, the kernel's `ordinal`th, as u32.
fn gather_index(i: usize, ordinal: usize, index: usize, compute: Compute, mode: IndexMode, extent: &str) -> String {
    let x = format!("v{index}");
    let (narrow, unsigned) = match compute {
        Compute::I32 => (format!("bitcast<u32>({x})"), format!("bitcast<u32>({x})")),
        Compute::I64 => (format!("cp_lo64(bitcast<u64>({x}))"), format!("bitcast<u64>({x})")),
        Compute::U64 => (format!("cp_lo64({x})"), x.clone()),
        _ => (x.clone(), x.clone()),
    };
    let wide = matches!(compute, Compute::I64 | Compute::U64);
    let limit = if wide { format!("u64({extent})") } else { extent.to_string() };
    match mode {
        IndexMode::Check => {
            let slot = 4 * ordinal.min(ERROR_SLOTS - 1);
            let planted = mutant!(take_unchecked_on_gpu, "true || ", "");
            let high = match compute {
                Compute::I32 => format!("bitcast<u32>({x} >> 31u)"),
                Compute::I64 | Compute::U64 => format!("cp_hi64({unsigned})"),
                _ => "0u".to_string(),
            };
            format!(
                "let fits{i} = {planted}{unsigned} < {limit};\n\
                 if !fits{i} {{ ok = false; note(params[2].x - {ordinal}u, {slot}u, {narrow}, {high}); }}\n\
                 let e{i} = select(0u, {narrow}, fits{i});"
            )
        }
        IndexMode::Clip => {
            // by the sign bit: Mesa 22.3 gets a widened index compared with 0 wrong
            let below = match compute {
                Compute::I32 => format!("{x} < 0i"),
                Compute::I64 => format!("cp_hi64({unsigned}) >= 0x80000000u"),
                _ => "false".to_string(),
            };
            let top = format!("select({narrow}, {extent} - 1u, {unsigned} >= {limit})");
            format!("let e{i} = select({top}, 0u, {below});")
        }
        IndexMode::Wrap => {
            let t = compute.name();
            let length = match compute {
                Compute::I32 => format!("bitcast<i32>({extent})"),
                Compute::U32 => extent.to_string(),
                _ => format!("{t}({extent})"),
            };
            let wrapped = format!("imod_{t}({x}, {length})");
            let narrow = match compute {
                Compute::I32 => format!("bitcast<u32>({wrapped})"),
                Compute::I64 => format!("cp_lo64(bitcast<u64>({wrapped}))"),
                Compute::U64 => format!("cp_lo64({wrapped})"),
                _ => wrapped,
            };
            format!("let e{i} = {narrow};")
        }
    }
}
