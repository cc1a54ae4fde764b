//! Interprets reductions, scans and matrix products, with bounds on their rounding errors.

use super::*;

impl Interpreter {
    pub(super) fn reduce(&self, fold: Fold, axes: &[usize], n: &Node, x: &Interpreted) -> ElementList {
        let groups = groups(&x.shape, axes);
        let integers =
            |f: &dyn Fn(&[usize]) -> Option<i128>| ElementList::Integers(groups.iter().map(|g| f(g)).collect());
        let row = match fold.form {
            Form::Function(row) => row,
            Form::FirstOf(row) => {
                let largest = row.reduce.and_then(|r| r.picks) == Some(Extreme::Largest);
                return integers(&|g| position(&x.elements, g, if largest { -1 } else { 1 }));
            }
            Form::SumOf { gives, .. } => {
                let v = x.elements.floats();
                let one = |g: &Vec<usize>| {
                    let list: Vec<BoundedReal> = g.iter().map(|i| v[*i]).collect();
                    self.squares(n.dtype, &list, gives, fold)
                };
                return ElementList::Floats(groups.iter().map(one).collect());
            }
            // the interpreter does not evaluate formulas, and has no bounds on their errors; other tests cover folds by
            // formulas
            Form::Formulas if n.dtype.is_float() => {
                return ElementList::Floats(vec![BoundedReal::unknown(); groups.len()]);
            }
            Form::Formulas => return integers(&|_| None),
        };
        if !n.dtype.is_float() {
            let v = x.elements.integers();
            return integers(&|g| {
                let all = g.iter().map(|i| v[*i]);
                all.reduce(|a, b| element::integer(row, n.dtype, n.dtype, &[a, b])).flatten()
            });
        }
        let v = x.elements.floats();
        let bound = element::bound(row, n.dtype, self.rules);
        let one = |g: &Vec<usize>| {
            let list: Vec<BoundedReal> = g.iter().map(|i| v[*i]).collect();
            match row.name {
                "add" => self.sum(n.dtype, &list),
                "multiply" => self.product(n.dtype, &list),
                _ => list
                    .into_iter()
                    .reduce(|a, b| element::float(row, bound, n.dtype, self.rules, &[a, b]))
                    .unwrap_or(BoundedReal::unknown()),
            }
        };
        ElementList::Floats(groups.iter().map(one).collect())
    }

    /// Interprets a scan. Each result combines all elements along an axis up to and including its own position.
    pub(super) fn scan(&self, fold: Fold, axis: usize, n: &Node, x: &Interpreted) -> ElementList {
        let groups = groups(&x.shape, &[axis]);
        // a group holds the indices of one line along the axis; the results are written at the same indices, so they
        // are in C order
        let size = x.shape.iter().product::<usize>();
        if !n.dtype.is_float() {
            let (v, mut out) = (x.elements.integers(), vec![None; size]);
            for group in &groups {
                let mut so_far = None;
                for (k, i) in group.iter().enumerate() {
                    so_far = match k {
                        0 => v[*i],
                        _ => fold.function().and_then(|f| element::integer(f, n.dtype, n.dtype, &[so_far, v[*i]])),
                    };
                    out[*i] = so_far;
                }
            }
            return ElementList::Integers(out);
        }
        let (v, mut out) = (x.elements.floats(), vec![BoundedReal::unknown(); size]);
        for group in &groups {
            let list: Vec<BoundedReal> = group.iter().map(|i| v[*i]).collect();
            let results: Vec<BoundedReal> = match fold.function() {
                Some(row) if row.name == "multiply" => {
                    (1..=list.len()).map(|end| self.product(n.dtype, &list[..end])).collect()
                }
                Some(row) if row.name != "add" => {
                    let bound = element::bound(row, n.dtype, self.rules);
                    let next = |so_far: &mut Option<BoundedReal>, x: &BoundedReal| {
                        let both = |before| element::float(row, bound, n.dtype, self.rules, &[before, *x]);
                        *so_far = Some(so_far.map_or(*x, both));
                        *so_far
                    };
                    list.iter().scan(None, next).collect()
                }
                _ => {
                    let next = |so_far: &mut Sum, x: &BoundedReal| {
                        so_far.add(*x);
                        Some(self.total(wide(n.dtype), so_far, so_far.tree()))
                    };
                    list.iter().scan(Sum::default(), next).collect()
                }
            };
            group.iter().zip(results).for_each(|(i, result)| out[*i] = result);
        }
        ElementList::Floats(out)
    }

    /// Returns a sum with an error bound. The order of the additions is unknown, except that at most 16 elements are
    /// added one after another, and the rest pairwise.
    fn sum(&self, dtype: DType, list: &[BoundedReal]) -> BoundedReal {
        let sum = Sum::of(list);
        self.total(wide(dtype), &sum, sum.tree())
    }

    /// Returns what the fold [`ufunc::squares`] of f32 or f64 gives.
    ///
    /// [`ufunc::squares`]: crate::graph::ufunc::squares
    fn squares(&self, dtype: DType, list: &[BoundedReal], gives: OfSquares, fold: Fold) -> BoundedReal {
        let largest = list.iter().map(|x| x.value.abs()).fold(0.0, f64::max);
        // a GPU may replace subnormal numbers by 0
        if self.rules.gpu && largest < number::smallest_normal(dtype) && largest > 0.0 {
            return BoundedReal::unknown();
        }
        if list.iter().any(|x| x.is_unknown() || !x.value.is_finite()) || largest == 0.0 {
            let is_zero = list.iter().all(|x| x.value == 0.0 && x.error == 0.0)
                && matches!(gives, OfSquares::Root | OfSquares::Sum);
            return if is_zero { BoundedReal::exact(0.0) } else { BoundedReal::unknown() };
        }
        // the norm, from elements that are divided by a power of two near the largest one
        let scale = 2f64.powi(largest.log2().floor().clamp(-1000.0, 1000.0) as i32);
        let sum: f64 = list.iter().map(|x| (x.value / scale).powi(2)).sum();
        let error: f64 = list.iter().map(|x| x.error).sum();
        let unit = if dtype == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
        let steps = (list.len() as f64).log2().ceil() + 20.0;
        let norm = sum.sqrt() * scale;
        let relative = steps * unit + error / norm + list.len() as f64 * 2f64.powi(-50);
        let [large, small] = scales(dtype).factors;
        let [low, high] = fold.bounds().unwrap_or_default().map(f64::sqrt);
        let near = |bound: f64| (norm / bound - 1.0).abs() <= 2.0 * relative;
        let factor = if norm > high {
            large
        } else if norm < low {
            small
        } else {
            1.0
        };
        let value = match gives {
            OfSquares::Root => norm,
            // near a bound, either result is right; small squares that are not scaled may underflow
            _ if near(low) || near(high) || norm < scales(dtype).bounds[0].sqrt() && low == 0.0 => {
                return BoundedReal::unknown();
            }
            OfSquares::Scale => return BoundedReal::exact(factor),
            OfSquares::Inverse => return BoundedReal::exact(1.0 / factor),
            OfSquares::Sum => (norm * factor) * (norm * factor),
        };
        let tiny = if gives == OfSquares::Root { number::spacing(dtype, 0.0) } else { 0.0 };
        match relative < 0.1 && value.abs() < number::largest(dtype) / 2.0 {
            true => BoundedReal { value, error: 2.0 * relative * value.abs() + tiny },
            false => BoundedReal::unknown(),
        }
    }

    /// Returns a sum with an error bound, if each element takes part in at most `steps` additions, and each addition
    /// has a relative error of at most one unit roundoff.
    fn total(&self, dtype: DType, all: &Sum, steps: f64) -> BoundedReal {
        let (sum, size, error) = (all.sum, all.size, all.error);
        if error == f64::INFINITY {
            return BoundedReal::unknown();
        }
        if !sum.is_finite() {
            // if the sum is infinite or NaN, it is so in any order of additions, unless a sum of finite elements
            // overflows first. The factor of a half leaves a margin for rounding
            let sure = all.finite < number::largest(dtype) / 2.0;
            return if sure { BoundedReal::exact(sum) } else { BoundedReal::unknown() };
        }
        if size + error > number::largest(dtype) / 2.0 {
            return BoundedReal::unknown();
        }
        let unit = if dtype == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
        // a sum of multiples of a power of two is exact if the type represents every multiple up to the sum of the
        // magnitudes
        let tiny = if self.rules.gpu { number::smallest_normal(dtype) } else { number::spacing(dtype, 0.0) };
        if error == 0.0 && (size == 0.0 || all.grain >= tiny && size <= all.grain / unit) {
            return BoundedReal::exact(sum);
        }
        // each product of a matmul may underflow, and then its error is up to the smallest subnormal number (on a GPU,
        // the smallest normal number)
        let tiny = all.count as f64 * tiny;
        let reference = all.count as f64 * 2f64.powi(-53) * size;
        BoundedReal { value: sum, error: error + steps * unit * (size + error) + tiny + reference }
    }

    fn product(&self, dtype: DType, list: &[BoundedReal]) -> BoundedReal {
        let dtype = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let mut p = BoundedReal::exact(1.0);
        let (mut large, mut small) = (1f64, 1f64);
        for x in list {
            let error = p.value.abs() * x.error + x.value.abs() * p.error + x.error * p.error;
            p = BoundedReal { value: p.value * x.value, error };
            large *= x.value.abs().max(1.0);
            small *= if x.value == 0.0 { 1.0 } else { x.value.abs().min(1.0) };
        }
        let extreme = large > number::largest(dtype) || small < number::smallest_normal(dtype);
        if p.error.is_nan() || list.iter().any(|x| x.is_unknown()) || extreme {
            let sure = list.iter().any(|x| x.value.is_nan()) && list.iter().all(|x| x.error == 0.0);
            return if sure { BoundedReal::exact(f64::NAN) } else { BoundedReal::unknown() };
        }
        if p.value == 0.0 && p.error == 0.0 {
            return p;
        }
        let unit = if dtype == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
        let g = if self.rules.gpu { 2.0 } else { 1.0 };
        let tiny = if self.rules.gpu { number::smallest_normal(dtype) } else { 0.0 };
        BoundedReal { error: p.error + g * (list.len() as f64 + 16.0) * unit * (p.value.abs() + p.error) + tiny, ..p }
    }

    pub(super) fn matmul(&self, n: &Node, a: &Interpreted, b: &Interpreted) -> ElementList {
        let nd = n.shape.len();
        let (rows, columns, k) = (n.shape[nd - 2], n.shape[nd - 1], a.shape[a.shape.len() - 1]);
        let batch = &n.shape[..nd - 2];
        let left = broadcast_places(&a.shape[..a.shape.len() - 2], batch);
        let right = broadcast_places(&b.shape[..b.shape.len() - 2], batch);
        let at = |i: usize, l: usize| {
            let (m, row, column) = (i / (rows * columns), i / columns % rows, i % columns);
            (left[m] * rows * k + row * k + l, right[m] * k * columns + l * columns + column)
        };
        let size: usize = n.shape.iter().product();
        if !n.dtype.is_float() {
            let (x, y) = (a.elements.integers(), b.elements.integers());
            let one = |i: usize| {
                (0..k).try_fold(0i128, |s, l| {
                    let (p, q) = at(i, l);
                    Some(number::wrap(n.dtype, s + x[p]?.wrapping_mul(y[q]?)))
                })
            };
            return ElementList::Integers((0..size).map(one).collect());
        }
        let (x, y) = (a.elements.floats(), b.elements.floats());
        let dtype = if n.dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let one = |i: usize| {
            let products: Vec<BoundedReal> = (0..k)
                .map(|l| {
                    let (p, q) = at(i, l);
                    let (p, q) = (x[p], y[q]);
                    if p.is_unknown() || q.is_unknown() {
                        return BoundedReal::unknown();
                    }
                    let value = p.value * q.value;
                    let mut error = 0.0;
                    if p.error + q.error > 0.0 {
                        error = p.value.abs() * q.error + q.value.abs() * p.error + p.error * q.error;
                    }
                    // the product of two f32 is exact in f64, but the product of two f64 is not. `mul_add` detects
                    // whether this product was rounded
                    if dtype == DType::F64 && value.is_finite() && p.value.mul_add(q.value, -value) != 0.0 {
                        error += number::spacing(dtype, value);
                    }
                    BoundedReal { value, error }
                })
                .collect();
            // a sum of zeros may start from its first element or from +0, so the result may be −0 unless all products
            // are +0
            if products.iter().all(|p| p.value == 0.0 && p.error == 0.0) {
                let sure = products.iter().all(|p| p.value.is_sign_positive());
                return BoundedReal { value: 0.0, error: if sure { 0.0 } else { number::spacing(dtype, 0.0) } };
            }
            self.total(dtype, &Sum::of(&products), k as f64 / 2.0 + 16.0)
        };
        ElementList::Floats((0..size).map(one).collect())
    }
}

/// Returns the type in which floats are summed.
fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The quantities from which the error bound of a sum is computed.
struct Sum {
    count: usize,
    sum: f64,
    /// The sum of the elements' magnitudes.
    size: f64,
    /// The sum of the magnitudes of finite elements.
    finite: f64,
    /// The sum of the elements' own errors.
    error: f64,
    /// The largest power of two of which all elements are multiples. Infinity if all elements are 0 or not finite.
    grain: f64,
}

impl Default for Sum {
    fn default() -> Sum {
        // −0 is the neutral element of addition: +0 would turn a sum of −0 into +0
        Sum { count: 0, sum: -0.0, size: 0.0, finite: 0.0, error: 0.0, grain: f64::INFINITY }
    }
}

impl Sum {
    fn of(list: &[BoundedReal]) -> Sum {
        let mut sum = Sum::default();
        list.iter().for_each(|x| sum.add(*x));
        sum
    }

    fn add(&mut self, x: BoundedReal) {
        let size = x.value.abs();
        (self.count, self.sum, self.size, self.error) =
            (self.count + 1, self.sum + x.value, self.size + size, self.error + x.error);
        self.finite += if size.is_finite() { size } else { 0.0 };
        self.grain = if x.value == 0.0 { self.grain } else { self.grain.min(grain(x.value)) };
    }

    /// Returns the maximum number of additions that an element takes part in, if up to 16 elements are added one after
    /// another, and the rest pairwise.
    fn tree(&self) -> f64 {
        (self.count.max(1) as f64).log2().ceil() + 16.0
    }
}

/// Returns the largest power of two that divides a number.
fn grain(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::INFINITY;
    }
    let zeros = (x.to_bits() | 1 << 52).trailing_zeros().min(52) as i32;
    number::spacing(DType::F64, x) * 2f64.powi(zeros)
}

/// Returns the position of the first NaN, or else of the first smallest element (with sign −1, of the first largest
/// element). Returns `None` if the position depends on rounding errors.
fn position(elements: &ElementList, group: &[usize], sign: i128) -> Option<i128> {
    match elements {
        ElementList::Integers(v) => {
            let all: Option<Vec<i128>> = group.iter().map(|i| v[*i].map(|x| sign * x)).collect();
            (0i128..).zip(all?).min_by_key(|(_, x)| *x).map(|(k, _)| k)
        }
        ElementList::Floats(v) => {
            let of = |i: &usize| BoundedReal { value: sign as f64 * v[*i].value, error: v[*i].error };
            let all: Vec<BoundedReal> = group.iter().map(of).collect();
            if all.iter().any(|x| x.is_unknown()) {
                return None;
            }
            if let Some(k) = all.iter().position(|x| x.value.is_nan()) {
                return Some(k as i128);
            }
            let best = (1..all.len()).fold(0, |b, k| if all[k].value < all[b].value { k } else { b });
            let sure = all
                .iter()
                .enumerate()
                .all(|(k, x)| k == best || x.low() > all[best].high() || x.error == 0.0 && all[best].error == 0.0);
            sure.then_some(best as i128)
        }
    }
}
