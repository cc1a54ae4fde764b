//! Memory that is shared through DLPack: it is not copied, is released once, and is never written while shared.

use crate::kit::*;
use cupric::dlpack_abi::*;
use cupric::*;
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The address of an array's first element, its shape and strides, as an importer sees them.
fn seen(x: &Array) -> (*mut c_void, Vec<i64>, Vec<i64>) {
    let raw = x.to_dlpack().unwrap().into_raw();
    // SAFETY: the tensor was exported above, and is deleted once.
    unsafe {
        let DLManagedTensorVersioned { version, flags, dl_tensor: t, deleter, .. } = raw.as_ref();
        assert_eq!((version.major, *flags, t.device.device_type, t.byte_offset), (1, READ_ONLY, CPU, 0));
        let list = |numbers| std::slice::from_raw_parts(numbers, t.ndim as usize).to_vec();
        let seen = (t.data, list(t.shape), list(t.strides));
        deleter.unwrap()(raw.as_ptr());
        seen
    }
}

fn import(tensor: DlpackTensor) -> Array {
    // SAFETY: the tensors of these tests are valid, and nobody writes to them.
    unsafe { Array::from_dlpack(tensor.into_raw()) }.unwrap()
}

#[test]
fn both_ways_without_a_copy() {
    let x = Array::from_vec((0..120).collect::<Vec<i32>>(), [4, 5, 6]).unwrap();
    let views = [
        x.slice(s![..]),
        x.t(),
        x.slice(s![1..3, ..;2, ..;-1]),
        x.slice(s![..;-1, ..;-2, 3]),
        x.slice(s![2, 2, 2]),
        x.slice(s![0, .., ..1]).broadcast_to([3, 5, 7]),
        x.slice(s![1..1]),
    ];
    for e in views {
        let y = e.eval().unwrap();
        let (place, shape, strides) = seen(&y);
        assert_eq!(shape, y.shape().iter().map(|n| *n as i64).collect::<Vec<_>>());
        assert_eq!(strides, y.strides().iter().map(|n| *n as i64).collect::<Vec<_>>());
        assert_eq!(place.is_null(), y.size() == 0);
        let z = import(y.to_dlpack().unwrap());
        assert_eq!((z.dtype(), z.shape()), (y.dtype(), y.shape()));
        assert_eq!(z.to_vec::<i32>().unwrap(), y.to_vec::<i32>().unwrap());
        assert_eq!(seen(&z).0, place);
        assert!(y.size() == 0 || z.strides() == y.strides());
        // the imported array computes like any other
        assert_eq!((&z + 1).sum(..).item::<i64>().unwrap(), (&y + 1).sum(..).item::<i64>().unwrap());
    }
    for dtype in DType::ALL {
        let y = array![0, 1, 1].astype(dtype).eval().unwrap();
        let z = import(y.to_dlpack().unwrap());
        assert_eq!((z.dtype(), z.to_bytes().unwrap()), (dtype, y.to_bytes().unwrap()));
        // SAFETY: the tensor has just been exported, and nobody writes to it.
        let z = unsafe { Array::from_dlpack_legacy(y.into_dlpack_legacy().unwrap()) }.unwrap();
        assert_eq!((z.dtype(), z.size()), (dtype, 3));
    }
}

#[test]
fn memory_that_others_hold_is_never_written() {
    let mut x = Array::from_vec(vec![1f32, 2., 3.], [3]).unwrap();
    let tensor = x.to_dlpack().unwrap();
    let mut y = import(tensor);
    let place = seen(&x).0;
    assert_eq!(seen(&y).0, place);
    y.update(|y| y * 10.0).unwrap();
    assert_ne!(seen(&y).0, place);
    assert_eq!(y.to_vec::<f32>().unwrap(), [10., 20., 30.]);
    // only `x` still holds the memory, so the write happens in place
    x.update(|x| x + 1.0).unwrap();
    assert_eq!((seen(&x).0, x.to_vec::<f32>().unwrap()), (place, vec![2., 3., 4.]));
    // while an exported tensor is alive, a write allocates new memory
    let held = x.to_dlpack().unwrap();
    x.update(|x| x * 0.0).unwrap();
    assert_ne!(seen(&x).0, place);
    assert_eq!(import(held).to_vec::<f32>().unwrap(), [2., 3., 4.]);
    // an exporter that held the memory alone lets the importer write; imported memory is never writable
    let other = x.clone();
    assert!(x.into_dlpack().unwrap().is_read_only());
    let tensor = other.into_dlpack().unwrap();
    assert!(!tensor.is_read_only());
    assert!(import(tensor).into_dlpack().unwrap().is_read_only());
    // the old structure has no read-only flag, so a shared array is copied
    let x = Array::from_vec(vec![1f32, 2.], [2]).unwrap();
    let (other, place) = (x.clone(), seen(&x).0);
    for (array, is_copy) in [(x, true), (other, false)] {
        let raw = array.into_dlpack_legacy().unwrap();
        // SAFETY: the tensor was exported above, and is deleted once.
        unsafe {
            assert_eq!(raw.as_ref().dl_tensor.data != place, is_copy);
            raw.as_ref().deleter.unwrap()(raw.as_ptr());
        }
    }
}

/// A tensor of another library, which counts how often its tensors are released.
struct Foreign {
    tensor: DLManagedTensorVersioned,
    shape: Vec<i64>,
    strides: Vec<i64>,
    _memory: Vec<u64>,
    returned: &'static AtomicU64,
}

/// Releases a tensor that [`foreign`] made.
///
/// # Safety
/// The tensor was made by `foreign`, and is not used afterwards.
unsafe extern "C" fn give_back(tensor: *mut DLManagedTensorVersioned) {
    // SAFETY: the context is the pointer to the box that `foreign` leaked, and this runs once.
    let foreign = unsafe { Box::from_raw((*tensor).manager_ctx.cast::<Foreign>()) };
    foreign.returned.fetch_add(1, Relaxed);
}

const F32: DLDataType = DLDataType { code: FLOAT, bits: 32, lanes: 1 };

/// Imports a tensor of 16 floats (0, 1, 2, …) after `change` has modified it.
fn foreign(
    shape: &[i64],
    strides: Option<&[i64]>,
    returned: &'static AtomicU64,
    change: impl FnOnce(&mut DLManagedTensorVersioned),
) -> Result<Array> {
    let memory: Vec<u64> = (0..8u64)
        .map(|n| {
            let [low, high] = [2 * n, 2 * n + 1].map(|v| (v as f32).to_bits() as u64);
            if cfg!(target_endian = "little") { low | high << 32 } else { high | low << 32 }
        })
        .collect();
    let tensor = DLManagedTensorVersioned {
        version: DLPackVersion { major: 1, minor: 0 },
        manager_ctx: null_mut(),
        deleter: Some(give_back),
        flags: 0,
        dl_tensor: DLTensor {
            data: memory.as_ptr() as *mut c_void,
            device: DLDevice { device_type: CPU, device_id: 0 },
            ndim: shape.len() as i32,
            dtype: F32,
            shape: null_mut(),
            strides: null_mut(),
            byte_offset: 0,
        },
    };
    let strides_of = strides.unwrap_or_default().to_vec();
    let own = Foreign { tensor, shape: shape.to_vec(), strides: strides_of, _memory: memory, returned };
    let own = Box::into_raw(Box::new(own));
    // SAFETY: the box was leaked above. Its tensor is valid except for `change`; invalid changes are rejected.
    unsafe {
        let tensor = &mut (*own).tensor;
        tensor.manager_ctx = own.cast();
        tensor.dl_tensor.shape = (*own).shape.as_mut_ptr();
        if strides.is_some() {
            tensor.dl_tensor.strides = (*own).strides.as_mut_ptr();
        }
        change(tensor);
        Array::from_dlpack(NonNull::new(&raw mut (*own).tensor).unwrap())
    }
}

#[test]
fn foreign_tensors_are_kept_and_given_back_once() {
    static RETURNED: AtomicU64 = AtomicU64::new(0);
    let elements = |x: &Array| x.to_vec::<f32>().unwrap();
    let x = foreign(&[2, 3], None, &RETURNED, |_| ()).unwrap();
    assert_eq!(elements(&x), [0., 1., 2., 3., 4., 5.]);
    let view = x.slice(s![1]).eval().unwrap();
    drop(x);
    assert_eq!((RETURNED.load(Relaxed), elements(&view)), (0, vec![3., 4., 5.]));
    drop(view);
    assert_eq!(RETURNED.load(Relaxed), 1);
    // negative strides, from an element in the middle
    let x = foreign(&[3, 2], Some(&[-4, 1]), &RETURNED, |t| t.dl_tensor.byte_offset = 9 * 4).unwrap();
    assert_eq!((elements(&x), x.strides()), (vec![9., 10., 5., 6., 1., 2.], &[-4, 1][..]));
    drop(x);
    assert_eq!(RETURNED.load(Relaxed), 2);
    // no elements: the tensor is released at once
    let x = foreign(&[0, 4], None, &RETURNED, |t| t.dl_tensor.data = null_mut()).unwrap();
    assert_eq!((x.size(), RETURNED.load(Relaxed)), (0, 3));
    // a misaligned address: the elements are copied
    let x = foreign(&[2], None, &RETURNED, |t| t.dl_tensor.byte_offset = 2).unwrap();
    assert_eq!((x.size(), RETURNED.load(Relaxed)), (2, 4));
    // used and released by another thread
    let x = foreign(&[4], None, &RETURNED, |_| ()).unwrap();
    let sum = std::thread::spawn(move || x.sum(..).item::<f32>().unwrap()).join().unwrap();
    assert_eq!((sum, RETURNED.load(Relaxed)), (6., 5));
}

#[test]
fn wrong_tensors_are_refused_and_given_back() {
    static RETURNED: AtomicU64 = AtomicU64::new(0);
    let mut count = 0;
    let mut refused =
        |shape: &[i64], strides: Option<&[i64]>, kind, why: &str, change: fn(&mut DLManagedTensorVersioned)| {
            let e = foreign(shape, strides, &RETURNED, change).map(|_| ()).unwrap_err();
            assert_eq!((e.kind(), e.operation()), (kind, "from_dlpack"), "{e}");
            assert!(e.to_string().contains(why), "{e}");
            count += 1;
            assert_eq!(RETURNED.load(Relaxed), count);
        };
    let (unsupported, format) = (ErrorKind::Unsupported, ErrorKind::Format);
    refused(&[2], None, unsupported, "DLPack version 2.0 is not supported", |t| t.version.major = 2);
    refused(&[2], None, unsupported, "device of type 2", |t| t.dl_tensor.device.device_type = 2);
    refused(&[2], None, unsupported, "code 5, 64 bits", |t| {
        t.dl_tensor.dtype = DLDataType { code: 5, bits: 64, lanes: 1 }
    });
    refused(&[2], None, unsupported, "4 lanes", |t| t.dl_tensor.dtype.lanes = 4);
    refused(&[2], None, format, "a negative number of axes", |t| t.dl_tensor.ndim = -1);
    refused(&[-2], None, format, "a length is negative", |_| ());
    refused(&[2], None, format, "there are no lengths", |t| t.dl_tensor.shape = null_mut());
    refused(&[2], None, format, "elements without memory", |t| t.dl_tensor.data = null_mut());
    refused(&[2, 2], Some(&[i64::MAX, 1]), format, "strides reach too far", |_| ());
    refused(&[1 << 40, 1 << 40], None, ErrorKind::LimitExceeded, "too many elements", |_| ());
    refused(&[1; 65], None, ErrorKind::LimitExceeded, "65 axes", |_| ());
    refused(&[8], None, ErrorKind::Argument, "a bool is a byte other", |t| {
        t.dl_tensor.dtype = DLDataType { code: BOOL, bits: 8, lanes: 1 };
    });
}

#[test]
fn elements_that_share_a_place_are_not_given_away_to_write() {
    let rows = || array![1., 2.].broadcast_to([3, 2]).eval().unwrap();
    assert!(rows().into_dlpack().unwrap().is_read_only());
    let raw = rows().into_dlpack_legacy().unwrap();
    // SAFETY: the tensor has just been exported, and nobody writes to it.
    let copy = unsafe { Array::from_dlpack_legacy(raw) }.unwrap();
    assert_eq!(copy.strides(), [2, 1]);
    assert_eq!(copy.to_vec::<f32>().unwrap(), [1., 2., 1., 2., 1., 2.]);
    // 2⁴⁰ bools that share one address
    let (one, many) = (array![true], [1usize << 20, 1 << 20]);
    let raw = one.broadcast_to(many).eval().unwrap().to_dlpack().unwrap().into_raw();
    // SAFETY: the tensor has just been exported, and nobody writes to it.
    let x = unsafe { Array::from_dlpack(raw) }.unwrap();
    assert!(x.shape() == many && x.slice(s![5, 7]).item::<bool>().unwrap());
}

#[test]
fn an_array_of_a_gpu_has_no_memory_of_the_host() {
    let Some(gpu) = gpu(1) else { return };
    let x = array![1., 2.].to_device(&gpu).unwrap();
    let e = x.to_dlpack().map(|_| ()).unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::DeviceMismatch, "to_dlpack"));
    assert!(e.to_string().contains("to_device"), "{e}");
}
