//! Kernels by the device's own clock: while somebody asks, each pass notes when it begins and when it ends.

use super::batch::Batch;
use super::device::Shared;
use super::memory::lock;
use crate::error::Result;
use std::sync::Arc;
use std::time::Duration;

/// Passes that one timer can note.
const PASSES: u32 = 512;
/// Two ticks of 8 bytes a pass.
const BYTES: usize = 2 * 8;

pub(super) struct Timer {
    /// Whose it is: another thread may have put its own in this one's place.
    id: u64,
    set: wgpu::QuerySet,
    ticks: wgpu::Buffer,
    passes: u32,
    /// More passes ran than could be noted.
    full: bool,
}

impl Timer {
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
}

/// Begins to time what is recorded from now on; nothing where the device has no timestamps.
pub(super) fn start(shared: &Shared) -> Result<Option<u64>> {
    if !shared.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
        return Ok(None);
    }
    let (set, ticks) = shared.scoped("allocate", || {
        let set = shared.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timer"),
            ty: wgpu::QueryType::Timestamp,
            count: 2 * PASSES,
        });
        let ticks = shared.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timer"),
            size: PASSES as u64 * BYTES as u64,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        (set, ticks)
    })?;
    let mut batch = lock(&shared.batch);
    // what was recorded before is not counted
    batch.submit(shared)?;
    let id = batch.serial();
    batch.timer = Some(Timer { id, set, ticks, passes: 0, full: false });
    Ok(Some(id))
}

/// How long the device was busy with the passes since `start`; nothing if there were too many, or if another timer began
/// meanwhile.
pub(super) async fn stop(shared: &Arc<Shared>, id: u64) -> Result<Option<Duration>> {
    let timer = {
        let mut batch = lock(&shared.batch);
        let Some(timer) = take(&mut batch, id) else { return Ok(None) };
        batch.submit_with(shared, |encoder| {
            if timer.passes > 0 {
                encoder.resolve_query_set(&timer.set, 0..2 * timer.passes, &timer.ticks, 0);
            }
        })?;
        timer
    };
    let mut bytes = vec![];
    super::read(shared, Some((&timer.ticks, 0)), timer.passes as usize * BYTES, &mut bytes).await?;
    let ticks = bytemuck::pod_collect_to_vec::<u8, u64>(&bytes);
    let (mut busy, mut until) = (0, 0);
    for pass in ticks.chunks_exact(2) {
        // a pass may begin before the last one has ended
        busy += pass[1].saturating_sub(pass[0].max(until));
        until = until.max(pass[1]);
    }
    let nanoseconds = busy as f64 * f64::from(shared.queue.get_timestamp_period());
    Ok((!timer.full).then(|| Duration::from_secs_f64(nanoseconds / 1e9)))
}

/// Ends a timer without its time.
pub(super) fn drop_timer(shared: &Shared, id: u64) {
    take(&mut lock(&shared.batch), id);
}

fn take(batch: &mut Batch, id: u64) -> Option<Timer> {
    batch.timer.take_if(|timer| timer.id == id)
}
