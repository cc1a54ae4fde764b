//! The header of a safetensors file, and the index of a model in several files. Both are JSON, and parsing allocates a
//! few times the length of the JSON. The offsets, shapes and names are checked before the data of a tensor is read.

use crate::base::dtype::DType;
use crate::base::error::{Fault, Result};
use crate::base::layout::{MAX_NDIM, Shape};
use crate::io::{format_fault, printable};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::collections::HashMap;
use std::fmt;

type Fallible<T> = Result<T, Fault>;

/// The only key of the header whose value is not a tensor.
pub const METADATA: &str = "__metadata__";

/// The content of a header.
#[derive(Debug, Default)]
pub struct Head {
    pub tensors: Vec<Tensor>,
    pub metadata: Vec<(String, String)>,
}

/// A tensor as the header describes it. `begin` and `end` are offsets in bytes from the end of the header.
#[derive(Debug)]
pub struct Tensor {
    pub name: Box<str>,
    pub kind: Kind,
    pub shape: Box<[usize]>,
    pub begin: u64,
    pub end: u64,
}

/// The type of a tensor's elements.
#[derive(Debug)]
pub enum Kind {
    Known(DType),
    /// The name of a type that cupric does not have.
    Other(Box<str>),
}

/// Converts a JSON error to a fault. The message may contain a string from the file, so it is cut to one short line.
fn json_fault(e: &serde_json::Error) -> Fault {
    let text: String = e.to_string().chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format_fault(format!("the header is invalid: {text}"))
}

fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Fallible<T> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = T::deserialize(&mut json).map_err(|e| json_fault(&e))?;
    json.end().map_err(|e| json_fault(&e))?;
    Ok(value)
}

impl Head {
    /// Parses the text of a header. `length` is the number of bytes of data that follow the header in the file.
    pub fn parse(text: &[u8], length: u64) -> Fallible<Head> {
        if text.first() != Some(&b'{') {
            return Err(format_fault("not a safetensors file: the header does not begin with {"));
        }
        let head: Head = parse(text)?;
        for tensor in &head.tensors {
            tensor.check().map_err(|f| format_fault(format!("tensor {}: {}", tensor.shown(), f.detail)))?;
        }
        no_name_twice(head.tensors.iter().map(|t| &*t.name))?;
        no_name_twice(head.metadata.iter().map(|(key, _)| key.as_str()))?;
        // every byte of the data must belong to exactly one tensor
        let mut order: Vec<&Tensor> = head.tensors.iter().collect();
        order.sort_unstable_by_key(|t| (t.begin, t.end));
        let mut at = 0;
        for tensor in order {
            if tensor.begin != at {
                let what =
                    if tensor.begin < at { "overlaps the one before it, which ends" } else { "leaves a hole after" };
                let detail = format!("tensor {}: it begins at {} and {what} at {at}", tensor.shown(), tensor.begin);
                return Err(format_fault(detail));
            }
            at = tensor.end;
        }
        if at != length {
            return Err(format_fault(format!("the tensors have {at} bytes, but the data of the file has {length}")));
        }
        Ok(head)
    }
}

fn no_name_twice<'a>(names: impl Iterator<Item = &'a str>) -> Fallible<()> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format_fault(format!("the header has {} twice", printable(pair[0].as_bytes())))),
        None => Ok(()),
    }
}

impl Tensor {
    /// Returns the tensor's name, escaped and shortened for messages.
    pub fn shown(&self) -> String {
        printable(self.name.as_bytes())
    }

    fn check(&self) -> Fallible<()> {
        let Tensor { kind, shape, begin, end, .. } = self;
        if shape.len() > MAX_NDIM {
            return Err(format_fault(format!("{} axes; at most {MAX_NDIM} are read", shape.len())));
        }
        let Some(bytes) = end.checked_sub(*begin) else {
            return Err(format_fault(format!("it ends at {end}, before it begins at {begin}")));
        };
        let Kind::Known(dtype) = kind else { return Ok(()) };
        // a length of 0 counts as 1, because strides are products of the other lengths and must not overflow either
        let most = shape.iter().try_fold(dtype.size(), |product, n| product.checked_mul((*n).max(1)));
        if most.is_none_or(|n| isize::try_from(n).is_err()) {
            return Err(format_fault(format!("shape {shape:?} of {dtype} has too many bytes")));
        }
        let needed = (shape.iter().product::<usize>() * dtype.size()) as u64;
        if needed != bytes {
            return Err(format_fault(format!("shape {shape:?} of {dtype} needs {needed} bytes, not {bytes}")));
        }
        Ok(())
    }

    pub fn shape(&self) -> Shape {
        Shape::from_slice(&self.shape)
    }
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Head, D::Error> {
        deserializer.deserialize_map(HeadVisitor)
    }
}

struct HeadVisitor;

impl<'de> Visitor<'de> for HeadVisitor {
    type Value = Head;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensors by name")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head, A::Error> {
        let mut head = Head::default();
        let mut has_metadata = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                if std::mem::replace(&mut has_metadata, true) {
                    return Err(A::Error::duplicate_field(METADATA));
                }
                head.metadata = map.next_value::<Pairs>()?.0;
                continue;
            }
            let Info { kind, shape, range: [begin, end] } = map.next_value()?;
            head.tensors.push(Tensor { name: name.into(), kind, shape, begin, end });
        }
        Ok(head)
    }
}

/// Pairs of a key and a string value, in the order of the JSON object.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("strings by name")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = vec![];
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

/// The header's entry of one tensor.
struct Info {
    kind: Kind,
    shape: Box<[usize]>,
    range: [u64; 2],
}

impl<'de> Deserialize<'de> for Info {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Info, D::Error> {
        deserializer.deserialize_map(InfoVisitor)
    }
}

struct InfoVisitor;

impl<'de> Visitor<'de> for InfoVisitor {
    type Value = Info;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor with dtype, shape and data_offsets")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Info, A::Error> {
        let (mut kind, mut shape, mut range) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            let (name, is_new) = match key.as_str() {
                "dtype" => ("dtype", kind.replace(map.next_value::<String>()?).is_none()),
                "shape" => ("shape", shape.replace(map.next_value::<Vec<usize>>()?).is_none()),
                "data_offsets" => ("data_offsets", range.replace(map.next_value::<[u64; 2]>()?).is_none()),
                // other keys are ignored, because later versions of the format may add some
                _ => ("", map.next_value::<IgnoredAny>().map(|_| true)?),
            };
            if !is_new {
                return Err(A::Error::duplicate_field(name));
            }
        }
        let name = kind.ok_or_else(|| A::Error::missing_field("dtype"))?;
        let kind = match DType::ALL.into_iter().find(|dtype| dtype.facts().safetensors == name) {
            Some(dtype) => Kind::Known(dtype),
            None => Kind::Other(name.into()),
        };
        let shape = shape.ok_or_else(|| A::Error::missing_field("shape"))?.into();
        let range = range.ok_or_else(|| A::Error::missing_field("data_offsets"))?;
        Ok(Info { kind, shape, range })
    }
}

// --- a model in several files ---

/// The index of a model in several files. It states which file contains each tensor.
pub struct Index {
    pub files: Vec<String>,
    /// The name of each tensor, and the position of its file in `files`.
    pub tensors: Vec<(String, usize)>,
}

impl Index {
    pub fn parse(text: &[u8]) -> Fallible<Index> {
        let Map(pairs) = parse(text)?;
        no_name_twice(pairs.iter().map(|(name, _)| name.as_str()))?;
        let mut index = Index { files: vec![], tensors: vec![] };
        let mut known: HashMap<String, usize> = HashMap::new();
        for (name, file) in pairs {
            let position = match known.get(&file) {
                Some(position) => *position,
                None => {
                    check_file(&file)?;
                    index.files.push(file.clone());
                    known.insert(file, index.files.len() - 1);
                    index.files.len() - 1
                }
            };
            index.tensors.push((name, position));
        }
        Ok(index)
    }
}

/// Returns an error unless the name is a plain file name without a folder, because an index must not lead to files
/// outside its own folder.
fn check_file(name: &str) -> Fallible<()> {
    let is_odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':');
    if name.is_empty() || name == "." || name == ".." || name.contains(is_odd) {
        let detail = format!(
            "the index names the file {}, which is not the plain name of a file in the same folder",
            printable(name.as_bytes())
        );
        return Err(format_fault(detail));
    }
    Ok(())
}

/// The `weight_map` of an index: pairs of a tensor's name and the name of its file.
struct Map(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Map {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Map, D::Error> {
        deserializer.deserialize_map(MapVisitor)
    }
}

struct MapVisitor;

impl<'de> Visitor<'de> for MapVisitor {
    type Value = Map;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index with weight_map")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Map, A::Error> {
        let mut pairs = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "weight_map" {
                map.next_value::<IgnoredAny>()?;
            } else if pairs.replace(map.next_value::<Pairs>()?.0).is_some() {
                return Err(A::Error::duplicate_field("weight_map"));
            }
        }
        pairs.map(Map).ok_or_else(|| A::Error::missing_field("weight_map"))
    }
}
