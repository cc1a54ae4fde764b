//! Attention, convolutions, pools, `dropout` and `clip_by_norm`, compared with plain loops; their derivatives, compared
//! with finite differences; and how many kernels they need.

mod attention;
mod convolutions;
mod golden;
mod pools;
mod regularise;

use crate::kit::*;
use cupric::*;

/// Random options of a convolution or pool, and shapes that fit them.
struct Case {
    batch: usize,
    /// The number of channels of the input, and of the result, in each group.
    channels: [usize; 2],
    groups: usize,
    lengths: Vec<usize>,
    window: Vec<usize>,
    stride: Vec<usize>,
    dilation: Vec<usize>,
    padding: Vec<(usize, usize)>,
    is_last: bool,
}

impl Case {
    /// A random case with `n` spatial axes, each of which has at least one window.
    fn random(n: usize, dice: &mut Dice) -> Case {
        let mut case = Case {
            batch: dice.below(3) + 1,
            channels: [dice.below(3) + 1, dice.below(3) + 1],
            groups: dice.below(3) + 1,
            lengths: vec![],
            window: vec![],
            stride: vec![],
            dilation: vec![],
            padding: vec![],
            is_last: dice.one_in(2),
        };
        for _ in 0..n {
            let (window, dilation) = (dice.below(4) + 1, dice.below(3) + 1);
            let padding = (dice.below(3), dice.below(3));
            let reach = dilation * (window - 1) + 1;
            case.window.push(window);
            case.dilation.push(dilation);
            case.stride.push(dice.below(4) + 1);
            case.lengths.push(reach.saturating_sub(padding.0 + padding.1).max(1) + dice.below(4));
            case.padding.push(padding);
        }
        case
    }

    fn named(&self) -> String {
        format!(
            "batch {}, channels {:?} of {} groups, lengths {:?}, windows {:?}, stride {:?}, dilation {:?}, padding {:?}, last {}",
            self.batch,
            self.channels,
            self.groups,
            self.lengths,
            self.window,
            self.stride,
            self.dilation,
            self.padding,
            self.is_last
        )
    }

    /// The number of windows along each axis.
    fn counts(&self) -> Vec<usize> {
        let of = |j: usize| {
            let padded = self.lengths[j] + self.padding[j].0 + self.padding[j].1;
            (padded - self.dilation[j] * (self.window[j] - 1) - 1) / self.stride[j] + 1
        };
        (0..self.lengths.len()).map(of).collect()
    }

    /// The position in the input of an element of a window, or None if it lies in the padding.
    fn place(&self, window: &[usize], element: &[usize]) -> Option<Vec<usize>> {
        let at = |j: usize| {
            let place = window[j] * self.stride[j] + element[j] * self.dilation[j];
            place.checked_sub(self.padding[j].0).filter(|p| *p < self.lengths[j])
        };
        (0..self.lengths.len()).map(at).collect()
    }

    fn conv(&self) -> Conv {
        let conv = Conv::default()
            .stride(self.stride.clone())
            .dilation(self.dilation.clone())
            .padding(self.padding.clone())
            .groups(self.groups);
        if self.is_last { conv.channels_last() } else { conv }
    }
}

/// The shape of an array whose channels come before the spatial axes.
fn shaped(batch: usize, channels: usize, spatial: &[usize]) -> Vec<usize> {
    [batch, channels].into_iter().chain(spatial.iter().copied()).collect()
}

/// Small whole numbers, whose sums are exact in every type.
fn whole(shape: &[usize], dice: &mut Dice) -> Host<f64> {
    Host::of(shape, |_| dice.between(-3, 3) as f64)
}

/// An array of these numbers, converted to a dtype.
fn put(t: DType, host: &Host<f64>, d: &Device) -> Array {
    let bits: Vec<u64> = host
        .data
        .iter()
        .map(|x| if t.is_float() { number::round(t, *x) } else { number::wrap(t, *x as i128) })
        .collect();
    array(t, &bits, &host.shape, d).unwrap_or_else(|e| panic!("{e}"))
}

/// Moves the channels from axis `from` to the end if `is_last`.
fn moved(host: &Host<f64>, from: usize, is_last: bool) -> Host<f64> {
    let n = host.shape.len();
    let axes: Vec<usize> = (0..n).filter(|d| *d != from).chain([from]).collect();
    if is_last { host.permute(&axes) } else { host.clone() }
}

/// Asserts that an expression has exactly these numbers.
fn holds(what: &str, got: &Expr, t: DType, want: &Host<f64>) {
    assert_eq!(got.shape().unwrap_or_else(|e| panic!("{what}: {e}")), want.shape, "{what}: shape");
    assert_eq!(got.dtype().unwrap(), t, "{what}: dtype");
    let bits = read(got).unwrap_or_else(|e| panic!("{what}: {e}"));
    for (i, (got, want)) in bits.iter().zip(&want.data).enumerate() {
        let got = if t.is_float() { number::real(t, *got) } else { number::integer(t, *got) as f64 };
        assert!(got == *want || got.is_nan() && want.is_nan(), "{what} of {t}: element {i} is {got}, not {want}");
    }
}

fn kernels(e: &Expr) -> usize {
    e.plan().unwrap_or_else(|e| panic!("{e}")).kernels()
}

#[track_caller]
fn fails(e: Expr, kind: ErrorKind, part: &str) {
    let e = e.eval().unwrap_err();
    assert!(e.kind() == kind && e.to_string().contains(part) && e.to_string().contains("network"), "{e}");
}
