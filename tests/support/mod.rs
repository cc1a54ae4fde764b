//! What the semantic tests share: a device for every test, a host array to compare with, and comparisons that say
//! where they failed.
#![allow(dead_code)]

pub mod stage;

use cupric::{Array, DType, Device, Element, Expr};
use std::fmt::Debug;
use std::io::Write;
use std::sync::Once;

/// Makes `cpu::name` and, where the crate has its GPU, `gpu::name` of each function over a device.
#[macro_export]
macro_rules! on_devices {
    ($(fn $name:ident($d:ident: &Device) $body:block)*) => {
        mod bodies {
            use super::*;
            $( pub fn $name($d: &Device) $body )*
        }
        mod cpu {
            $( #[test] fn $name() { super::bodies::$name(&cupric::Device::cpu()) } )*
        }
        #[cfg(feature = "gpu")]
        mod gpu {
            const COUNT: usize = [$(stringify!($name)),*].len();
            $( #[test] fn $name() {
                if let Some(d) = $crate::support::gpu(COUNT) {
                    super::bodies::$name(&d)
                }
            } )*
        }
    };
}

/// The GPU, or a line on the real standard error that says how many tests it would have run.
pub fn gpu(tests: usize) -> Option<Device> {
    static SAID: Once = Once::new();
    match Device::gpu() {
        Ok(d) => Some(d),
        Err(e) if std::env::var_os("CUPRIC_REQUIRE_GPU").is_some_and(|v| v == "1") => {
            panic!("CUPRIC_REQUIRE_GPU=1, but {e}")
        }
        Err(_) => {
            // not through eprintln!, which the test harness captures
            SAID.call_once(|| {
                let _ = writeln!(std::io::stderr(), "gpu tests left out: {tests} (no Vulkan driver)");
            });
            None
        }
    }
}

/// How many of `n` random trials to run: `CUPRIC_TENTH=1` asks for a tenth of them, where each one is slow (sanitizers).
pub fn scaled(n: usize) -> usize {
    if std::env::var_os("CUPRIC_TENTH").is_some_and(|v| v == "1") { n.div_ceil(10) } else { n }
}

/// A device of its own on the CPU or the same GPU: its counters belong to one test.
pub fn own(d: &Device) -> Device {
    d.with_memory_limit(4 << 30).unwrap()
}

/// Elements in a shape, on a device.
pub fn put<T: Element>(d: &Device, elements: impl Into<Vec<T>>, shape: &[usize]) -> Array {
    Array::from_vec(elements.into(), shape).unwrap().to_device(d).unwrap()
}

/// f32 elements from f64 literals.
pub fn f(v: &[f64]) -> Vec<f32> {
    v.iter().map(|x| *x as f32).collect()
}

/// Whether a device computes in a type at all.
pub fn has(d: &Device, t: DType) -> bool {
    cupric::zeros([1], t).to_device(d).is_ok() && (cupric::zeros([1], t).to_device(d).unwrap().equal(0)).eval().is_ok()
}

/// Equal elements, NaN equal to NaN, −0 apart from +0.
#[track_caller]
pub fn same<T: Element>(e: &Expr, want: &[T]) {
    let got = match e.to_vec::<T>() {
        Ok(v) => v,
        Err(e) => panic!("error: {e}"),
    };
    let bits = |x: &T| canonical(*x);
    let g: Vec<_> = got.iter().map(bits).collect();
    let w: Vec<_> = want.iter().map(bits).collect();
    if g != w {
        let at = g.iter().zip(&w).position(|(a, b)| a != b);
        let i = at.unwrap_or(0);
        panic!(
            "{} elements, {} wanted; first difference at {at:?}\n got {:?}\nwant {:?}",
            g.len(),
            w.len(),
            &got[i.min(got.len())..(i + 12).min(got.len())],
            &want[i.min(want.len())..(i + 12).min(want.len())]
        );
    }
}

/// The bits of an element; all NaNs alike.
pub fn canonical<T: Element>(x: T) -> u64 {
    #[allow(clippy::eq_op)]
    if x != x {
        return u64::MAX;
    }
    let one = [x];
    let bytes = T::bytes(&one);
    let mut out = [0u8; 8];
    out[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(out)
}

/// Within an absolute bound for each element.
#[track_caller]
pub fn near(e: &Expr, want: &[f64], bound: impl Fn(f64) -> f64) {
    let got: Vec<f64> = e.astype(DType::F32).to_vec::<f32>().unwrap().into_iter().map(|x| x as f64).collect();
    assert_eq!(got.len(), want.len(), "number of elements");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let ok = g == w || g.is_nan() && w.is_nan() || (g - w).abs() <= bound(*w);
        assert!(ok, "element {i}: got {g:e}, want {w:e}, off by {:e}, allowed {:e}", (g - w).abs(), bound(*w));
    }
}

/// The error of an expression, as text.
#[track_caller]
pub fn error(e: &Expr) -> String {
    match e.eval() {
        Ok(a) => panic!("no error, but shape {:?} dtype {}", a.shape(), a.dtype()),
        Err(e) => e.to_string(),
    }
}

/// A dense host array in C order: the oracle for everything that moves elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Host<T> {
    pub shape: Vec<usize>,
    pub data: Vec<T>,
}

/// All indices of a shape in C order.
pub fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let n: usize = shape.iter().product();
    (0..n)
        .map(|mut flat| {
            let mut i = vec![0; shape.len()];
            for d in (0..shape.len()).rev() {
                i[d] = flat % shape[d];
                flat /= shape[d];
            }
            i
        })
        .collect()
}

impl<T: Clone + Debug> Host<T> {
    pub fn of(shape: &[usize], make: impl FnMut(&[usize]) -> T) -> Host<T> {
        let mut make = make;
        Host { shape: shape.to_vec(), data: indices(shape).iter().map(|i| make(i)).collect() }
    }

    pub fn at(&self, index: &[usize]) -> T {
        let mut flat = 0;
        for (i, n) in index.iter().zip(&self.shape) {
            assert!(i < n);
            flat = flat * n + i;
        }
        self.data[flat].clone()
    }

    pub fn map<U: Clone + Debug>(&self, f: impl Fn(T) -> U) -> Host<U> {
        Host { shape: self.shape.clone(), data: self.data.iter().cloned().map(f).collect() }
    }

    pub fn permute(&self, axes: &[usize]) -> Host<T> {
        let shape: Vec<usize> = axes.iter().map(|a| self.shape[*a]).collect();
        Host::of(&shape, |i| {
            let mut from = vec![0; i.len()];
            for (k, a) in axes.iter().enumerate() {
                from[*a] = i[k];
            }
            self.at(&from)
        })
    }

    pub fn broadcast(&self, to: &[usize]) -> Host<T> {
        let lead = to.len() - self.shape.len();
        Host::of(to, |i| {
            let from: Vec<usize> =
                self.shape.iter().enumerate().map(|(d, n)| if *n == 1 { 0 } else { i[d + lead] }).collect();
            self.at(&from)
        })
    }

    pub fn reshape(&self, to: &[usize]) -> Host<T> {
        assert_eq!(to.iter().product::<usize>(), self.data.len());
        Host { shape: to.to_vec(), data: self.data.clone() }
    }

    pub fn flip(&self, axes: &[usize]) -> Host<T> {
        Host::of(&self.shape, |i| {
            let from: Vec<usize> =
                i.iter().enumerate().map(|(d, x)| if axes.contains(&d) { self.shape[d] - 1 - x } else { *x }).collect();
            self.at(&from)
        })
    }
}

/// A generator of its own: nothing that the library has.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678_9ABC_DEF1))
    }

    pub fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n.max(1)
    }

    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// A number between −1 and 1 for each element, the same for the same seed.
pub fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut d = Dice::new(seed);
    (0..n).map(|_| (d.unit() * 2.0 - 1.0) as f32).collect()
}
