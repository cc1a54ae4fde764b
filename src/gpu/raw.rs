//! User-defined shaders, which are compiled with wgpu's run-time checks and recorded into the batch like kernels.

use super::batch::BufferSlice;
use super::connection::lock;
use super::device::{Gpu, driver_buffer};
use super::time_out::operations_of_loops;
use super::wgsl::PARAMS_CLASSES;
use crate::base::error::{Error, ErrorKind, Result};
use crate::plan::backend::{RawCall, StepNote};
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

impl Gpu {
    /// Records a call of a user-defined shader. The results of the call are set to zero before the shader runs.
    pub(super) fn record_raw(&self, call: &RawCall<'_>) -> Result<()> {
        let fail = |kind, detail: String| Error::with_line(kind, call.name, detail, Some(call.line));
        self.connection.check()?;
        let (limits, most) = (self.connection.device.limits(), self.limits.max_groups);
        if let Some(n) = call.groups.iter().find(|n| **n > most) {
            let detail = format!("{n} workgroups along an axis exceed the limit of {}, {most}", self.name);
            return Err(fail(ErrorKind::LimitExceeded, detail));
        }
        if call.bindings.len() > limits.max_storage_buffers_per_shader_stage as usize {
            let (n, most) = (call.bindings.len(), limits.max_storage_buffers_per_shader_stage);
            return Err(fail(
                ErrorKind::LimitExceeded,
                format!("{n} bindings exceed the limit of {}, {most}", self.name),
            ));
        }
        // wgpu does not check this limit
        if call.workgroup_bytes > limits.max_compute_workgroup_storage_size as u64 {
            let (n, most) = (call.workgroup_bytes, limits.max_compute_workgroup_storage_size);
            let detail = format!("{n} bytes of workgroup memory exceed the limit of {}, {most}", self.name);
            return Err(fail(ErrorKind::LimitExceeded, detail));
        }
        let mut slices: SmallVec<[BufferSlice<'_>; 8]> = SmallVec::new();
        for binding in call.bindings {
            let driver = driver_buffer(binding.buffer)
                .ok_or_else(|| fail(ErrorKind::Internal, "a buffer does not belong to a GPU".to_string()))?;
            // a binding consists of whole words
            let len = (binding.bytes as u64).next_multiple_of(4);
            if len > self.caps.max_binding || len > driver.size {
                let detail = format!(
                    "an array of {len} bytes exceeds the largest binding of {}, {} bytes",
                    self.name, self.caps.max_binding
                );
                return Err(fail(ErrorKind::LimitExceeded, detail));
            }
            slices.push(BufferSlice { buffer: &driver.buffer, id: driver.id, offset: 0, len });
        }
        let mut batch = lock(&self.batch);
        let read_only = call.bindings.iter().map(|b| !b.is_result).collect();
        let compiled = batch.pipelines.raw(&self.connection, call.text, call.entry, read_only);
        // the source is known to be valid WGSL, so if it does not compile, it needs something that this device lacks: a
        // higher limit, or an extension
        let pipeline = compiled.map_err(|e| match e.kind() == ErrorKind::Internal {
            true => fail(ErrorKind::Unsupported, e.detail().split_whitespace().collect::<Vec<_>>().join(" ")),
            false => e,
        })?;
        batch.rehearse(&self.connection, &pipeline, &slices)?;
        for (binding, slice) in call.bindings.iter().zip(&slices) {
            if binding.is_result {
                batch.clear(&self.connection, slice.buffer)?;
            }
        }
        batch.begin_step(&self.connection, |began| StepNote {
            name: call.name,
            kind: "raw",
            shape: call.groups.iter().map(|n| *n as usize).collect(),
            line: Some(call.line),
            bytes: [false, true].map(|is_result| bytes(call, is_result)).into(),
            is_kernel: true,
            continues: false,
            enqueued: began.elapsed(),
            start: Duration::ZERO,
            end: Duration::ZERO,
            time: Duration::ZERO,
        })?;
        let no_params = vec![0; PARAMS_CLASSES[pipeline.class] as usize * 4];
        let bound = slices.iter().map(|s| s.len).sum();
        let invocations = call.groups.iter().fold(256u64, |n, g| n.saturating_mul(u64::from(*g)));
        let amount = (call.groups, operations_of_loops(invocations, bound));
        batch.record(&self.connection, &pipeline, &slices, &no_params, amount)?;
        batch.end_step(&self.connection);
        for buffer in call.bindings.iter().filter_map(|b| driver_buffer(b.buffer)) {
            buffer.last_batch.store(batch.serial(), Relaxed);
        }
        self.connection.counters.kernels.fetch_add(1, Relaxed);
        Ok(())
    }
}

/// Returns the total bytes of a call's results, or of the arrays that it reads.
fn bytes(call: &RawCall<'_>, is_result: bool) -> u64 {
    call.bindings.iter().filter(|b| b.is_result == is_result).map(|b| b.bytes as u64).sum()
}
