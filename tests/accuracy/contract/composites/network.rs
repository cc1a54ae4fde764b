//! Trials of convolutions, pooling and `dropout`, against plain loops that follow their definitions.

use super::*;

const STRIDE: usize = 2;
const PADDING: usize = 1;
const GROUPS: usize = 2;
/// The number of channels of the input and of the result in each group.
const CHANNELS: usize = 2;
const BATCH: usize = 2;

/// The lengths of one to three spatial axes, and the lengths of a window along the same axes.
fn lengths(n: usize) -> (Vec<usize>, Vec<usize>) {
    match n {
        1 => (vec![23], vec![5]),
        2 => (vec![7, 6], vec![3, 2]),
        _ => (vec![4, 5, 3], vec![2, 3, 2]),
    }
}

fn counts(lengths: &[usize], window: &[usize]) -> Vec<usize> {
    lengths.iter().zip(window).map(|(n, k)| (n + 2 * PADDING - k) / STRIDE + 1).collect()
}

/// Returns the position in the input of an element of a window, or None if the element lies in the padding.
fn place(window: &[usize], element: &[usize], lengths: &[usize]) -> Option<Vec<usize>> {
    let at = |j: usize| (window[j] * STRIDE + element[j]).checked_sub(PADDING).filter(|p| *p < lengths[j]);
    (0..lengths.len()).map(at).collect()
}

fn flat(index: &[usize], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |flat, (i, n)| flat * n + i)
}

fn with(batch: usize, channel: usize, spatial: &[usize]) -> Vec<usize> {
    [batch, channel].into_iter().chain(spatial.iter().copied()).collect()
}

impl Trial<'_> {
    /// The number of spatial axes: the digit near the end of the function's name, as in `conv2d`.
    fn spatial(&self) -> usize {
        self.name().bytes().rev().nth(1).map_or(0, |c| (c - b'0') as usize)
    }

    pub fn convolutions(&mut self) -> Result<Vec<Call>> {
        let n = self.spatial();
        let (long, window) = lengths(n);
        let counts = counts(&long, &window);
        let is_transposed = self.name().contains("transpose");
        let (from, to) = if is_transposed { (&counts, &long) } else { (&long, &counts) };
        let channels = GROUPS * CHANNELS;
        let a = self.draw(&with(BATCH, channels, from));
        let b = self.draw(&with(channels, CHANNELS, &window));
        let (x, w) = (self.array(&a)?, self.array(&b)?);
        let options = Conv::default().stride(STRIDE).padding(PADDING).groups(GROUPS);
        // how many elements remain at the end of each axis after the last window
        let more: Vec<usize> = (0..n).map(|j| long[j] + 2 * PADDING - ((counts[j] - 1) * STRIDE + window[j])).collect();
        let e = match (n, is_transposed) {
            (1, false) => x.conv1d(&w, options),
            (2, false) => x.conv2d(&w, options),
            (_, false) => x.conv3d(&w, options),
            (1, true) => x.conv_transpose1d(&w, options.output_padding(more)),
            (2, true) => x.conv_transpose2d(&w, options.output_padding(more)),
            (_, true) => x.conv_transpose3d(&w, options.output_padding(more)),
        };
        let shape = with(BATCH, channels, to);
        let mut terms: Vec<Vec<(Vec<u64>, i32)>> = vec![vec![]; shape.iter().product()];
        for o in kit::every_index(&with(BATCH, channels, &counts)) {
            for k in kit::every_index(&window) {
                let Some(place) = place(&o[2..], &k, &long) else { continue };
                for c in 0..CHANNELS {
                    let input = with(o[0], o[1] / CHANNELS * CHANNELS + c, &place);
                    let weight = b.0[flat(&with(o[1], c, &k), &b.1)];
                    let (read, written) = if is_transposed { (&o, &input) } else { (&input, &o) };
                    terms[flat(written, &shape)].push((vec![a.0[flat(read, &a.1)], weight], 1));
                }
            }
        }
        let want = terms.iter().map(|t| self.sum_of(t)).collect();
        Ok(vec![Call { what: "one", e, dtype: self.d, want }])
    }

    pub fn pools(&mut self) -> Result<Vec<Call>> {
        let n = self.spatial();
        let (long, window) = lengths(n);
        let counts = counts(&long, &window);
        let a = self.draw(&with(BATCH, 3, &long));
        let x = self.array(&a)?;
        let options = Pool::new(window.clone()).stride(STRIDE).padding(PADDING);
        let is_max = self.name().starts_with("max");
        let e = match (n, is_max) {
            (1, true) => x.max_pool1d(options),
            (2, true) => x.max_pool2d(options),
            (_, true) => x.max_pool3d(options),
            (1, false) => x.avg_pool1d(options),
            (2, false) => x.avg_pool2d(options),
            (_, false) => x.avg_pool3d(options),
        };
        let d = self.d;
        let want = kit::every_index(&with(BATCH, 3, &counts)).into_iter().map(|o| {
            let places = kit::every_index(&window).into_iter().filter_map(|k| place(&o[2..], &k, &long));
            let bits: Vec<u64> = places.map(|p| a.0[flat(&with(o[0], o[1], &p), &a.1)]).collect();
            if is_max {
                let largest = |x: u64, y: &u64| match d.is_float() {
                    true if number::real(d, *y) > number::real(d, x) => *y,
                    false if number::integer(d, *y) > number::integer(d, x) => *y,
                    _ => x,
                };
                return Want::Bits(bits.iter().fold(bits[0], largest));
            }
            let (real, k) = (self.reals(&bits), bits.len() as f64);
            let sum = real.iter().fold(Dd::from(0.0), |s, x| s + (*x).into());
            let size = real.iter().map(|x| x.abs()).sum::<f64>();
            self.near(sum / k.into(), (k / 2.0 + 17.0) * self.u() * size / k)
        });
        let want = want.collect();
        Ok(vec![Call { what: "one", e, dtype: if is_max { d } else { self.float() }, want }])
    }

    /// The rate is 1/2, so the elements that remain are doubled, which is exact.
    pub fn dropout(&mut self) -> Result<Vec<Call>> {
        let a = self.draw(&[M, K]);
        let x = self.array(&a)?;
        let kept = Rng::new(5).bernoulli(0.5, [M, K], DType::Bool).to_vec::<bool>()?;
        let e = x.dropout(0.5, &mut Rng::new(5));
        let (d, zero) = (self.d, number::round(self.d, 0.0));
        let doubled = |b: u64| number::round(d, 2.0 * number::real(d, b));
        let want = a.0.iter().zip(kept).map(|(b, kept)| Want::Bits(if kept { doubled(*b) } else { zero })).collect();
        Ok(vec![Call { what: "one", e, dtype: d, want }])
    }
}
