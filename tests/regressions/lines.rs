//! Evaluations of one structure share a plan, but an error names the line of its own expression.

use crate::kit::*;
use cupric::*;

/// The source line of an error that the evaluation or the read returns.
fn line(e: &Expr) -> u32 {
    let error = e.eval().and_then(|a| a.to_vec::<f32>()).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Index, "take"), "{error}");
    error.location().expect("a line").line()
}

on_devices! {

fn one_structure_from_two_lines(d: &Device) {
    // a device of its own, because another test's read could return this error
    let d = &own(d);
    let x = put(d, vec![1f32, 2., 3.], &[3]);
    let good = put(d, vec![0i32, 2], &[2]);
    let bad = put(d, vec![0i32, 9], &[2]);
    let first = |i: &Array| x.take(i, 0) + 1.0; let first_line = line!();
    let second = |i: &Array| x.take(i, 0) + 1.0; let second_line = line!();
    // the line is not that of the expression that was planned first
    first(&good).eval().unwrap();
    assert_eq!(line(&second(&bad)), second_line);
    assert_eq!(line(&first(&bad)), first_line);
    assert_eq!(line(&second(&bad)), second_line);
    // another evaluation between the error and the read
    #[cfg(feature = "gpu")]
    if d.is_gpu() {
        let _late = second(&bad).eval().unwrap();
        let fine = first(&good).eval().unwrap();
        let error = fine.to_vec::<f32>().unwrap_err();
        assert_eq!(error.location().expect("a line").line(), second_line);
    }
}

fn one_structure_from_two_threads(d: &Device) {
    let x = put(d, (0..100).map(|i| i as f32).collect::<Vec<_>>(), &[100]);
    let bad = put(d, vec![100i32], &[1]);
    let (d1, d2) = (own(d), own(d));
    let there = |d: &Device| (x.to_device(&Device::cpu()).unwrap().to_device(d).unwrap(), bad.to_device(&Device::cpu()).unwrap().to_device(d).unwrap());
    std::thread::scope(|s| {
        let a = s.spawn(|| {
            let (x, bad) = there(&d1);
            for _ in 0..20 {
                let e = x.take(&bad, 0) * 2.0; let here = line!();
                assert_eq!(line(&e), here);
            }
        });
        let b = s.spawn(|| {
            let (x, bad) = there(&d2);
            for _ in 0..20 {
                let e = x.take(&bad, 0) * 2.0; let here = line!();
                assert_eq!(line(&e), here);
            }
        });
        a.join().unwrap();
        b.join().unwrap();
    });
    if !d.is_gpu() {
        // both threads share a device; on the CPU an error belongs to the call that caused it
        let lines: Vec<(u32, u32)> = std::thread::scope(|s| {
            let a = s.spawn(|| (0..50).map(|_| (line(&(x.take(&bad, 0) - 1.0)), line!())).collect::<Vec<_>>());
            let b = s.spawn(|| (0..50).map(|_| (line(&(x.take(&bad, 0) - 1.0)), line!())).collect::<Vec<_>>());
            a.join().unwrap().into_iter().chain(b.join().unwrap()).collect()
        });
        assert!(lines.iter().all(|(got, want)| got == want), "{lines:?}");
    }
}

fn two_takes_of_one_kernel(d: &Device) {
    // a device of its own, because another test's read could return this error
    let d = &own(d);
    let x = put(d, vec![1f32, 2., 3.], &[3]);
    let (good, bad) = (put(d, vec![0i32, 2], &[2]), put(d, vec![0i32, -7], &[2]));
    let sum = |a: &Array, b: &Array| {
        let one = x.take(a, 0);
        let other = x.take(b, 0);
        (one + other, line!())
    };
    sum(&good, &good).0.eval().unwrap();
    let (e, at) = sum(&good, &bad);
    assert_eq!(line(&e), at - 1);
    let (e, at) = sum(&bad, &good);
    assert_eq!(line(&e), at - 2);
    // two equal `take` nodes are merged, and the error names the first line in traversal order
    let (e, at) = sum(&bad, &bad);
    assert_eq!(line(&e), at - 2);
}

fn the_line_of_a_write(d: &Device) {
    // a device of its own, because another test's read could return this error
    let d = &own(d);
    let x = put(d, vec![1f32, 2., 3.], &[3]);
    let (good, bad) = (put(d, vec![0i32, 2, 1], &[3]), put(d, vec![0i32, 3, 1], &[3]));
    let mut y = put(d, vec![0f32; 3], &[3]);
    y.assign(x.take(&good, 0)).unwrap();
    let value = x.take(&bad, 0); let here = line!();
    let error = y.assign(value).and_then(|_| y.to_vec::<f32>()).unwrap_err();
    assert_eq!(error.location().expect("a line").line(), here, "{error}");
}

fn limits_name_the_line_of_their_caller(d: &Device) {
    // plans that fail are not kept, so this plans twice; memory for the result is allocated at the evaluation
    let small = d.with_memory_limit(1 << 20).unwrap();
    let x = cupric::zeros([1], DType::F32).to_device(&small).unwrap();
    for round in 0..2 {
        let e = x.broadcast_to([1 << 22]) + round as f32; let first = line!();
        let error = e.eval().unwrap_err();
        assert_eq!((error.kind(), error.location().unwrap().line()), (ErrorKind::OutOfMemory, first), "{error}");
        let e = x.broadcast_to([1 << 22]) + round as f32; let second = line!();
        let error = e.eval().unwrap_err();
        assert_eq!((error.kind(), error.location().unwrap().line()), (ErrorKind::OutOfMemory, second), "{error}");
    }
    // among several results, the one that does not fit
    let fits = &x + 1.0;
    let large = x.broadcast_to([1 << 22]) + 1.0; let here = line!();
    let error = eval_all([&fits, &large]).unwrap_err();
    assert_eq!((error.kind(), error.location().unwrap().line()), (ErrorKind::OutOfMemory, here), "{error}");
}

}

/// If a dispatch cannot be made, the error names the line of its own caller.
#[cfg(feature = "gpu")]
#[test]
fn a_shader_that_fails_names_the_line_of_its_caller() {
    let Some(d) = gpu(1) else { return };
    let d = own(&d);
    let x = put(&d, vec![1f32, 2., 3.], &[3]);
    for _ in 0..2 {
        for second in [false, true] {
            // the same structure from two source lines
            #[allow(clippy::if_same_then_else)]
            let (e, here) = if second { (&x * 5.0 - 0.25, line!()) } else { (&x * 5.0 - 0.25, line!()) };
            let fault =
                testing::InjectedFault { site: Some("shader"), nth: 1, onwards: false, kind: ErrorKind::Internal };
            let error = testing::with_fault(&d, fault, || e.eval()).0.unwrap_err();
            assert_eq!(error.location().expect("a line").line(), here, "{error}");
        }
    }
}
