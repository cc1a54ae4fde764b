//! Sequences of operations: arrays are made, viewed, written, read, kept and dropped in any order. They must always
//! equal a model that copies eagerly, and in the end all memory must be freed.

use super::source::Source;
use cupric::{Array, DType, Device, ErrorKind, Expr, SliceItem, eval_many, f16, full};

/// The model of an array: what it must hold. An `f64` represents every value of these dtypes.
#[derive(Clone, Debug)]
struct Model {
    dtype: DType,
    shape: Vec<usize>,
    data: Vec<f64>,
}

const DTYPES: [DType; 6] = [DType::I32, DType::F32, DType::U8, DType::I16, DType::F16, DType::Bool];

/// Rounds to the nearest value of a dtype; integers wrap.
fn kept(v: f64, dtype: DType) -> f64 {
    match dtype {
        DType::Bool => (v != 0.0) as u8 as f64,
        DType::U8 => v as i64 as u8 as f64,
        DType::I16 => v as i64 as i16 as f64,
        DType::I32 => v as i64 as i32 as f64,
        DType::F16 => f16::from_f64(v).to_f64(),
        _ => v as f32 as f64,
    }
}

/// Converts like Rust's `as`.
fn cast(v: f64, from: DType, to: DType) -> f64 {
    match (from.is_float(), to) {
        (true, DType::U8) => v as u8 as f64,
        (true, DType::I16) => v as i16 as f64,
        (true, DType::I32) => v as i32 as f64,
        _ => kept(v, to),
    }
}

/// Whether NumPy's casting rule `same_kind` allows a write.
fn written(from: DType, to: DType) -> bool {
    let rank = |d: DType| match d {
        DType::Bool => 0,
        DType::U8 => 1,
        DType::I16 | DType::I32 => 2,
        _ => 3,
    };
    rank(from) <= rank(to)
}

/// All indices of a shape in C order.
fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    (0..shape.iter().product()).map(|mut flat| {
        let mut index = vec![0; shape.len()];
        for d in (0..shape.len()).rev() {
            index[d] = flat % shape[d];
            flat /= shape[d];
        }
        index
    })
}

fn place(shape: &[usize], index: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |flat, (i, n)| flat * n + i)
}

impl Model {
    fn gather(&self, shape: Vec<usize>, from: impl Fn(&[usize]) -> Vec<usize>) -> Model {
        let data = indices(&shape).map(|i| self.data[place(&self.shape, &from(&i))]).collect();
        Model { dtype: self.dtype, shape, data }
    }

    fn map(&self, dtype: DType, f: impl Fn(f64) -> f64) -> Model {
        Model { dtype, shape: self.shape.clone(), data: self.data.iter().map(|v| f(*v)).collect() }
    }

    fn astype(&self, to: DType) -> Model {
        self.map(to, |v| cast(v, self.dtype, to))
    }

    fn broadcast(&self, to: &[usize]) -> Option<Model> {
        let lead = to.len().checked_sub(self.shape.len())?;
        let fits = self.shape.iter().zip(&to[lead..]).all(|(n, m)| n == m || *n == 1);
        fits.then(|| {
            self.gather(to.to_vec(), |i| {
                self.shape.iter().enumerate().map(|(d, n)| if *n == 1 { 0 } else { i[d + lead] }).collect()
            })
        })
    }

    fn fold(&self, axis: usize, dtype: DType, f: impl Fn(f64, f64) -> f64) -> Model {
        let mut shape = self.shape.clone();
        let n = shape.remove(axis);
        let data = indices(&shape)
            .map(|i| {
                let at = |k| [&i[..axis], &[k], &i[axis..]].concat();
                let first = if n > 0 { self.data[place(&self.shape, &at(0))] } else { 0.0 };
                (1..n).fold(first, |all, k| f(all, self.data[place(&self.shape, &at(k))]))
            })
            .collect();
        Model { dtype, shape, data }
    }
}

/// The minimum, where NaN wins.
fn least(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}
fn largest(a: f64, b: f64) -> f64 {
    -least(-a, -b)
}

/// All arrays and expressions that exist at one moment.
struct World {
    device: Device,
    arrays: Vec<(Array, Model)>,
    /// Unevaluated expressions, with what they must give, whenever that is.
    pending: Vec<(Expr, Model)>,
}

fn elements(x: &Expr) -> cupric::Result<Vec<f64>> {
    Ok(match x.dtype()? {
        DType::Bool => x.to_vec::<bool>()?.into_iter().map(|v| v as u8 as f64).collect(),
        DType::U8 => x.to_vec::<u8>()?.into_iter().map(f64::from).collect(),
        DType::I16 => x.to_vec::<i16>()?.into_iter().map(f64::from).collect(),
        DType::I32 => x.to_vec::<i32>()?.into_iter().map(f64::from).collect(),
        DType::F16 => x.to_vec::<f16>()?.into_iter().map(f64::from).collect(),
        _ => x.to_vec::<f32>()?.into_iter().map(f64::from).collect(),
    })
}

fn agree(x: &Expr, model: &Model) {
    assert_eq!(x.shape().expect("a shape"), model.shape);
    assert_eq!(x.dtype().expect("a dtype"), model.dtype);
    let have = elements(x).unwrap_or_else(|e| panic!("{e}"));
    let same = have.iter().zip(&model.data).all(|(a, b)| a == b || a.is_nan() && b.is_nan());
    assert!(same && have.len() == model.data.len(), "{have:?}, but the host has {model:?}");
}

fn stored(device: &Device, model: &Model) -> Array {
    let shape = &model.shape[..];
    let data = model.data.iter().copied();
    let on_host = match model.dtype {
        DType::Bool => Array::from_vec(data.map(|v| v != 0.0).collect::<Vec<bool>>(), shape),
        DType::U8 => Array::from_vec(data.map(|v| v as u8).collect::<Vec<u8>>(), shape),
        DType::I16 => Array::from_vec(data.map(|v| v as i16).collect::<Vec<i16>>(), shape),
        DType::I32 => Array::from_vec(data.map(|v| v as i32).collect::<Vec<i32>>(), shape),
        DType::F16 => Array::from_vec(data.map(f16::from_f64).collect::<Vec<f16>>(), shape),
        _ => Array::from_vec(data.map(|v| v as f32).collect::<Vec<f32>>(), shape),
    };
    on_host.and_then(|x| x.to_device(device)).unwrap_or_else(|e| panic!("{e}"))
}

fn create(s: &mut Source, device: &Device) -> (Array, Model) {
    let shape: Vec<usize> = match s.below(4) {
        // lengths near the widths of vectors
        0 => vec![s.of(&[1, 3, 15, 16, 17, 31, 33, 64, 65])],
        _ => (0..s.below(4)).map(|_| s.below(5)).collect(),
    };
    let dtype = s.of(&DTYPES);
    let (first, step) = (s.byte() as f64 - 128.0, s.below(7) as f64);
    let data = (0..shape.iter().product()).map(|i| kept(first + step * i as f64, dtype)).collect();
    let model = Model { dtype, shape, data };
    let array = stored(device, &model);
    (array, model)
}

/// A range along an axis: the first index, the step, and the length.
fn range(s: &mut Source, n: usize) -> (usize, isize, usize) {
    if n == 0 {
        return (0, 1, 0);
    }
    let first = s.below(n);
    let step: isize = s.of(&[1, 1, -1, 2, -2, 3]);
    let room = if step > 0 { n - 1 - first } else { first } / step.unsigned_abs() + 1;
    (first, step, s.below(room + 1))
}

fn items(axis: usize, (first, step, count): (usize, isize, usize)) -> Vec<SliceItem> {
    let end = first as isize + step * count as isize;
    let mut all = vec![SliceItem::Range { start: None, end: None, step: 1 }; axis];
    let (start, end) = if count == 0 { (Some(0), Some(0)) } else { (Some(first as isize), (end >= 0).then_some(end)) };
    all.push(SliceItem::Range { start, end, step });
    all
}

fn in_range(axis: usize, (first, step, _): (usize, isize, usize), index: &[usize]) -> Vec<usize> {
    let mut from = index.to_vec();
    from[axis] = (first as isize + step * index[axis] as isize) as usize;
    from
}

/// Takes a random view of an expression.
fn view(s: &mut Source, e: &Expr, m: &Model) -> (Expr, Model) {
    let ndim = m.shape.len();
    match s.below(6) {
        0 => {
            let shape = m.shape.iter().rev().copied().collect();
            (e.t(), m.gather(shape, |i| i.iter().rev().copied().collect()))
        }
        1 => {
            let shape = vec![m.data.len()];
            (e.reshape(&shape[..]), Model { shape, ..m.clone() })
        }
        2 if ndim < 4 && m.data.len() < 200 => {
            let shape = [&[s.below(4)][..], &m.shape].concat();
            (e.broadcast_to(&shape[..]), m.broadcast(&shape).expect("an axis more"))
        }
        3 if ndim > 0 && m.shape[ndim - 1] >= 2 && m.data.len() < 200 => {
            let (last, n) = (ndim - 1, m.shape[ndim - 1]);
            let window = 1 + s.below(n);
            let mut shape = m.shape.clone();
            shape[last] = n - window + 1;
            shape.push(window);
            let model = m.gather(shape, |i| {
                let mut from = i[..=last].to_vec();
                from[last] += i[last + 1];
                from
            });
            (e.sliding_windows(window, -1), model)
        }
        _ if ndim > 0 => {
            let axis = s.below(ndim);
            let r = range(s, m.shape[axis]);
            let mut shape = m.shape.clone();
            shape[axis] = r.2;
            (e.slice(items(axis, r)), m.gather(shape, |i| in_range(axis, r, i)))
        }
        _ => (e.expand_dims(0), Model { shape: vec![1], ..m.clone() }),
    }
}

/// Applies a random computation to an expression.
fn compute(s: &mut Source, e: &Expr, m: &Model, other: (Expr, Model)) -> (Expr, Model) {
    let integer = matches!(m.dtype, DType::I32 | DType::U8 | DType::I16);
    let ndim = m.shape.len();
    match s.below(7) {
        0 if integer => {
            let k = s.below(5) as i64;
            (e * k + 1, m.map(m.dtype, |v| kept(v * k as f64 + 1.0, m.dtype)))
        }
        1 if m.dtype != DType::Bool => (-e, m.map(m.dtype, |v| kept(-v, m.dtype))),
        2 => {
            let to = s.of(&DTYPES);
            (e.astype(to), m.astype(to))
        }
        3 if integer && ndim > 0 => {
            let axis = s.below(ndim);
            // sums of integers are 64-bit, which the model does not have, so we convert to i32
            let sum = m.fold(axis, DType::I32, |a, b| kept(a + b, DType::I32));
            (e.astype(DType::I32).sum(axis as i32).astype(DType::I32), sum)
        }
        4 if ndim > 0 && !m.shape.contains(&0) => {
            let axis = s.below(ndim);
            (e.max(axis as i32), m.fold(axis, m.dtype, largest))
        }
        _ => {
            let (f, n) = other;
            let Some(n) = n.broadcast(&m.shape) else { return (e.clone(), m.clone()) };
            let Some(dtype) = m.dtype.promote(n.dtype) else { return (e.clone(), m.clone()) };
            // without a cast, f16 results may be kept in f32, so their bits are not known
            if dtype == DType::F16 && (m.dtype != dtype || n.dtype != dtype) {
                return (e.clone(), m.clone());
            }
            let (a, b) = (m.astype(dtype), n.astype(dtype));
            let of = |op: &dyn Fn(f64, f64) -> f64| {
                let data = a.data.iter().zip(&b.data).map(|(x, y)| kept(op(*x, *y), dtype)).collect();
                Model { dtype, shape: m.shape.clone(), data }
            };
            match s.below(4) {
                0 => (e.minimum(&f), of(&least)),
                1 => (e.maximum(&f), of(&largest)),
                2 if matches!(dtype, DType::I32 | DType::U8 | DType::I16 | DType::F32) => (e - &f, of(&|x, y| x - y)),
                // a NaN is not equal to itself, so it stays
                _ => (cupric::select(e.equal(e), &f, e), of(&|x, y| if x.is_nan() { x } else { y })),
            }
        }
    }
}

impl World {
    /// Makes something to read: an array or a pending expression, with some views and computations on it.
    fn value(&self, s: &mut Source) -> (Expr, Model) {
        let pick = |s: &mut Source| match s.below(3) {
            0 if !self.pending.is_empty() => self.pending[s.below(self.pending.len())].clone(),
            _ if !self.arrays.is_empty() => {
                let (x, m) = &self.arrays[s.below(self.arrays.len())];
                ((**x).clone(), m.clone())
            }
            _ => (full([2], 7, DType::I32), Model { dtype: DType::I32, shape: vec![2], data: vec![7.0; 2] }),
        };
        let (mut e, mut m) = pick(s);
        for _ in 0..s.below(4) {
            (e, m) = if s.one_in(2) {
                view(s, &e, &m)
            } else {
                let other = pick(s);
                compute(s, &e, &m, other)
            };
        }
        (e, m)
    }

    /// Writes to an array or a part of it. The model says whether the write must succeed.
    fn write(&mut self, s: &mut Source) {
        if self.arrays.is_empty() {
            return;
        }
        let at = s.below(self.arrays.len());
        let before = self.arrays[at].1.clone();
        let part = (!before.shape.is_empty() && s.one_in(2)).then(|| {
            let axis = s.below(before.shape.len());
            (axis, range(s, before.shape[axis]))
        });
        let mut shape = before.shape.clone();
        if let Some((axis, r)) = part {
            shape[axis] = r.2;
        }
        let from = |i: &[usize]| part.map_or(i.to_vec(), |(axis, r)| in_range(axis, r, i));
        let old = before.gather(shape.clone(), from);
        let how = s.below(4);
        let integer = matches!(old.dtype, DType::I32 | DType::U8 | DType::I16);
        let (result, new) = match how {
            0 => {
                let n = s.below(100);
                let (x, _) = &mut self.arrays[at];
                let result = match part {
                    Some((axis, r)) => x.slice_mut(items(axis, r)).fill(n as u8),
                    None => x.fill(n as u8),
                };
                let fits = old.dtype != DType::Bool;
                (result, fits.then(|| old.map(old.dtype, |_| kept(n as f64, old.dtype))))
            }
            1 => {
                // reads the elements that it writes, in reversed order (if the shape stays the same)
                let f = |e: &Expr| {
                    let e = e.flip(..);
                    if integer { e * 3 - 1 } else { e }
                };
                let (x, _) = &mut self.arrays[at];
                let result = match part {
                    Some((axis, r)) => x.slice_mut(items(axis, r)).update(f),
                    None => x.update(f),
                };
                let flipped =
                    old.gather(shape.clone(), |i| i.iter().zip(&shape).map(|(i, n)| n - 1 - i).collect::<Vec<_>>());
                (result, Some(flipped.map(old.dtype, |v| if integer { kept(v * 3.0 - 1.0, old.dtype) } else { v })))
            }
            _ => {
                let (value, m) = self.value(s);
                let new = if written(m.dtype, old.dtype) { m.astype(old.dtype).broadcast(&shape) } else { None };
                let (x, _) = &mut self.arrays[at];
                let result = match part {
                    Some((axis, r)) if how == 2 => x.set(items(axis, r), value),
                    Some((axis, r)) => x.slice_mut(items(axis, r)).assign(value),
                    None => x.assign(value),
                };
                (result, new)
            }
        };
        match (result, new) {
            (Ok(()), Some(new)) => {
                let model = &mut self.arrays[at].1;
                for (i, v) in indices(&shape).zip(&new.data) {
                    let to = place(&model.shape, &from(&i));
                    model.data[to] = *v;
                }
            }
            (Ok(()), None) => panic!("a write of kind {how} to {old:?} should be refused"),
            (Err(e), Some(_)) => panic!("a write of kind {how} to {old:?}: {e}"),
            (Err(e), None) => {
                assert!(matches!(e.kind(), ErrorKind::Shape | ErrorKind::DType | ErrorKind::Argument), "{e}")
            }
        }
    }

    fn step(&mut self, s: &mut Source) {
        match s.below(16) {
            0 | 1 => {
                let made = create(s, &self.device);
                self.arrays.push(made);
            }
            2 | 3 => {
                let value = self.value(s);
                self.pending.push(value);
            }
            4 | 5 => {
                let (e, m) = self.value(s);
                let x = e.eval().unwrap_or_else(|e| panic!("{e}"));
                // generators run on the CPU device without a limit, and arrays of two devices must not mix
                let x = x.to_device(&self.device).unwrap_or_else(|e| panic!("{e}"));
                self.arrays.push((x, m));
            }
            6 if !self.arrays.is_empty() => {
                let other = self.arrays[s.below(self.arrays.len())].clone();
                self.arrays.push(other);
            }
            7 if !self.arrays.is_empty() => drop(self.arrays.swap_remove(s.below(self.arrays.len()))),
            8 if !self.pending.is_empty() => drop(self.pending.swap_remove(s.below(self.pending.len()))),
            9 if !self.arrays.is_empty() => {
                let (x, m) = &self.arrays[s.below(self.arrays.len())];
                agree(x, m);
            }
            10 => {
                let all = eval_many(self.pending.iter().map(|p| &p.0)).unwrap_or_else(|e| panic!("{e}"));
                for (x, (_, m)) in all.iter().zip(&self.pending) {
                    agree(x, m);
                }
            }
            _ => self.write(s),
        }
        // we keep few, because all of them are compared at the end
        self.arrays.truncate(6);
        self.pending.truncate(4);
    }
}

pub fn run(bytes: &[u8]) {
    thread_local! { static DEVICE: Device = Device::cpu().with_memory_limit(16 << 20).expect("a CPU") }
    let device = DEVICE.with(Device::clone);
    let before = device.memory().used;
    let mut world = World { device: device.clone(), arrays: vec![], pending: vec![] };
    let s = &mut Source::new(bytes);
    for _ in 0..24 {
        if s.is_empty() {
            break;
        }
        world.step(s);
    }
    for (x, m) in &world.arrays {
        agree(x, m);
    }
    for (e, m) in &world.pending {
        agree(e, m);
    }
    drop(world);
    assert_eq!(device.memory().used, before, "bytes that nobody holds any more");
}
