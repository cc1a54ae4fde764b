//! The self-test of a device: kernels of every kind, whose results are compared with the CPU's results.

use super::functions::{concat, select};
use super::index::Clip;
use super::random::Rng;
use crate::array::device::Device;
use crate::array::{Array, array_equal};
use crate::base::dtype::DType::{self, F16, F32, I16, I32, U8};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::keep;
use crate::graph::expr::Expr;
use crate::plan::backend::wait;
use crate::s;
use std::panic::Location;

/// The number of elements in a row of test data: three workgroups of 256 invocations, and a part of a fourth.
const ROW: usize = 1_003;

/// Draws the operands of a trial (see [`Trial`]), and moves them to the device on which the trial runs. The numbers are
/// the same on every device.
struct Operands<'a> {
    rng: Rng,
    device: &'a Device,
}

impl Operands<'_> {
    /// Draws whole numbers from `low` up to but excluding `high`.
    fn whole<const N: usize>(&mut self, low: i32, high: i32, shape: [usize; N], dtype: DType) -> Result<Array> {
        self.rng.integers(low, high, shape, I32).astype(dtype).to_device(self.device)
    }
}

/// One test of the self-test: a description of what it computes, for messages, and the function that builds it. All
/// numbers are whole and small enough to be exact in their type, so every correct device computes the same elements.
/// Sizes are not multiples of a workgroup's size, so that the trials also test edges, barriers and carries.
type Trial = (&'static str, fn(&mut Operands<'_>) -> Result<Expr>);

const TRIALS: [Trial; 17] = [
    ("a formula of i32 with transposed, broadcast and reversed operands", |of| {
        let a = of.whole(-999_999, 999_999, [29, 37, 3], I32)?.t();
        let b = of.whole(1, 90, [37, 1], I32)? * (of.whole(0, 2, [37, 1], I32)? * 2 - 1);
        let c = of.whole(0, 20, [29], I32)?.flip(0);
        let other = a.remainder(&b).bitwise_xor(a.bitwise_right_shift(&c)) + &a * &a;
        Ok(select(b.less(&c), a.floor_divide(&b), other))
    }),
    ("sums of u8 that share words", |of| {
        let mut column = || Ok(of.whole(0, 256, [501, 1], U8)? + of.whole(0, 256, [501, 1], U8)?);
        Ok(concat([column()?, column()?, column()?], 1))
    }),
    ("a matrix of i16 plus a transposed one", |of| {
        Ok(of.whole(-9_999, 9_999, [516, 520], I16)? + of.whole(-9_999, 9_999, [520, 516], I16)?.t())
    }),
    ("a formula of f16", |of| Ok(of.whole(-99, 99, [ROW], F16)? * 2.0 + of.whole(-99, 99, [ROW], F16)?)),
    ("take", |of| Ok(of.whole(-9_999, 9_999, [53, 7], I32)?.take(Clip(of.whole(-5, 60, [301], I32)?), 0))),
    ("index_add", |of| {
        let (target, at) = (of.whole(-99, 99, [41], I32)?, of.whole(-3, 50, [ROW], I32)?);
        Ok(target.index_add(0, Clip(at), of.whole(-9_999, 9_999, [ROW], I32)?))
    }),
    ("sums of rows", |of| Ok(of.whole(-9_999, 9_999, [5, ROW], I32)?.sum(1))),
    ("positions of the largest of equal elements", |of| Ok(of.whole(0, 40, [5, ROW], I32)?.argmax(1))),
    ("sums of columns", |of| Ok(of.whole(-9_999, 9_999, [200, 67], I32)?.sum(0))),
    ("rows minus their largest elements", |of| {
        let x = of.whole(-9_999, 9_999, [5, ROW], I32)?;
        Ok(&x - x.max(keep(1)))
    }),
    ("cumulative sums of rows", |of| Ok(of.whole(-9_999, 9_999, [3, ROW], I32)?.cumulative_sum(1))),
    ("cumulative sums of columns", |of| Ok(of.whole(-9_999, 9_999, [ROW, 3], I32)?.cumulative_sum(0))),
    // the sums of 300 products of at most 64 stay below 2^24, so they are exact in f32
    ("a product of matrices", |of| Ok(of.whole(-8, 9, [70, 300], F32)?.matmul(of.whole(-8, 9, [300, 67], F32)?))),
    ("a product of narrow matrices", |of| {
        Ok(of.whole(-8, 9, [3, 300], F32)?.matmul(of.whole(-8, 9, [300, 5], F32)?))
    }),
    ("sort", |of| Ok(of.whole(-300, 300, [3, 233], I16)?.sort(1))),
    ("bincount", |of| Ok(of.whole(0, 37, [ROW], U8)?.bincount(37))),
    ("segment_sum", |of| {
        let segments = of.whole(0, 12, [ROW], I32)?.sort(0);
        Ok(of.whole(-999, 999, [ROW, 3], F32)?.segment_sum(segments, 12))
    }),
];

/// Selects about a third of the elements of an array, for the test of `compress`.
fn compressed(device: &Device) -> Result<impl Future<Output = Result<Array>> + Send + use<>> {
    let mut of = Operands { rng: Rng::new(TRIALS.len() as u64), device };
    Ok(of.whole(-9_999, 9_999, [ROW], I32)?.compress_async(of.whole(0, 3, [ROW], I32)?.equal(0)))
}

/// Returns where two results first differ, as in "element 3 is 17 instead of 19", or `None` if they are equal. Both
/// results are on the CPU.
fn difference(found: &Array, want: &Array) -> Result<Option<String>> {
    if array_equal(found, want)? {
        return Ok(None);
    }
    if found.shape() != want.shape() {
        return Ok(Some(format!("the shape is {:?} instead of {:?}", found.shape(), want.shape())));
    }
    let [found, want] = [found.reshape(-1), want.reshape(-1)];
    let at = found.not_equal(&want).flatnonzero()?.slice(s![0]).item::<i64>()?;
    let element = |x: &Expr| x.slice(s![at]).astype(DType::F64).item::<f64>();
    Ok(Some(format!("element {at} is {} instead of {}", element(&found)?, element(&want)?)))
}

impl Device {
    /// Runs small kernels of every kind on the device and compares their results with the CPU's.
    ///
    /// A GPU's driver may compile a shader wrongly. Then results are wrong, and no error is reported. Run this test
    /// once after a driver is installed or updated, or when results look wrong. It compiles about twenty shaders, for
    /// which a software driver needs some seconds. It tests one or a few kernels of each kind, so other kernels may
    /// still be wrong.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Unsupported`] if a result is wrong. The message lists each failed test with its first wrong
    /// element. If a kernel returns an error, that error is returned.
    ///
    /// ```
    /// cupric::Device::best()?.self_test()?;
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn self_test(&self) -> Result<()> {
        let at = Location::caller();
        wait("self_test", "self_test_async", self.tested("self_test", at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Device::self_test`], for code that must not block.
    ///
    /// # Errors
    /// Returns the errors of [`Device::self_test`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// cupric::Device::cpu().self_test_async().await?;
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn self_test_async(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        self.tested("self_test_async", Location::caller())
    }

    fn tested(
        &self,
        op: &'static str,
        at: &'static Location<'static>,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let device = self.clone();
        async move {
            let (cpu, mut wrong) = (Device::cpu(), vec![]);
            let mut compare = |what: &str, found: &Array, want: &Array| -> Result<()> {
                wrong.extend(difference(found, want)?.map(|seen| format!("{what}: {seen}")));
                Ok(())
            };
            for (seed, (what, trial)) in TRIALS.iter().enumerate() {
                let run = |device: &Device| trial(&mut Operands { rng: Rng::new(seed as u64), device });
                let found = run(&device)?.to_device_async(&cpu).await?;
                compare(what, &found, &run(&cpu)?.eval()?)?;
            }
            // the shape of the result of `compress` depends on the elements, so this test is not in `TRIALS`
            let found = compressed(&device)?.await?.to_device_async(&cpu).await?;
            compare("compress", &found, &compressed(&cpu)?.await?)?;
            if wrong.is_empty() {
                return Ok(());
            }
            let detail = format!("the driver of {} computes wrong results: {}", device.name(), wrong.join("; "));
            Err(Error::with_line(ErrorKind::Unsupported, op, detail, Some(at)))
        }
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use crate::ops::create::full;

    crate::testing::unit_tests!(self_test: a_wrong_element_is_seen);

    fn a_wrong_element_is_seen() {
        let [want, found] =
            [5, 6].map(|last| concat([full([2, 3], 1, I32), full([1, 3], last, I32)], 0).eval().unwrap());
        assert_eq!(difference(&want, &want).unwrap(), None);
        assert_eq!(difference(&found, &want).unwrap().unwrap(), "element 6 is 6 instead of 5");
        let other = want.slice(s![0]).eval().unwrap();
        assert_eq!(difference(&other, &want).unwrap().unwrap(), "the shape is [3] instead of [3, 3]");
    }
}
