//! Random numbers for tests, from a generator that is not the library's.

/// The generator SplitMix64. It gives the same numbers in every run and on every machine.
#[derive(Clone)]
pub struct Dice(u64);

/// Starts from a state. [`Dice::new`] multiplies its seed first, so that neighbouring seeds give unrelated numbers.
impl From<u64> for Dice {
    fn from(state: u64) -> Dice {
        Dice(state)
    }
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678_9ABC_DEF1))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        // computed in u64, so that 32-bit machines give the same numbers
        ((self.next() >> 11) % n.max(1) as u64) as usize
    }

    /// A random integer in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A random number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A random number in `[low, high)`.
    pub fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Roughly normal with mean 0 and deviation 1: the sum of 12 uniform numbers, less its mean, has variance 1.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    pub fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// `n` random numbers between −1 and 1. The same seed gives the same numbers.
pub fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut d = Dice::new(seed);
    (0..n).map(|_| (d.unit() * 2.0 - 1.0) as f32).collect()
}
