//! The time that kernels take by the device's own clock: while a timer runs, each compute pass notes when it begins and when
//! it ends.

use super::connection::Connection;
use crate::error::Result;
use std::time::Duration;

/// The most passes that one timer notes: a batch is one pass, or more if there are clears in it. A pass takes two queries, and
/// a query set of wgpu has at most 4,096, so up to 2,048 passes would do; 512 is a judgement.
const PASSES: u32 = 512;
/// Bytes of a pass's times: the ticks of its begin and its end, of 8 bytes each.
const PASS_BYTES: usize = 2 * 8;

/// Notes the times of the compute passes that begin while it is the batch's timer.
pub(super) struct Timer {
    set: wgpu::QuerySet,
    /// The buffer to which [`Timer::resolve`] copies the times, in ticks of the device's clock, for reading back.
    pub ticks: wgpu::Buffer,
    passes: u32,
    /// Whether more passes ran than could be noted.
    full: bool,
}

impl Timer {
    /// Makes a timer; none if the device cannot note times.
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

    /// Where a pass that begins now must note its times; none if the timer is full.
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

    /// Records the copy of the noted times to `ticks`.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        if self.passes > 0 {
            encoder.resolve_query_set(&self.set, 0..2 * self.passes, &self.ticks, 0);
        }
    }

    /// Returns how many bytes of `ticks` hold times.
    pub fn bytes(&self) -> usize {
        self.passes as usize * PASS_BYTES
    }

    /// Returns how long the device was busy with the passes, from the content of `ticks`; none if there were too many passes.
    pub fn busy(&self, ticks: &[u8], nanoseconds_per_tick: f32) -> Option<Duration> {
        let ticks = bytemuck::pod_collect_to_vec::<u8, u64>(ticks);
        let (mut busy, mut until) = (0, 0);
        for pass in ticks.chunks_exact(2) {
            // a pass may begin before the one before it has ended: their common time counts once
            busy += pass[1].saturating_sub(pass[0].max(until));
            until = until.max(pass[1]);
        }
        let nanoseconds = busy as f64 * f64::from(nanoseconds_per_tick);
        (!self.full).then(|| Duration::from_secs_f64(nanoseconds / 1e9))
    }
}
