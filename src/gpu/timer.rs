//! Kernels by the device's own clock: while somebody asks, each compute pass notes when it begins and when it ends.

use super::connection::Connection;
use crate::error::Result;
use std::time::Duration;

/// Passes that one timer can note. Each is a batch of up to 1,024 dispatches; a query set has at most 4,096 queries.
const PASSES: u32 = 512;
/// Bytes of a pass's notes: two ticks of 8 bytes.
const PASS_BYTES: usize = 2 * 8;

/// The notes of the passes since it was made.
pub(super) struct Timer {
    set: wgpu::QuerySet,
    /// Where the driver writes the ticks for reading back.
    pub ticks: wgpu::Buffer,
    passes: u32,
    /// More passes ran than could be noted.
    full: bool,
}

impl Timer {
    /// A timer, where the device has timestamps.
    pub fn new(connection: &Connection) -> Result<Option<Timer>> {
        if !connection.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let (set, ticks) = connection.scoped("allocate", || {
            let set = connection.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timer"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * PASSES,
            });
            let ticks = connection.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timer"),
                size: PASSES as u64 * PASS_BYTES as u64,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            (set, ticks)
        })?;
        Ok(Some(Timer { set, ticks, passes: 0, full: false }))
    }

    /// What a pass that begins now is to note.
    pub fn next_pass(&mut self) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        self.full |= self.passes == PASSES;
        if self.full {
            return None;
        }
        let first = 2 * self.passes;
        self.passes += 1;
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        })
    }

    /// Has the notes written to `ticks`.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        if self.passes > 0 {
            encoder.resolve_query_set(&self.set, 0..2 * self.passes, &self.ticks, 0);
        }
    }

    /// Bytes of the notes in `ticks`.
    pub fn bytes(&self) -> usize {
        self.passes as usize * PASS_BYTES
    }

    /// How long the device was busy with the passes, from the content of `ticks`; nothing if there were too many passes.
    pub fn busy(&self, ticks: &[u8], nanoseconds_per_tick: f32) -> Option<Duration> {
        let ticks = bytemuck::pod_collect_to_vec::<u8, u64>(ticks);
        let (mut busy, mut until) = (0, 0);
        for pass in ticks.chunks_exact(2) {
            // a pass may begin before the last one has ended
            busy += pass[1].saturating_sub(pass[0].max(until));
            until = until.max(pass[1]);
        }
        let nanoseconds = busy as f64 * f64::from(nanoseconds_per_tick);
        (!self.full).then(|| Duration::from_secs_f64(nanoseconds / 1e9))
    }
}
