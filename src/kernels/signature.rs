//! Parses the parameters of a kernel, such as `x: f32, y: T`.

use crate::base::dtype::DType;
use std::fmt;

/// The type of a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Type {
    Is(DType),
    /// A type name such as `T`, whose dtype each call determines. The field is the index of the name among the kernel's
    /// type names.
    Named(usize),
}

/// One parameter.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Param {
    pub label: String,
    pub ty: Type,
    /// The value after `=`, if there is one, such as `0` in `sum: f32 = 0`.
    pub start: Option<String>,
}

/// The type names in a kernel's parameters, in the order of their first use.
#[derive(Clone, Default, Debug)]
pub(super) struct Names(Vec<String>);

impl Names {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Parses the list of parameters `text`, and records new type names. In error messages the list is called `what`.
    pub fn params(&mut self, what: &str, text: &str) -> Result<Vec<Param>, String> {
        let params = self.params_with_starts(what, text)?;
        match params.iter().find_map(|p| Some((&p.label, p.start.as_ref()?))) {
            None => Ok(params),
            Some((label, start)) => Err(format!(
                "the {what} \"{}\": {label} has a value, {start}; only the state of a reduction may have values",
                text.trim()
            )),
        }
    }

    /// Does the same as [`params`](Names::params), but each parameter may be followed by `=` and a value.
    pub fn params_with_starts(&mut self, what: &str, text: &str) -> Result<Vec<Param>, String> {
        let text = text.trim();
        let text = text.strip_suffix(',').unwrap_or(text);
        if text.is_empty() {
            return Err(format!("the {what} must not be empty; write for example \"x: f32\""));
        }
        let mut params: Vec<Param> = vec![];
        for part in text.split(',') {
            let param = self.param(part.trim()).ok_or_else(|| {
                let names: Vec<&str> = DType::ALL.iter().map(|d| d.name()).collect();
                format!(
                    "the {what} \"{text}\": {part:?} is not `name: type`, where the type is one of {} or a name of your own in \
                     capitals such as T",
                    names.join(", ")
                )
            })?;
            if params.iter().any(|p| p.label == param.label) {
                return Err(format!("the {what} \"{text}\": {} is listed twice", param.label));
            }
            params.push(param);
        }
        Ok(params)
    }

    fn param(&mut self, text: &str) -> Option<Param> {
        let (text, start) = match text.split_once('=') {
            Some((text, start)) => (text, Some(start.trim().to_string())),
            None => (text, None),
        };
        let (name, ty) = text.split_once(':')?;
        let (name, ty) = (name.trim(), ty.trim());
        if !is_identifier(name) || !is_identifier(ty) {
            return None;
        }
        let dtype = DType::ALL.iter().find(|d| d.name().eq(ty));
        let ty = match dtype {
            Some(dtype) => Type::Is(*dtype),
            None if ty.starts_with(|c: char| c.is_ascii_uppercase()) => {
                let known = self.0.iter().position(|n| n == ty);
                Type::Named(known.unwrap_or_else(|| {
                    self.0.push(ty.to_string());
                    self.0.len() - 1
                }))
            }
            None => return None,
        };
        Some(Param { label: name.to_string(), ty, start })
    }
}

/// Returns true if a string is an identifier of WGSL that consists of ASCII characters.
pub(super) fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text != "_"
        && !text.starts_with("__")
}

impl Type {
    /// Returns the dtype that the type stands for. `named` has the dtype of each type name in a call.
    pub fn dtype(self, named: &[DType]) -> DType {
        match self {
            Type::Is(dtype) => dtype,
            Type::Named(n) => named[n],
        }
    }
}

/// Returns the type in which a kernel computes with elements of a dtype. WGSL has no 8-bit types, and its only 16-bit
/// type is f16.
pub(super) fn computed(dtype: DType) -> DType {
    if dtype == DType::F16 { dtype } else { dtype.compute().dtype() }
}

/// Displays a list of parameters in the syntax of the source, such as `x: f32, y: T`.
pub(super) struct Listed<'a>(pub &'a [Param], pub &'a Names);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, p) in self.0.iter().enumerate() {
            let ty = match p.ty {
                Type::Is(dtype) => dtype.name(),
                Type::Named(n) => &self.1.0[n],
            };
            write!(f, "{}{}: {ty}", if n > 0 { ", " } else { "" }, p.label)?;
        }
        Ok(())
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::{Names, Type};
    use crate::DType;

    crate::testing::unit_tests!(custom_signature: parameters_are_read);

    fn parameters_are_read() {
        let mut names = Names::default();
        let list = " x: f32, y :T,z: U = lowest, ";
        assert!(names.clone().params("inputs", list).is_err_and(|e| e.contains("z has a value, lowest")));
        let params = names.params_with_starts("inputs", list).expect("three parameters");
        let types: Vec<Type> = params.iter().map(|p| p.ty).collect();
        assert_eq!(types, [Type::Is(DType::F32), Type::Named(0), Type::Named(1)]);
        assert_eq!(params[2].start.as_deref(), Some("lowest"));
        assert_eq!(names.params("outputs", "w: U").expect("one parameter")[0].ty, Type::Named(1));
        assert_eq!(names.iter().collect::<Vec<_>>(), ["T", "U"]);
        for wrong in ["", "x", "x: float", "x: f32 y: f32", "1x: f32", "x: f32, x: T", "x: f32,, y: f32"] {
            assert!(names.params("inputs", wrong).is_err(), "{wrong:?}");
        }
    }
}
