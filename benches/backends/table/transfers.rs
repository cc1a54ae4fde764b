//! Transfers between the host's memory and the device's.

use super::shared::TEN_MILLION;
use crate::work::{Run, Work, work};
use cupric::{Array, DType::*, Device, Result};

/// Transfers from the host's memory to the device's and back; on the CPU each is a plain copy.
pub fn rows() -> Vec<Work> {
    let upload = |x: Vec<Array>, s: &[usize], device: &Device| -> Result<Run> {
        let (host, s, device) = (x[0].to_vec::<f32>()?, s.to_vec(), device.clone());
        Ok(Box::new(move || Ok(vec![Array::from_slice(&host, &s[..])?.to_device(&device)?])))
    };
    let download = |x: Vec<Array>, _: &[usize], _: &Device| -> Result<Run> {
        Ok(Box::new(move || {
            std::hint::black_box(x[0].to_vec::<f32>()?);
            Ok(vec![])
        }))
    };
    vec![
        work("upload", "host to device", F32, TEN_MILLION)
            .flat()
            .takes("a")
            .moves(1, 1)
            .transfer()
            .program(upload)
            .python("cupy", "nojit:xp.asarray(host['a'])")
            .python("torch", "nojit:xp.from_numpy(host['a']).to(device, copy=True)")
            .python("jax", "nojit:jax.device_put(host['a'])"),
        work("download", "device to host", F32, TEN_MILLION)
            .flat()
            .takes("a")
            .moves(1, 1)
            .transfer()
            .program(download)
            .python("cupy", "nojit:a.get()")
            .python("torch", "nojit:a.to('cpu', copy=True)")
            .python("jax", "nojit:np.array(a)"),
    ]
}
