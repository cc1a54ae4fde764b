//! The WGSL types that a kernel supports.

use super::lower::{Lowered, Lowering, WgslValue};
use super::source::Complaint;
use crate::base::dtype::{DType, Scalar};
use naga::{Handle, Span, Type, TypeInner};

/// The maximum number of scalars in a variable that is a vector, an array or a structure. The number is limited because
/// each scalar becomes a separate value.
const MOST_PLACES: u64 = 1 << 10;

impl Lowering<'_> {
    /// Returns the number of scalars in a value of a type, or `None` for a type that a kernel does not support.
    #[allow(clippy::wildcard_enum_match_arm)] // naga's enums also have variants for graphics pipelines, all of which are rejected
    fn places(&self, ty: Handle<Type>) -> Option<u64> {
        match &self.module.types[ty].inner {
            TypeInner::Scalar(_) => Some(1),
            TypeInner::Vector { size, .. } => Some(*size as u64),
            TypeInner::Array { base, size: naga::ArraySize::Constant(n), .. } => {
                Some(self.places(*base)?.saturating_mul(n.get() as u64))
            }
            TypeInner::Struct { members, .. } => {
                members.iter().try_fold(0u64, |sum, m| Some(sum.saturating_add(self.places(m.ty)?)))
            }
            _ => None,
        }
    }

    /// Returns the zero value of a type, as WGSL defines it.
    #[allow(clippy::wildcard_enum_match_arm)] // naga's enums also have variants for graphics pipelines, all of which are rejected
    pub fn zero(&mut self, ty: Handle<Type>, span: Span) -> Lowered<WgslValue> {
        if let Some(n) = self.places(ty)
            && n > MOST_PLACES
        {
            let detail = format!("a type of {n} numbers; a variable may have at most {MOST_PLACES}");
            return Err(Complaint::new(span, detail));
        }
        match &self.module.types[ty].inner {
            TypeInner::Scalar(scalar) => {
                let dtype = dtype_of(*scalar, span)?;
                Ok(WgslValue::One(self.program.number(Scalar::Int(0), dtype)))
            }
            TypeInner::Vector { size, scalar } => {
                let zero = self.program.number(Scalar::Int(0), dtype_of(*scalar, span)?);
                Ok(WgslValue::Many(vec![WgslValue::One(zero); *size as usize]))
            }
            TypeInner::Array { base, size: naga::ArraySize::Constant(n), .. } => {
                let zero = self.zero(*base, span)?;
                Ok(WgslValue::Many(vec![zero; n.get() as usize]))
            }
            TypeInner::Struct { members, .. } => {
                Ok(WgslValue::Many(members.iter().map(|m| self.zero(m.ty, span)).collect::<Lowered<_>>()?))
            }
            _ => Err(Complaint::new(
                span,
                "a type that a kernel cannot have: it may have scalars, vectors, arrays and structures",
            )),
        }
    }
}

/// Returns the dtype of a scalar type of WGSL.
pub(super) fn dtype_of(scalar: naga::Scalar, span: Span) -> Lowered<DType> {
    use naga::ScalarKind::{Bool, Float, Sint, Uint};
    match (scalar.kind, scalar.width) {
        (Bool, _) => Ok(DType::Bool),
        (Sint, 4) => Ok(DType::I32),
        (Sint, 8) => Ok(DType::I64),
        (Uint, 4) => Ok(DType::U32),
        (Uint, 8) => Ok(DType::U64),
        (Float, 2) => Ok(DType::F16),
        (Float, 4) => Ok(DType::F32),
        (Float, 8) => Ok(DType::F64),
        _ => Err(Complaint::new(span, "a scalar type that a kernel cannot have")),
    }
}
