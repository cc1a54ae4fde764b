//! Rust slices (`as_slice`, `as_mut_slice`) of arrays' memory on the CPU.

use crate::kit::*;
use cupric::*;

#[test]
fn slices_of_memory_have_the_elements_without_a_copy() {
    let x = array![[1i32, 2], [3, 4]];
    let all = x.as_slice::<i32>().unwrap();
    assert_eq!(all, [1, 2, 3, 4]);
    let row = x.slice(s![1, ..]).eval().unwrap();
    assert_eq!(row.as_slice::<i32>().unwrap().as_ptr(), &raw const all[2]);
    let none = zeros([0, 3], DType::F64).eval().unwrap();
    assert_eq!(none.as_slice::<f64>().unwrap(), [0.0; 0]);
    let single = Array::from_vec(vec![true], ()).unwrap();
    assert_eq!(single.as_slice::<bool>().unwrap(), [true]);
    let mut none = none;
    assert_eq!(none.as_mut_slice::<f64>().unwrap(), [0.0; 0]);
}

#[test]
fn slices_of_memory_can_be_written_where_nobody_else_sees_it() {
    let mut x = array![1., 2., 3., 4.];
    let sum = x.sum(..);
    let e = x.as_mut_slice::<f32>().unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::Argument, "as_mut_slice"));
    assert!(e.to_string().contains("slices.rs:"), "{e}");
    drop(sum);
    x.as_mut_slice::<f32>().unwrap()[0] = 10.;
    let mut part = x.slice(s![1..3]).eval().unwrap();
    assert!(part.as_mut_slice::<f32>().is_err() && x.as_mut_slice::<f32>().is_err());
    drop(x);
    // only `part` still holds the memory, so it may be written
    part.as_mut_slice::<f32>().unwrap()[1] = 7.;
    assert_eq!(part.to_vec::<f32>().unwrap(), [2., 7.]);
    // the next evaluation of the same expression reads what was written meanwhile
    let twice = || (&part * 2.0).to_vec::<f32>().unwrap();
    assert_eq!(twice(), [4., 14.]);
    part.as_mut_slice::<f32>().unwrap().fill(1.);
    assert_eq!((&part * 2.0).to_vec::<f32>().unwrap(), [2., 2.]);
}

#[test]
fn slices_of_memory_need_the_type_the_device_and_the_order() {
    let mut x = array![[1., 2.], [3., 4.]];
    let kind = |x: &Array| x.as_slice::<f32>().unwrap_err().kind();
    assert_eq!(x.as_slice::<i32>().unwrap_err().kind(), ErrorKind::DType);
    assert_eq!(x.as_mut_slice::<i32>().unwrap_err().kind(), ErrorKind::DType);
    for view in [x.t(), x.flip(0), x.slice(s![.., 0]), x.slice(s![0]).broadcast_to([3, 2])] {
        let e = view.eval().unwrap().as_slice::<f32>().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Argument);
        assert!(e.to_string().contains("is not contiguous; use contiguous"), "{e}");
    }
    if let Some(gpu) = gpu(1) {
        assert_eq!(kind(&x.to_device(&gpu).unwrap()), ErrorKind::DeviceMismatch);
    }
}
