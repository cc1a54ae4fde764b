//! The check of the labels of `one_hot`, and expressions that outlive the device on which they were placed.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

on_devices! {

// The check of labels runs in the kernel that compares them with the classes.
fn one_hot_is_one_kernel(d: &Device) {
    let labels = put(d, vec![2i32, 0, 1], &[3]);
    for e in [labels.one_hot(3, F32), labels.astype(U8).one_hot(3, F32), (&labels % 3).one_hot(3, I32)] {
        assert_eq!(e.plan().unwrap().kernels(), 1, "{}", e.plan().unwrap());
    }
    same(&labels.one_hot(3, F32), &[0f32, 0., 1., 1., 0., 0., 0., 1., 0.]);
    same(&labels.reshape([3, 1]).one_hot(4, I32), &[0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0]);
    same(&labels.slice(s![..;-1]).one_hot(3, I32), &[0, 1, 0, 1, 0, 0, 0, 0, 1]);
    same(&full([2], 1, I64).one_hot(2, I32), &[0, 1, 0, 1]);
    same(&arange(0, 2, 1, I32).one_hot(2, I32), &[1, 0, 0, 1]);
}

// An expression does not keep the device that `on` has named open. It does not run on another device then.
fn an_expression_that_outlives_its_device(d: &Device) {
    let here = d.with_memory_limit(1 << 20).unwrap();
    let x = arange(0, 4, 1, F32).on(&here) * 2.0;
    assert_eq!(x.eval().unwrap().device(), here);
    drop(here);
    for e in [x.eval().unwrap_err(), eval_all([&x, &x]).unwrap_err(), x.to_vec::<f32>().unwrap_err()] {
        assert_eq!(e.kind(), ErrorKind::DeviceNotFound, "{e}");
        assert!(e.to_string().contains("has ended") && e.to_string().contains("placement.rs"), "{e}");
    }
    // on another device it runs
    assert_eq!(x.eval_on(d).unwrap().device(), *d);
}

}
