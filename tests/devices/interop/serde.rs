//! Arrays, dtypes and devices through serde: they are read back with the same bits, and inconsistent input gives an
//! error without allocating memory.

use crate::kit::*;
use cupric::*;

/// Arrays of all dtypes with their extreme values.
fn extremes() -> Vec<Array> {
    let floats = [0.0, -0.0, 1.5, -2.25, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    vec![
        array![true, false, true],
        array![u8::MIN, u8::MAX],
        array![i8::MIN, i8::MAX],
        array![u16::MIN, u16::MAX],
        array![i16::MIN, i16::MAX],
        array![u32::MIN, u32::MAX],
        array![i32::MIN, i32::MAX],
        array![u64::MIN, u64::MAX],
        array![i64::MIN, i64::MAX],
        Array::from_vec(
            floats.map(f16::from_f64).into_iter().chain([f16::MAX, f16::MIN_POSITIVE_SUBNORMAL]).collect(),
            [9],
        )
        .unwrap(),
        Array::from_vec(floats.map(bf16::from_f64).into_iter().chain([bf16::MAX, bf16::MIN_POSITIVE]).collect(), [9])
            .unwrap(),
        Array::from_vec(floats.map(|v| v as f32).into_iter().chain([0.1, f32::MAX, f32::from_bits(1)]).collect(), [10])
            .unwrap(),
        Array::from_vec(floats.into_iter().chain([0.1, 1e300]).collect(), [9]).unwrap(),
    ]
}

fn same(a: &Array, b: &Array) {
    assert_eq!((a.dtype(), a.shape()), (b.dtype(), b.shape()));
    assert_eq!(a.to_bytes().unwrap(), b.to_bytes().unwrap(), "{a} {b}");
}

on_devices! {
    fn arrays_round_trip(d: &Device) {
        let x = put(d, vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
        let t = x.t().eval().unwrap();
        let text = serde_json::to_string(&t).unwrap();
        assert_eq!(text, r#"{"dtype":"f32","shape":[3,2],"data":[1.0,4.0,2.0,5.0,3.0,6.0]}"#);
        let back: Array = serde_json::from_str(&text).unwrap();
        same(&back, &t);
        assert_eq!(back.device(), Device::cpu());
        let back: Array = postcard::from_bytes(&postcard::to_allocvec(&t).unwrap()).unwrap();
        same(&back, &t);
    }
}

#[test]
fn every_type_keeps_every_bit() {
    for x in extremes() {
        let text = serde_json::to_string(&x).unwrap();
        same(&serde_json::from_str(&text).unwrap(), &x);
        let bytes = postcard::to_allocvec(&x).unwrap();
        same(&postcard::from_bytes(&bytes).unwrap(), &x);
        // the text has only the names, the lengths and the bytes of the elements
        assert!(bytes.len() <= x.to_bytes().unwrap().len() + 16);
    }
    for shape in [vec![], vec![0], vec![3, 0, 2], vec![1; 64]] {
        let x = ones(&shape[..], DType::I16).eval().unwrap();
        same(&serde_json::from_str(&serde_json::to_string(&x).unwrap()).unwrap(), &x);
        same(&postcard::from_bytes(&postcard::to_allocvec(&x).unwrap()).unwrap(), &x);
    }
    // fields in any order, and integers where the dtype is a float
    let x: Array = serde_json::from_str(r#"{"data":[1,-2,0.5],"shape":[3],"dtype":"f16"}"#).unwrap();
    assert_eq!(x.to_vec_as::<f32>().unwrap(), [1., -2., 0.5]);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let refused = |text: &str, why: &str| {
        let e = serde_json::from_str::<Array>(text).map(|_| ()).unwrap_err().to_string();
        assert!(e.contains(why), "{text}: {e}");
    };
    refused(r#"{"dtype":"f32","shape":[2],"data":[1.0]}"#, "1 elements of data do not fill shape [2]");
    refused(r#"{"dtype":"f32","shape":[2],"data":[1.0,2.0,3.0]}"#, "more elements than the 2 of the shape");
    refused(r#"{"data":[1.0,2.0,3.0],"dtype":"f32","shape":[2]}"#, "3 elements of data do not fill shape [2]");
    refused(r#"{"dtype":"f32","shape":[4294967296,4294967296],"data":[]}"#, "too many elements");
    refused(r#"{"dtype":"f32","shape":[1000000000000],"data":[1.0]}"#, "do not fill");
    refused(r#"{"dtype":"f32","shape":[-1],"data":[1.0]}"#, "invalid value");
    refused(r#"{"dtype":"f32","data":[1.0]}"#, "missing field `shape`");
    refused(r#"{"shape":[1],"data":[1.0]}"#, "missing field `dtype`");
    refused(r#"{"dtype":"f32","shape":[1]}"#, "missing field `data`");
    refused(r#"{"dtype":"f32","dtype":"f32","shape":[1],"data":[1.0]}"#, "duplicate field `dtype`");
    refused(r#"{"dtype":"f32","shape":[1],"data":[1.0],"more":1}"#, "unknown field 'more'");
    refused(r#"{"dtype":"f33","shape":[1],"data":[1.0]}"#, "unknown dtype 'f33'");
    refused(r#"{"dtype":"u8","shape":[1],"data":[256]}"#, "element 0 is not a valid u8");
    refused(r#"{"dtype":"u8","shape":[2],"data":[1,-1]}"#, "element 1 is not a valid u8");
    refused(r#"{"dtype":"i32","shape":[1],"data":[1.5]}"#, "element 0 is not a valid i32");
    refused(r#"{"dtype":"bool","shape":[1],"data":[1]}"#, "element 0 is not a valid bool");
    refused(r#"{"dtype":"f32","shape":[1],"data":[1e39]}"#, "element 0 is not a valid f32");
    refused(r#"{"dtype":"f32","shape":[1],"data":["infinity"]}"#, "invalid value");
    let axes = vec!["1"; 65].join(",");
    refused(&format!(r#"{{"dtype":"f32","shape":[{axes}],"data":[1.0]}}"#), "65 axes");
    refused("[]", "dtype, shape and data");
}

#[test]
fn compact_forms_are_checked_as_well() {
    let bytes = postcard::to_allocvec(&array![1., 2., 3.]).unwrap();
    for end in 0..bytes.len() {
        assert!(postcard::from_bytes::<Array>(&bytes[..end]).is_err(), "{end}");
    }
    // with any byte changed, the result is an error, or an array no larger than the input
    for place in 0..bytes.len() {
        for value in [0, 1, 2, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[place] = value;
            if let Ok(x) = postcard::from_bytes::<Array>(&changed) {
                assert!(x.to_bytes().unwrap().len() <= changed.len());
            }
        }
    }
    let lying = postcard::to_allocvec(&("f32", vec![1u64 << 40], [0u8; 4].as_slice())).unwrap();
    assert!(postcard::from_bytes::<Array>(&lying).is_err());
    let odd = postcard::to_allocvec(&("bool", vec![2u64], "\u{1}\u{2}")).unwrap();
    assert!(postcard::from_bytes::<Array>(&odd).is_err());
}

#[test]
fn dtypes_and_devices_go_by_name() {
    for dtype in DType::ALL {
        let text = serde_json::to_string(&dtype).unwrap();
        assert_eq!(text, format!("\"{dtype}\""));
        assert_eq!(serde_json::from_str::<DType>(&text).unwrap(), dtype);
        assert_eq!(postcard::from_bytes::<DType>(&postcard::to_allocvec(&dtype).unwrap()).unwrap(), dtype);
    }
    assert!(serde_json::from_str::<DType>("3").is_err());
    let cpu = serde_json::to_string(&Device::cpu()).unwrap();
    assert_eq!((cpu.as_str(), serde_json::from_str::<Device>(&cpu).unwrap()), ("\"cpu\"", Device::cpu()));
    let e = serde_json::from_str::<Device>("\"tpu\"").unwrap_err().to_string();
    assert!(e.contains("unknown device 'tpu'"), "{e}");
    let e = serde_json::to_string(&own(&Device::cpu())).unwrap_err().to_string();
    assert!(e.contains("no name that another process could use"), "{e}");
    if let Some(gpu) = shared_gpu(1) {
        let text = serde_json::to_string(&gpu).unwrap();
        assert_eq!(text, "\"gpu:0\"");
        assert_eq!(serde_json::from_str::<Device>(&text).unwrap(), gpu);
    }
}
