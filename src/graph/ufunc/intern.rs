//! The identity of a row of the table of ufuncs: a number that all rows with equal definitions share, and that no other
//! row ever gets.
//!
//! The address of a row cannot be its identity, because equal rows at different addresses must share plans. Besides,
//! although no row is freed today, the address of a freed row could be reused while a cache still holds the old row's
//! plan.

use super::{Class, Extreme, Neutral, Properties, Ufunc};
use crate::base::dtype::Compute;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Everything that determines what a row of the table of ufuncs computes and how a plan may treat it. Rows with equal
/// definitions are the same row.
#[derive(PartialEq, Eq, Hash)]
struct Definition {
    name: &'static str,
    arity: usize,
    class: Class,
    /// Which compute types the CPU has a loop for. The addresses of the loops are excluded, because the compiler may
    /// give one function two addresses, or two functions the same one. The name identifies what the loops compute.
    on_cpu: [bool; Compute::COUNT],
    wgsl: [Option<&'static str>; Compute::COUNT],
    /// The relevant parts of the key `reduce:`: the neutral element, the bits of `empty`, whether the order is free,
    /// and which operand is picked.
    reduce: Option<(Neutral, Option<u64>, bool, Option<Extreme>)>,
    properties: Properties,
    half: Option<[usize; 2]>,
}

/// The number of each definition seen so far. No entry is ever removed, so no number is assigned twice.
static NUMBERS: LazyLock<Mutex<HashMap<Definition, usize>>> = LazyLock::new(Mutex::default);

/// The number of a row of the table of ufuncs, assigned by the first call of [`Ufunc::id`]; 0 before that.
#[derive(Debug, Default)]
pub(crate) struct RowId(AtomicUsize);

impl RowId {
    /// Makes a cell without a number. It is `const`, because rows are statics.
    pub const fn new() -> RowId {
        RowId(AtomicUsize::new(0))
    }
}

impl Ufunc {
    /// Returns the number of this row of the table of ufuncs, which is equal for rows with equal definitions and never
    /// 0. Evaluations call this for each node, so it is a single load from memory after the first call.
    #[inline]
    pub fn id(&self) -> usize {
        // relaxed ordering suffices, because a reader uses only the number and reads no other memory through it
        match self.id.0.load(Ordering::Relaxed) {
            0 => self.intern(),
            id => id,
        }
    }

    #[cold]
    fn intern(&self) -> usize {
        // assigns numbers to the rows that f16 and bf16 use before locking the table, because assigning a number takes
        // the same lock
        let half = self.half.map(|rows| rows.map(Ufunc::id));
        let definition = Definition {
            name: self.name,
            arity: self.arity,
            class: self.class,
            on_cpu: self.forms.map(|f| f.is_some()),
            wgsl: self.wgsl,
            reduce: self.reduce.map(|r| (r.neutral, r.empty.map(f64::to_bits), r.reorders_floats, r.picks)),
            properties: self.properties,
            half,
        };
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        let next = numbers.len() + 1;
        let id = *numbers.entry(definition).or_insert(next);
        self.id.0.store(id, Ordering::Relaxed);
        id
    }
}

impl PartialEq for Ufunc {
    fn eq(&self, other: &Ufunc) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Ufunc {}

impl Hash for Ufunc {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.id());
    }
}

#[cfg(feature = "testing")]
mod tests {
    use crate::graph::ufunc::{Ufunc, all, arithmetic, logic};
    use std::collections::HashMap;

    crate::testing::unit_tests! {
        ufunc_intern: rows_of_the_table_have_numbers_of_their_own, equal_text_and_types_are_one_row,
        a_number_does_not_depend_on_who_asks_first
    }

    mod twins {
        pub mod first {
            crate::graph::ufunc::define! {
                /// One of two rows that differ only in address and test domain, neither of which is part of the
                /// definition.
                twin(x, y): Numeric {
                    cpu_float: [x + y, x + y], wgsl_f32: "{a} + {b}",
                    domain: [-1.0, 1.0],
                    reduce: { method: twin, neutral: Zero, empty: 0.0, order: fixed },
                }
            }
        }
        pub mod second {
            crate::graph::ufunc::define! {
                /// The other of the two rows that differ only in address and test domain.
                twin(x, y): Numeric {
                    cpu_float: [x + y, x + y], wgsl_f32: "{a} + {b}",
                    domain: [-2.0, 2.0],
                    reduce: { method: twin, neutral: Zero, empty: 0.0, order: fixed },
                }
            }
        }
        pub mod third {
            crate::graph::ufunc::define! {
                /// A row of the same name with different WGSL source.
                twin(x, y): Numeric {
                    cpu_float: [x + y, x + y], wgsl_f32: "{b} + {a}",
                    domain: [-1.0, 1.0],
                    reduce: { method: twin, neutral: Zero, empty: 0.0, order: fixed },
                }
            }
        }
    }

    fn rows_of_the_table_have_numbers_of_their_own() {
        let mut seen: HashMap<usize, &str> = HashMap::new();
        for row in all().chain([&logic::SELECT]) {
            assert_ne!(row.id(), 0, "{row:?}");
            assert_eq!(seen.insert(row.id(), row.name), None, "{row:?} has another row's number");
        }
    }

    fn equal_text_and_types_are_one_row() {
        let [a, b, c] = [&twins::first::twin, &twins::second::twin, &twins::third::twin];
        assert!(!std::ptr::eq(a, b));
        assert_eq!(a, b);
        assert_eq!(a.id(), b.id());
        assert_ne!(a, c);
        assert_ne!(a, &arithmetic::add);
    }

    fn a_number_does_not_depend_on_who_asks_first() {
        let ask = || all().map(Ufunc::id).collect::<Vec<_>>();
        let first = ask();
        let others: Vec<_> = (0..4).map(|_| std::thread::spawn(ask)).collect();
        for thread in others {
            assert_eq!(thread.join().expect("a thread that only reads"), first);
        }
    }
}
