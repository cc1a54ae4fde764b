//! Initial weights, batches, and names of parameters.

use crate::kit::{error, on_devices, put, same};
use cupric::train::{Batches, glorot_normal, glorot_uniform, he_normal, he_uniform, named, with_named};
use cupric::*;

/// A struct that names its fields as parameters.
struct Layer<T> {
    weight: T,
    bias: T,
}

impl<T: Parameters> Parameters for Layer<T> {
    type With<U> = Layer<T::With<U>>;
    fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>) {
        self.weight.leaves(list);
        self.bias.leaves(list);
    }
    fn with<U>(&self, next: &mut dyn FnMut() -> U) -> Layer<T::With<U>> {
        Layer { weight: self.weight.with(next), bias: self.bias.with(next) }
    }
    fn names(&self, path: &str, list: &mut Vec<String>) {
        self.weight.names_under(path, "weight", list);
        self.bias.names_under(path, "bias", list);
    }
}

/// A struct that gives wrong parameter names, or the default ones.
struct Pair(Array, Option<[&'static str; 2]>);

impl Parameters for Pair {
    type With<U> = [U; 2];
    fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>) {
        list.extend([&*self.0, &*self.0]);
    }
    fn with<U>(&self, next: &mut dyn FnMut() -> U) -> [U; 2] {
        [next(), next()]
    }
    fn names(&self, _: &str, list: &mut Vec<String>) {
        list.extend(self.1.into_iter().flatten().map(String::from));
    }
}

fn names(tree: &impl Parameters) -> Vec<String> {
    named(tree).unwrap().into_iter().map(|(name, _)| name).collect()
}

on_devices! {

fn batches_have_each_row_once(d: &Device) {
    let numbers: Vec<i32> = (0..23).collect();
    let (x, y) = (put::<i32>(d, numbers.clone(), &[23]), put::<i32>(d, numbers.clone(), &[23, 1]));
    let data = (x, [y]);
    let all = |seed: u64, drop: bool| -> Vec<Vec<i32>> {
        let batches = Batches::new(&data, 5, seed).unwrap();
        let batches = if drop { batches.drop_last() } else { batches };
        assert_eq!(batches.len(), if drop { 4 } else { 5 });
        let rows = batches.map(|batch| {
            let (x, [y]) = batch.unwrap();
            assert_eq!((x.device(), y.shape()[1]), (d.clone(), 1));
            let x = x.to_vec::<i32>().unwrap();
            same(&y, &x);
            x
        });
        rows.collect()
    };
    let kept = all(7, false);
    assert_eq!(kept.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5, 5, 5, 3]);
    let mut sorted = kept.concat();
    assert_ne!(sorted, numbers);
    sorted.sort_unstable();
    assert_eq!(sorted, numbers);
    assert_eq!(all(7, true)[..], kept[..4]);
    assert_ne!(all(8, false), kept);
    // the order is the one of `permutation` on the CPU
    let order = Rng::new(7).permutation(23).to_vec::<i64>().unwrap();
    assert_eq!(kept.concat(), order.iter().map(|i| *i as i32).collect::<Vec<_>>());
}

fn first_weights_have_their_variance(d: &Device) {
    for (shape, ins, outs) in [(&[200usize, 300][..], 200.0, 300.0), (&[40, 60, 5, 5], 60.0 * 25.0, 40.0 * 25.0)] {
        let mut rng = Rng::new(3);
        let draws: [(Expr, f64, bool); 4] = [
            (glorot_uniform(shape, DType::F32, &mut rng), 2.0 / (ins + outs), true),
            (glorot_normal(shape, DType::F32, &mut rng), 2.0 / (ins + outs), false),
            (he_uniform(shape, DType::F32, &mut rng), 2.0 / ins, true),
            (he_normal(shape, DType::F32, &mut rng), 2.0 / ins, false),
        ];
        for (i, (w, variance, is_uniform)) in draws.iter().enumerate() {
            let w = w.to_device(d).unwrap();
            assert_eq!(w.shape(), shape);
            let (mean, spread) = (w.mean(..).item::<f32>().unwrap(), w.std(..).item::<f32>().unwrap());
            let (most, want) = (f64::from(w.abs().max(..).item::<f32>().unwrap()), variance.sqrt());
            assert!((f64::from(spread) / want - 1.0).abs() < 0.02, "{i}: {spread}, not {want}");
            assert!(f64::from(mean.abs()) < 0.02 * want, "{i}: {mean}");
            let bound = want * 3f64.sqrt();
            assert!(if *is_uniform { most <= bound * 1.000001 } else { most > bound }, "{i}: {most}");
        }
    }
}

}

#[test]
fn first_weights_check_their_arguments() {
    let mut rng = Rng::new(0);
    let e = error(&he_normal([3], DType::F32, &mut rng));
    assert!(e.starts_with("he_normal: weights of shape [3] have 1 axes; two or more are needed"), "{e}");
    let e = error(&glorot_uniform([3, 4], DType::I32, &mut rng));
    assert!(e.starts_with("glorot_uniform: dtype i32 is not a float type"), "{e}");
    let e = error(&he_uniform([1 << 20, 1 << 20], DType::F32, &mut rng));
    assert!(e.starts_with("he_uniform: "), "{e}");
    assert_eq!(he_normal([0, 3], DType::F32, &mut rng).eval().unwrap().shape(), [0, 3]);
    assert_eq!(he_normal([3, 4], DType::BF16, &mut rng).dtype().unwrap(), DType::BF16);
    // each draw uses one stream, even if it fails
    assert_eq!(rng.state()[1], 5);
}

#[test]
fn batches_check_their_data() {
    let (x, y) = (array![1., 2., 3.], array![1., 2.]);
    let fails = |e: Error, kind: ErrorKind, fact: &str| {
        assert!(e.kind() == kind && e.operation() == "Batches::new" && e.to_string().contains(fact), "{e}");
    };
    fails(Batches::new(&x, 0, 0).unwrap_err(), ErrorKind::Argument, "a batch of 0 rows");
    fails(Batches::new(&(&x, &y), 1, 0).unwrap_err(), ErrorKind::Shape, "array 1 has 2 rows; the first one has 3");
    fails(Batches::new(&(&x, array![1.].sum(..)), 1, 0).unwrap_err(), ErrorKind::Shape, "0-d");
    fails(Batches::new(&Vec::<Array>::new(), 1, 0).unwrap_err(), ErrorKind::Argument, "no arrays");
    let none = zeros([0, 3], DType::F32).eval().unwrap();
    assert_eq!(Batches::new(&none, 4, 0).unwrap().count(), 0);
    assert_eq!(Batches::new(&x, usize::MAX, 0).unwrap().count(), 1);
    assert_eq!(Batches::new(&x, usize::MAX, 0).unwrap().drop_last().count(), 0);
}

#[test]
fn parameters_have_names() {
    let layer = || Layer { weight: array![[1.]], bias: array![2.] };
    assert_eq!(names(&array![1.]), ["0"]);
    assert_eq!(names(&(array![1.], vec![layer(), layer()])), ["0", "1.0.weight", "1.0.bias", "1.1.weight", "1.1.bias"]);
    assert_eq!(names(&[&layer()]), ["0.weight", "0.bias"]);
    let back = with_named(&layer(), [("bias", array![5.]), ("other", array![1.]), ("weight", array![[6.]])]).unwrap();
    assert_eq!((back.weight.item::<f32>().unwrap(), back.bias.item::<f32>().unwrap()), (6., 5.));

    let fails = |arrays: Vec<(&str, Array)>, kind: ErrorKind, fact: &str| {
        let Err(e) = with_named(&layer(), arrays) else { panic!("no error: {fact}") };
        assert!(e.kind() == kind && e.operation() == "with_named" && e.to_string().contains(fact), "{e}");
    };
    let weight = ("weight", array![[1.]]);
    fails(
        vec![weight.clone()],
        ErrorKind::Argument,
        "there is no array \"bias\"; there are \"weight\". Leaves of tuples and lists are named by their positions",
    );
    fails(vec![], ErrorKind::Argument, "there is no array \"weight\"; the list is empty");
    let wrong = ("bias", array![1., 2.]);
    fails(vec![weight.clone(), wrong], ErrorKind::Shape, "the array \"bias\" has shape [2]; shape [1] is needed");
    let wrong = ("bias", array![1]);
    fails(vec![weight, wrong], ErrorKind::DType, "the array \"bias\" has dtype i32; dtype f32 is needed");

    let e = named(&Pair(array![1.], None)).unwrap_err();
    assert!(e.to_string().contains("the tree has 2 leaves; its method `names` lists 0 names"), "{e}");
    let e = named(&Pair(array![1.], Some(["a", "a"]))).unwrap_err();
    assert!(e.to_string().contains("two leaves of the tree have the name \"a\""), "{e}");
}
