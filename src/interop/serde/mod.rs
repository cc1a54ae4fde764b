//! Serialisation with serde. Input is untrusted, so memory is allocated only as data arrives, and the number of
//! elements is checked against the shape.

mod human;

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, room};
use crate::base::layout::size_of_shape;
use ::serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use ::serde::ser::{self, SerializeStruct, Serializer};
use ::serde::{Deserialize, Serialize};
use human::{HumanNumber, NumberList};
use std::fmt;

/// Serialises a dtype as its short name: `f32`, `bool`, … (Feature `serde`.)
///
/// ```
/// use cupric::DType;
/// assert_eq!(serde_json::to_string(&DType::BF16).unwrap(), "\"bf16\"");
/// assert_eq!(serde_json::from_str::<DType>("\"u8\"").unwrap(), DType::U8);
/// assert!(serde_json::from_str::<DType>("\"u7\"").is_err());
/// ```
impl Serialize for DType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A visitor that parses a string. The first field describes the expected input for error messages, and the second
/// field is the parser.
struct Named<T>(&'static str, fn(&str) -> Result<T, String>);

impl<T> Visitor<'_> for Named<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
    fn visit_str<E: de::Error>(self, name: &str) -> Result<T, E> {
        self.1(name).map_err(E::custom)
    }
}

/// Deserialises a dtype from its short name. (Feature `serde`.)
impl<'de> Deserialize<'de> for DType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DType, D::Error> {
        let find = |name: &str| {
            let found = DType::ALL.map(DType::name).iter().position(|known| *known == name);
            found.map(|n| DType::ALL[n]).ok_or_else(|| format!("unknown dtype '{name}'"))
        };
        deserializer.deserialize_str(Named("the name of a dtype", find))
    }
}

/// Serialises a device as the name that [`str::parse`] accepts: `cpu` or `gpu:N`. A device made by
/// [`Device::with_memory_limit`] has no such name, so serialising it returns an error. (Feature `serde`.)
///
/// ```
/// use cupric::Device;
/// assert_eq!(serde_json::to_string(&Device::cpu()).unwrap(), "\"cpu\"");
/// assert_eq!(serde_json::from_str::<Device>("\"cpu\"").unwrap(), Device::cpu());
/// let limited = Device::cpu().with_memory_limit(1 << 20)?;
/// assert!(serde_json::to_string(&limited).is_err());
/// # Ok::<(), cupric::Error>(())
/// ```
impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.parsed_name() {
            Some(name) => serializer.serialize_str(&name),
            None => Err(ser::Error::custom(format!("the device {self} has no name that another process could use"))),
        }
    }
}

/// Deserialises a device from `cpu`, `gpu`, `gpu:N` or `best`, like [`str::parse`]. (Feature `serde`.)
impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Device, D::Error> {
        deserializer
            .deserialize_str(Named("the name of a device", |name| name.parse().map_err(|e: Error| e.to_string())))
    }
}

const FIELDS: [&str; 3] = ["dtype", "shape", "data"];

/// Serialises an array as `dtype`, `shape` and `data`, in C order. An array on a GPU is downloaded. (Feature `serde`.)
///
/// In human-readable formats (JSON, TOML, YAML) `data` is a flat list of numbers. Floats are written as f64, or as
/// `"NaN"`, `"inf"` and `"-inf"`, because JSON has no such numbers. Floats are read back exactly, but f64 values only
/// if the format's parser is exact. In compact formats (postcard, bincode, CBOR) `data` is the bytes in little-endian
/// order.
///
/// ```
/// use cupric::{Array, array};
/// let x = array![[1.5, f32::INFINITY], [0., -2.]];
/// let text = serde_json::to_string(&x).unwrap();
/// assert_eq!(text, r#"{"dtype":"f32","shape":[2,2],"data":[1.5,"inf",0.0,-2.0]}"#);
/// let y: Array = serde_json::from_str(&text).unwrap();
/// assert_eq!(y.to_vec::<f32>()?, x.to_vec::<f32>()?);
/// # Ok::<(), cupric::Error>(())
/// ```
impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = self.to_bytes().map_err(ser::Error::custom)?;
        let for_people = serializer.is_human_readable();
        let mut parts = serializer.serialize_struct("Array", FIELDS.len())?;
        parts.serialize_field(FIELDS[0], &self.dtype())?;
        parts.serialize_field(FIELDS[1], self.shape())?;
        if for_people {
            parts.serialize_field(FIELDS[2], &NumberList { dtype: self.dtype(), bytes: &bytes })?;
        } else {
            to_or_from_little_endian(&mut bytes, self.dtype());
            parts.serialize_field(FIELDS[2], &Bytes(&bytes))?;
        }
        parts.end()
    }
}

/// Converts elements from native byte order to little-endian, or back.
fn to_or_from_little_endian(bytes: &mut [u8], dtype: DType) {
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Deserialises an array on the CPU from the fields `dtype`, `shape` and `data`. Memory is allocated only for data that
/// is present, because the shape is untrusted. Returns an error if the data does not fill the shape. (Feature `serde`.)
impl<'de> Deserialize<'de> for Array {
    #[track_caller]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Array, D::Error> {
        let for_people = deserializer.is_human_readable();
        deserializer.deserialize_struct("Array", &FIELDS, Parts { for_people })
    }
}

/// A visitor that reads the fields of an array (`dtype`, `shape` and `data`).
struct Parts {
    for_people: bool,
}

impl<'de> Visitor<'de> for Parts {
    type Value = Array;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array: dtype, shape and data")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Array, A::Error> {
        let none = |n: usize| move || de::Error::invalid_length(n, &"dtype, shape and data");
        let dtype = seq.next_element()?.ok_or_else(none(0))?;
        let shape: Vec<usize> = seq.next_element()?.ok_or_else(none(1))?;
        let most = Some(count::<A::Error>(&shape)?);
        let data = seq.next_element_seed(DataOf { for_people: self.for_people, most })?.ok_or_else(none(2))?;
        made(dtype, &shape, data)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Array, A::Error> {
        let (mut dtype, mut shape, mut data) = (None, None::<Vec<usize>>, None);
        while let Some(field) = map.next_key_seed(Field)? {
            let is_second = match field {
                0 => dtype.replace(map.next_value()?).is_some(),
                1 => shape.replace(map.next_value()?).is_some(),
                _ => {
                    // the shape is not known yet if a program has sorted the fields, because `data` then comes before
                    // `shape`
                    let most = shape.as_deref().map(count::<A::Error>).transpose()?;
                    data.replace(map.next_value_seed(DataOf { for_people: self.for_people, most })?).is_some()
                }
            };
            if is_second {
                return Err(de::Error::duplicate_field(FIELDS[field]));
            }
        }
        let missing = |n: usize| move || de::Error::missing_field(FIELDS[n]);
        let (dtype, shape) = (dtype.ok_or_else(missing(0))?, shape.ok_or_else(missing(1))?);
        made(dtype, &shape, data.ok_or_else(missing(2))?)
    }
}

/// Reads the name of a field, and returns its index in [`FIELDS`].
struct Field;

impl<'de> DeserializeSeed<'de> for Field {
    type Value = usize;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        let find = |name: &str| {
            let found = FIELDS.iter().position(|field| *field == name);
            found.ok_or_else(|| format!("unknown field '{name}', expected dtype, shape or data"))
        };
        deserializer.deserialize_identifier(Named("dtype, shape or data", find))
    }
}

/// Returns the number of elements of a shape.
fn count<E: de::Error>(shape: &[usize]) -> Result<usize, E> {
    size_of_shape(shape).map_err(|f| E::custom(f.detail))
}

/// The elements of a deserialised array: bytes in compact formats, numbers in human-readable formats.
enum ArrayData {
    Bytes(Vec<u8>),
    Numbers(Vec<HumanNumber>),
}

/// Reads the elements of an array. `most` is the maximum number of elements, if the shape is already known.
struct DataOf {
    for_people: bool,
    most: Option<usize>,
}

/// The size in bytes of an element of the largest dtype.
const WIDEST: usize = 8;
/// The maximum number of elements to allocate up front. Memory grows beyond this only as elements arrive, because the
/// length in the input is untrusted. Chosen by hand; no benchmark compares other values.
const FIRST: usize = 4096;

impl<'de> DeserializeSeed<'de> for DataOf {
    type Value = ArrayData;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ArrayData, D::Error> {
        // with `deserialize_byte_buf`, a format that owns the bytes can hand them over without a copy
        if self.for_people { deserializer.deserialize_seq(self) } else { deserializer.deserialize_byte_buf(self) }
    }
}

impl<'de> Visitor<'de> for DataOf {
    type Value = ArrayData;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.for_people { "the elements as a list of numbers" } else { "the elements as bytes" })
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<ArrayData, E> {
        let mut copy = room(bytes.len(), "deserialize", None).map_err(E::custom)?;
        copy.extend_from_slice(bytes);
        Ok(ArrayData::Bytes(copy))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<ArrayData, E> {
        Ok(ArrayData::Bytes(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ArrayData, A::Error> {
        let most = self.most.unwrap_or(usize::MAX);
        let first = seq.size_hint().unwrap_or(0).min(FIRST);
        if self.for_people {
            let mut numbers = Vec::with_capacity(first);
            while let Some(number) = seq.next_element::<HumanNumber>()? {
                if numbers.len() == most {
                    return Err(de::Error::custom(format!("more elements than the {most} of the shape")));
                }
                numbers.try_reserve(1).map_err(de::Error::custom)?;
                numbers.push(number);
            }
            return Ok(ArrayData::Numbers(numbers));
        }
        // a format without a type for bytes stores the bytes as a list of numbers
        let (mut bytes, most) = (Vec::with_capacity(first), most.saturating_mul(WIDEST));
        while let Some(byte) = seq.next_element::<u8>()? {
            if bytes.len() == most {
                return Err(de::Error::custom("more bytes than the shape has elements"));
            }
            bytes.try_reserve(1).map_err(de::Error::custom)?;
            bytes.push(byte);
        }
        Ok(ArrayData::Bytes(bytes))
    }
}

/// Makes the array from its deserialised dtype, shape and elements.
#[track_caller]
fn made<E: de::Error>(dtype: DType, shape: &[usize], data: ArrayData) -> Result<Array, E> {
    let count = count::<E>(shape)?;
    let has = match &data {
        ArrayData::Bytes(bytes) if count.checked_mul(dtype.size()) == Some(bytes.len()) => count,
        ArrayData::Bytes(bytes) => {
            let detail = format!("{} bytes of data do not match shape {shape:?} of {dtype}", bytes.len());
            return Err(E::custom(detail));
        }
        ArrayData::Numbers(numbers) => numbers.len(),
    };
    if has != count {
        return Err(E::custom(format!("{has} elements of data do not fill shape {shape:?}")));
    }
    let bytes = match data {
        ArrayData::Bytes(mut bytes) => {
            to_or_from_little_endian(&mut bytes, dtype);
            bytes
        }
        ArrayData::Numbers(numbers) => human::to_bytes(&numbers, dtype).map_err(E::custom)?,
    };
    Array::from_bytes(&bytes, dtype, shape).map_err(E::custom)
}
