//! `bincount` on the CPU. One thread counts a few values directly in the result. For many values, each task counts its
//! part in its own table in scratch memory, and then the tables are added up. The result does not depend on the number
//! of tasks, because sums of integers are exact.

use super::operands::{Refused, RoutineMemory, each_chunk};
use crate::base::dtype::{DType, Element};

/// The number of counts that one task adds up from all tables. 4,096 counts of 8 bytes are 32 KiB, the size of a common
/// L1 cache.
const COUNTS: usize = 1 << 12;

/// Counts the values of the operand of `call` in its result.
pub(super) fn run(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    match call.call.operands[0].meta.dtype {
        DType::U8 => count::<u8>(call),
        DType::I8 => count::<i8>(call),
        DType::U16 => count::<u16>(call),
        DType::I16 => count::<i16>(call),
        DType::U32 => count::<u32>(call),
        DType::I32 => count::<i32>(call),
        DType::U64 => count::<u64>(call),
        DType::I64 => count::<i64>(call),
        // these dtypes have been rejected when the expression was built (`src/graph/routine/bincount.rs`)
        DType::Bool | DType::F16 | DType::BF16 | DType::F32 | DType::F64 => Ok(()),
    }
}

fn count<T: Element + Into<i128>>(call: &mut RoutineMemory<'_>) -> Result<(), Refused>
where
    usize: TryFrom<T>,
{
    let values = call.operand::<T>(0);
    call.with_result(0, 0, |counts: &mut [i64], tables: &mut [i64]| {
        let length = counts.len();
        // Counts `values` in `counts`. Stops at the first value that is not an index of `counts`, and returns that
        // value.
        let count_into = |values: &[T], counts: &mut [i64]| -> Option<Refused> {
            for value in values {
                match usize::try_from(*value).ok().and_then(|v| counts.get_mut(v)) {
                    Some(count) => *count += 1,
                    None => return Some(Refused((*value).into())),
                }
            }
            None
        };
        if tables.is_empty() {
            return count_into(values, counts).map_or(Ok(()), Err);
        }
        let each = values.len().div_ceil(tables.len() / length);
        let part = |i: usize| &values[(i * each).min(values.len())..((i + 1) * each).min(values.len())];
        let refused = each_chunk(tables, length, size_of_val(values), |i, table| count_into(part(i), table));
        if let Some(refused) = refused {
            return Err(refused);
        }
        let tables = &*tables;
        each_chunk(counts, COUNTS, size_of_val(tables), |chunk, counts| -> Option<()> {
            for table in tables.chunks(length) {
                let table = &table[chunk * COUNTS..];
                counts.iter_mut().zip(table).for_each(|(count, more)| *count += more);
            }
            None
        });
        Ok(())
    })
}
