//! The data that a backend keeps with a plan, and the total size of all plans that are kept.

use std::any::{Any, TypeId};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What is kept with a plan: the data that a CPU has prepared for running it (separately for runs that write in place
/// and for all other runs), and the number of bytes that the plan adds to the size of the plan cache.
#[derive(Default, Debug)]
pub(crate) struct Kept {
    prepared: [OnceLock<Prepared>; 2],
    bytes: AtomicUsize,
}

/// Data of a type that only the backend knows, with the id of this type. `Any::downcast_ref` would ask the data for the
/// id, through a call that returns it in memory, and wait for that memory in every run.
#[derive(Debug)]
struct Prepared(TypeId, Box<dyn Any + Send + Sync>);

/// The total size in bytes of all plans that were added by [`Kept::count`] and are not dropped.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Kept {
    /// Adds `weight` bytes of the plan to the total until the plan is dropped.
    pub fn count(&self, weight: usize) {
        let bytes = mutant!(plans_without_weight, 0, weight);
        self.bytes.fetch_add(bytes, Relaxed);
        TAKEN.fetch_add(bytes, Relaxed);
    }

    /// Returns the number of bytes of the plan that were counted so far.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Returns the total size in bytes of all plans that were added by [`Kept::count`] and are not dropped.
    pub fn taken() -> usize {
        TAKEN.load(Relaxed)
    }

    /// Returns the data prepared for runs that write in place or for other runs, or `None` if nothing is prepared.
    #[inline]
    pub fn prepared<T: Any>(&self, in_place: bool) -> Option<&T> {
        let Prepared(id, data) = self.prepared[in_place as usize].get()?;
        // SAFETY: `prepare` took the id from the data, and neither changes, so the data has the type `T`.
        (*id == TypeId::of::<T>()).then(|| unsafe { &*(&raw const **data).cast::<T>() })
    }

    /// Stores data prepared for runs that write in place, or for other runs, unless another thread was faster. Returns
    /// whether the data was stored.
    pub fn prepare(&self, in_place: bool, data: Box<dyn Any + Send + Sync>) -> bool {
        self.prepared[in_place as usize].set(Prepared((*data).type_id(), data)).is_ok()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        TAKEN.fetch_sub(*self.bytes.get_mut(), Relaxed);
    }
}

/// The copy belongs to another plan, for which nothing is prepared and which counts no bytes.
impl Clone for Kept {
    fn clone(&self) -> Kept {
        Kept::default()
    }
}
