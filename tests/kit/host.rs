//! A dense host array with plain loops, with which tests of views, copies and joins compare the library.

use std::fmt::Debug;

/// A dense host array in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Host<T> {
    pub shape: Vec<usize>,
    pub data: Vec<T>,
}

/// All indices of a shape in C order.
pub fn every_index(shape: &[usize]) -> Vec<Vec<usize>> {
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
        Host { shape: shape.to_vec(), data: every_index(shape).iter().map(|i| make(i)).collect() }
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
