//! What integration tests share: element types as data, the GPU or its absence, and lines that reach the terminal.
#![allow(dead_code)]

pub mod number;

use cupric::{Array, DType, Device, Element, Expr, Result, bf16, f16};
use std::io::Write;

/// Prints past the test harness, which swallows what a passing test prints.
pub fn say(line: &str) {
    // a closed terminal is no reason to fail
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// The first GPU. Without one: a line that counts the tests left out, or a failure with `CUPRIC_REQUIRE_GPU=1`.
pub fn gpu(tests: usize) -> Option<Device> {
    match Device::gpu() {
        Ok(d) => Some(d),
        Err(e) => {
            let required = std::env::var("CUPRIC_REQUIRE_GPU").is_ok_and(|v| v == "1");
            assert!(!required, "CUPRIC_REQUIRE_GPU=1, but there is no GPU: {e}");
            let why = if cfg!(feature = "gpu") { "no Vulkan driver" } else { "built without the feature gpu" };
            say(&format!("gpu tests left out: {tests} ({why})"));
            None
        }
    }
}

/// The element type of a name.
pub fn dtype(name: &str) -> Option<DType> {
    DType::ALL.into_iter().find(|d| d.name() == name)
}

/// A pseudo-random number (SplitMix64): the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * 2f64.powi(-53)
    }

    pub fn between(&mut self, lo: f64, hi: f64) -> f64 {
        lo + (hi - lo) * self.unit()
    }

    /// Roughly normal: mean 0, spread 1.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// Runs `$body` with `$t` as the Rust type of a dtype.
macro_rules! with_type {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::Bool => {
                type $t = bool;
                $body
            }
            DType::U8 => {
                type $t = u8;
                $body
            }
            DType::I8 => {
                type $t = i8;
                $body
            }
            DType::U16 => {
                type $t = u16;
                $body
            }
            DType::I16 => {
                type $t = i16;
                $body
            }
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::U64 => {
                type $t = u64;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            DType::F16 => {
                type $t = f16;
                $body
            }
            DType::BF16 => {
                type $t = bf16;
                $body
            }
            DType::F32 => {
                type $t = f32;
                $body
            }
            DType::F64 => {
                type $t = f64;
                $body
            }
            other => panic!("{other} is not known here"),
        }
    };
}

/// An array of elements given by their bits, on a device.
pub fn array(dtype: DType, bits: &[u64], shape: &[usize], device: &Device) -> Result<Array> {
    let bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes().into_iter().take(dtype.size())).collect();
    with_type!(dtype, T => Array::from_vec(T::from_bytes(&bytes).unwrap(), shape)?.to_device(device))
}

/// The elements of an expression as bits, in C order.
pub fn read(e: &Expr) -> Result<Vec<u64>> {
    let dtype = e.dtype()?;
    let bytes = with_type!(dtype, T => T::bytes(&e.to_vec::<T>()?).to_vec());
    let word = |b: &[u8]| b.iter().rev().fold(0, |w, b| w << 8 | *b as u64);
    Ok(bytes.chunks(dtype.size()).map(word).collect())
}
