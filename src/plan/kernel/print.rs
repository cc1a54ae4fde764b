//! Prints a kernel, and the buffers that it uses, as part of a plan.

use super::{BufferRef, Kernel, Op, Position, Scattered, schedule};
use crate::base::layout::Strides;
use std::fmt;

impl fmt::Display for BufferRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BufferRef::Input(n) => write!(f, "in{n}"),
            BufferRef::Temp(n) => write!(f, "temp{n}"),
            BufferRef::Output(n) => write!(f, "out{n}"),
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (read, written) = self.bytes();
        let n = self.windows.len();
        write!(f, "{} {:?}", self.kind.name(), self.outer.as_slice())?;
        if !self.inner.is_empty() {
            write!(f, " × {:?}", self.inner.as_slice())?;
        }
        let pass = if self.continues { ", a further pass" } else { "" };
        writeln!(f, "  {n} dispatch{}{pass}, reads {read} B, writes {written} B", if n == 1 { "" } else { "es" })?;
        let place = |strides: &Strides, offset: isize| {
            let mut s = format!("{:?}", strides.as_slice());
            if offset != 0 {
                s.push_str(&format!(" + {offset}"));
            }
            s
        };
        for (i, v) in self.values.iter().enumerate() {
            let args = |a: &[usize]| a.iter().map(|i| format!("v{i}")).collect::<Vec<_>>().join(", ");
            let text = match &v.op {
                Op::Load(n) => {
                    let l = &self.loads[*n];
                    format!("load {} {}", l.buffer, place(&l.strides, l.offset))
                }
                Op::Scalar(n) => format!("scalar s{n}"),
                Op::Constant(bits) => format!("{}", crate::base::dtype::Scalar::from_bits(*bits, v.compute())),
                Op::Index { strides, offset } => format!("index {}", place(strides, *offset as isize)),
                Op::Ufunc(row, a) => format!("{}({})", row.name, args(a)),
                Op::Cast(a) => format!("cast(v{a})"),
                Op::Round(a) => format!("round(v{a})"),
                Op::Gather { load, stride, position } => {
                    let (l, Position { index, extent, mode, .. }) = (&self.loads[*load], &**position);
                    format!(
                        "gather {} {} + {stride} · v{index} of {extent}, {mode:?}",
                        l.buffer,
                        place(&l.strides, l.offset)
                    )
                }
                Op::Position(p) => format!("position(v{}) of {}, {:?}", p.index, p.extent, p.mode),
                Op::Philox { index, word, slots } => format!("philox(v{index}).{word} {slots:?}"),
                Op::Reduce(r) => r.to_string(),
                Op::Scan(r) => format!("scan {}(v{})", r.fold.name, r.inputs()[0]),
                Op::Dot { from: None, .. } => "dot(load 0, load 1)".to_string(),
                Op::Dot { from: Some(n), .. } => {
                    let l = &self.loads[*n];
                    format!("load {} {} + dot(load 0, load 1)", l.buffer, place(&l.strides, l.offset))
                }
            };
            let level = if v.inner { "" } else { if self.inner.is_empty() { "" } else { " per row" } };
            writeln!(f, "    v{i}: {}{level} = {text}", v.dtype)?;
            if let Op::Dot { .. } = v.op {
                for l in &self.loads[..2] {
                    writeln!(f, "        {} {} {}", l.buffer, l.dtype, place(&l.strides, l.offset))?;
                }
            }
        }
        for s in &self.stores {
            write!(f, "    store {} {} {}", s.buffer, s.dtype, place(&s.strides, s.offset))?;
            if let Some(Scattered { index, stride, extent, combine }) = s.scattered() {
                write!(f, " + {stride} · v{index} of {extent}, {}", combine.name())?;
            }
            write!(f, " = v{}", s.value)?;
            match s.condition() {
                Some(condition) => writeln!(f, " if v{condition}")?,
                None => writeln!(f)?,
            }
        }
        schedule::print(self, f)
    }
}
