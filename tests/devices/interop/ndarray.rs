//! Views as `ndarray` arrays, and conversions from and to its owned arrays.

use crate::kit::*;
use ::ndarray::{ArrayD, ArrayView, Axis, Ix1, IxDyn, Slice, s as nd};
use cupric::*;

/// Numbers from 0 in C order.
fn counted(shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    Array::from_vec((0..n as i32).collect(), shape).unwrap()
}

#[test]
fn views_have_the_array_s_strides_and_place() {
    let x = counted(&[4, 5, 6]);
    let views = [
        x.slice(s![..]),
        x.t(),
        x.slice(s![1..3, ..;2, ..;-1]),
        x.slice(s![..;-1, ..;-2, 3]),
        x.slice(s![2, 2, 2]),
        x.slice(s![1..2, ..;-1]),
        x.slice(s![1..1, ..;-1]),
        x.slice(s![0, .., ..1]).broadcast_to([3, 5, 7]),
    ];
    let first = x.as_ndarray::<i32>().unwrap().as_ptr();
    for e in views {
        let y = e.eval().unwrap();
        let view = y.as_ndarray::<i32>().unwrap();
        assert_eq!(view.shape(), y.shape());
        assert_eq!(view.iter().copied().collect::<Vec<_>>(), y.to_vec::<i32>().unwrap(), "{:?}", y.strides());
        if y.size() > 0 {
            assert_eq!(view.strides(), y.strides());
            // SAFETY: both pointers point into the memory of `x`.
            let distance = unsafe { view.as_ptr().offset_from(first) };
            let own = y.slice(vec![SliceItem::from(0); y.ndim()]).item::<i32>().unwrap();
            assert_eq!(distance as i32, own, "the element {own} of {:?}", y.strides());
        }
    }
    // every type
    let small = array![0, 1, 1];
    fn sums<T: Element>(x: &Array) -> usize {
        let y = x.astype(T::DTYPE).eval().unwrap();
        y.as_ndarray::<T>().unwrap().iter().filter(|v| **v != T::default()).count()
    }
    let all = [sums::<u8>, sums::<i8>, sums::<u16>, sums::<i16>, sums::<u32>, sums::<i32>, sums::<u64>, sums::<i64>];
    assert!(all.iter().all(|f| f(&small) == 2));
    let all = [sums::<f16>, sums::<bf16>, sums::<f32>, sums::<f64>, sums::<bool>];
    assert!(all.iter().all(|f| f(&small) == 2));
}

#[test]
fn what_has_no_view_is_refused() {
    let x = array![1., 2.];
    let e = x.as_ndarray::<f64>().unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::DType, "as_ndarray"));
    assert!(e.to_string().contains("dtype f32, not f64") && e.location().is_some_and(|at| at.file() == file!()), "{e}");
    let huge = x.slice(s![0]).broadcast_to([1usize << 31, 1 << 31]).eval().unwrap();
    assert!(huge.as_ndarray::<f32>().is_ok());
    if let Some(gpu) = gpu(1) {
        let e = x.to_device(&gpu).unwrap().as_ndarray::<f32>().map(|_| ()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DeviceMismatch);
        assert!(e.to_string().contains("to_device"), "{e}");
        assert_eq!(x.to_device(&gpu).unwrap().to_ndarray::<f32>().unwrap(), ::ndarray::arr1(&[1f32, 2.]).into_dyn());
    }
}

#[test]
fn a_view_keeps_its_array_from_being_written_in_place() {
    let x = array![1., 2., 3.];
    let mut other = x.clone();
    let view = x.as_ndarray::<f32>().unwrap();
    other.update(|x| x * 10.0).unwrap();
    assert_eq!(view.iter().copied().collect::<Vec<_>>(), [1., 2., 3.]);
    assert_eq!(other.to_vec::<f32>().unwrap(), [10., 20., 30.]);
}

#[test]
fn owned_arrays_are_taken_over_whatever_their_strides() {
    let all = ArrayD::from_shape_fn(IxDyn(&[3, 4, 5]), |i| (i[0] * 100 + i[1] * 10 + i[2]) as i32);
    let mut flipped = all.clone();
    flipped.invert_axis(Axis(1));
    let mut part = all.clone();
    part.slice_axis_inplace(Axis(2), Slice::new(1, None, 2));
    let mut empty = all.clone();
    empty.slice_axis_inplace(Axis(0), Slice::from(1..1));
    for a in [all.clone(), all.clone().reversed_axes(), flipped, part, empty] {
        let (place, strides, elements) = (a.as_ptr(), a.strides().to_vec(), a.iter().copied().collect::<Vec<_>>());
        let copy = Array::from_ndarray(&a).unwrap();
        let view = Array::from_ndarray(&a.view()).unwrap();
        let x = Array::from_owned_ndarray(a).unwrap();
        for y in [&copy, &view, &x] {
            assert_eq!(y.to_vec::<i32>().unwrap(), elements);
        }
        if x.size() > 0 {
            assert_eq!(x.strides(), strides);
            assert_eq!(x.as_ndarray::<i32>().unwrap().as_ptr(), place);
        }
        // the converted array computes like any other
        assert_eq!((&x + 1).sum(..).item::<i64>().unwrap(), elements.iter().map(|v| *v as i64 + 1).sum::<i64>());
    }
    // writes to an array made from an `ndarray` happen in its memory, with its strides
    let a = ::ndarray::arr2(&[[1f32, 2.], [3., 4.]]).reversed_axes();
    let place = a.as_ptr();
    let mut x = Array::from_owned_ndarray(a).unwrap();
    x.update(|x| x * 2.0).unwrap();
    let view = x.as_ndarray::<f32>().unwrap();
    assert_eq!((view.as_ptr(), view.iter().copied().collect::<Vec<_>>()), (place, vec![2., 6., 4., 8.]));
    // converting back returns the same memory if it is in C order
    let a = ::ndarray::Array::from_vec(vec![1f32, 2., 3.]);
    let place = a.as_ptr();
    let b = Array::from_owned_ndarray(a).unwrap().into_ndarray::<f32>().unwrap().into_dimensionality::<Ix1>().unwrap();
    assert_eq!(b.as_ptr(), place);
    assert_eq!(b, ::ndarray::arr1(&[1., 2., 3.]));
}

#[test]
fn views_are_copied_in_c_order() {
    let a = ::ndarray::Array::from_shape_fn((3, 4), |(i, j)| i as f64 * 10.0 + j as f64);
    let x = Array::from_ndarray(&a.slice(nd![..;-1, 1..3])).unwrap();
    assert_eq!((x.shape(), x.is_contiguous()), (&[3, 2][..], true));
    assert_eq!(x.to_vec::<f64>().unwrap(), [21., 22., 11., 12., 1., 2.]);
    let axes = vec![1usize; 65];
    let e = Array::from_ndarray(&ArrayView::from_shape(IxDyn(&axes), &[1u8]).unwrap()).unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::LimitExceeded, "from_ndarray"));
    let e = Array::from_owned_ndarray(ArrayD::<u8>::zeros(IxDyn(&axes))).unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::LimitExceeded, "from_owned_ndarray"));
    let zero = Array::from_ndarray(&::ndarray::arr0(7i64)).unwrap();
    assert_eq!((zero.ndim(), zero.item::<i64>().unwrap()), (0, 7));
}
