//! Named tensors in files of the format safetensors. A file consists of the length of a header, the header
//! (`safetensors/header.rs`), and the data; `safetensors/write.rs` writes it. A model may be in several files, with an
//! index.

mod header;
mod write;

pub use write::{save_safetensors, write_safetensors};

#[cfg(feature = "mmap")]
use super::map::Mapped;
use crate::array::Array;
use crate::base::error::{ErrorKind, Fault, Loc, Result};
use crate::io::{format_fault, instead, io_fault, named, opened, printable, read_elements};
use header::{Head, Index, Kind, Tensor};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::panic::Location;
use std::path::{Path, PathBuf};

type Fallible<T> = Result<T, Fault>;

/// The longest header that is read, in bytes: the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// Named tensors in a file of the format [safetensors](https://huggingface.co/docs/safetensors/index#format), or in
/// several files with an index. (Feature `safetensors`.)
///
/// Opening reads the header, and checks that each byte of the data belongs to exactly one tensor and that types and
/// shapes match the data. A tensor is read only on request, onto the CPU. A tensor of a type that cupric does not have
/// (`F8_E4M3`) is an error only when it is read. Memory is allocated only for existing data: a tensor's bytes, and a
/// few times the bytes of the header, which is limited to 100 MB.
///
/// ```
/// use cupric::{SafeTensors, array, save_safetensors};
/// let path = std::env::temp_dir().join(format!("cupric-doc-{}.safetensors", std::process::id()));
/// let (weights, bias) = (array![[1., 2.], [3., 4.]], array![0.5, -0.5]);
/// save_safetensors(&path, [("weights", &weights), ("bias", &bias)], [("format", "pt")])?;
/// let mut model = SafeTensors::open(&path)?;
/// assert_eq!(model.shape("weights")?, [2, 2]);
/// assert_eq!(model.read("bias")?.to_vec::<f32>()?, [0.5, -0.5]);
/// assert_eq!(model.metadata().collect::<Vec<_>>(), [("format", "pt")]);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Debug)]
pub struct SafeTensors<R = File> {
    files: Vec<Shard<R>>,
    /// For each tensor, the position of its file in `files`, and the tensor's position in the header of that file. The
    /// order is the order of [`SafeTensors::names`].
    tensors: Vec<(usize, usize)>,
    /// The indices of `tensors`, ordered by the tensors' names.
    sorted: Vec<usize>,
    /// The path that was opened: the file, or the index if the model is in several files.
    path: Option<PathBuf>,
}

/// One file of a model. `data` is the offset in the file at which the tensors' data begins, after the header.
#[derive(Debug)]
struct Shard<R> {
    source: ShardSource<R>,
    data: u64,
    head: Head,
    path: Option<PathBuf>,
}

#[derive(Debug)]
enum ShardSource<R> {
    Reader(R),
    #[cfg(feature = "mmap")]
    Map(Mapped),
}

/// Reads the header of a file. Returns the header, and the offset in the file at which the data after it begins.
fn read_head(source: &mut (impl Read + Seek)) -> Fallible<(Head, u64)> {
    let length = source.seek(SeekFrom::End(0)).map_err(io_fault)?;
    source.seek(SeekFrom::Start(0)).map_err(io_fault)?;
    if length < 8 {
        let detail = match length {
            0 => "the file is empty".to_string(),
            _ => format!("{length} bytes are too few for a safetensors file"),
        };
        return Err(format_fault(detail));
    }
    let mut field = [0; 8];
    source.read_exact(&mut field).map_err(io_fault)?;
    let count = u64::from_le_bytes(field);
    if count > MAX_HEADER {
        let detail = match instead(&field) {
            "" => format!("not a safetensors file, or its header is too long: {count} bytes, at most {MAX_HEADER}"),
            hint => format!("not a safetensors file{hint}"),
        };
        return Err(format_fault(detail));
    }
    if count > length - 8 {
        let detail = format!("the header has {count} bytes, but only {} are left: the file is cut off", length - 8);
        return Err(format_fault(detail));
    }
    let text = read_text(source, count)?;
    Ok((Head::parse(&text, length - 8 - count)?, 8 + count))
}

/// Reads `count` bytes, which must be at most [`MAX_HEADER`]. The source must have at least this many bytes.
fn read_text(source: &mut impl Read, count: u64) -> Fallible<Vec<u8>> {
    let mut text = vec![];
    let room = text.try_reserve_exact(count as usize);
    room.map_err(|_| Fault::new(ErrorKind::OutOfMemory, format!("no memory for {count} bytes")))?;
    source.take(count).read_to_end(&mut text).map_err(io_fault)?;
    if text.len() as u64 != count {
        return Err(format_fault("the data ended early"));
    }
    Ok(text)
}

impl<R> Shard<R> {
    fn named(&self, fault: Fault) -> Fault {
        match &self.path {
            Some(path) => named(fault, path),
            None => fault,
        }
    }
}

fn open_shard(path: &Path) -> Fallible<Shard<File>> {
    let open = || {
        let mut file = opened(path)?;
        let (head, data) = read_head(&mut file)?;
        Ok(Shard { source: ShardSource::Reader(file), data, head, path: Some(path.to_path_buf()) })
    };
    open().map_err(|f| named(f, path))
}

impl SafeTensors {
    /// Opens a file and reads its header. (Feature `safetensors`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Io`] if the file cannot be read, and [`ErrorKind::OutOfMemory`] if memory is too small.
    /// Returns [`ErrorKind::Format`] if it is not a safetensors file: if its header is too long, is not JSON, has a
    /// name twice, or describes tensors that overlap, leave holes, or do not match their shapes.
    ///
    /// ```
    /// let e = cupric::SafeTensors::open("no such file").unwrap_err();
    /// assert!(e.to_string().starts_with("SafeTensors::open: no such file: "));
    /// ```
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> Result<SafeTensors> {
        let at = Location::caller();
        open_shard(path.as_ref()).map(SafeTensors::of).map_err(|f| f.at("SafeTensors::open", at))
    }

    /// Opens a model in several files by its index, `model.safetensors.index.json`. This opens all files that the index
    /// names, which must be in the same folder, and reads their headers. The model has the tensors that the index
    /// lists, in the same order. (Feature `safetensors`.)
    ///
    /// # Errors
    /// Returns the errors of [`SafeTensors::open`], and [`ErrorKind::Format`] if the index names a file in another
    /// folder or a tensor that its file does not contain.
    ///
    /// ```
    /// use cupric::{SafeTensors, array, save_safetensors};
    /// let folder = std::env::temp_dir().join(format!("cupric-doc-index-{}", std::process::id()));
    /// std::fs::create_dir_all(&folder).unwrap();
    /// let none: [(&str, &str); 0] = [];
    /// save_safetensors(folder.join("1.safetensors"), [("x", array![1.])], none)?;
    /// save_safetensors(folder.join("2.safetensors"), [("y", array![2.])], none)?;
    /// let index = r#"{"metadata": {"total_size": 8}, "weight_map": {"x": "1.safetensors", "y": "2.safetensors"}}"#;
    /// std::fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
    /// let mut model = SafeTensors::open_index(folder.join("model.safetensors.index.json"))?;
    /// assert_eq!(model.read("y")?.to_vec::<f32>()?, [2.]);
    /// # std::fs::remove_dir_all(folder).ok();
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn open_index(path: impl AsRef<Path>) -> Result<SafeTensors> {
        let at = Location::caller();
        indexed(path.as_ref(), open_shard).map_err(|f| f.at("SafeTensors::open_index", at))
    }

    /// Opens a file like [`SafeTensors::open`], but maps it into memory. Arrays share the mapped memory without a copy
    /// if their elements begin at a multiple of their size, and no page is read before it is touched. A write to such
    /// an array allocates new memory. (Features `safetensors` and `mmap`.)
    ///
    /// # Safety
    /// Nobody may change the file while this value or an array of it exists: see [`Array::map_npy`].
    ///
    /// # Errors
    /// Returns the errors of [`SafeTensors::open`].
    ///
    /// ```
    /// use cupric::{SafeTensors, array, save_safetensors};
    /// let path = std::env::temp_dir().join(format!("cupric-doc-map-{}.safetensors", std::process::id()));
    /// save_safetensors(&path, [("x", array![1., 2.])], [("made", "here")])?;
    /// // SAFETY: nobody changes the file of this example.
    /// let mut model = unsafe { SafeTensors::map(&path) }?;
    /// assert_eq!(model.read("x")?.to_vec::<f32>()?, [1., 2.]);
    /// # drop(model);
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[cfg(feature = "mmap")]
    #[track_caller]
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<SafeTensors> {
        let at = Location::caller();
        // SAFETY: the caller promises that nobody changes the file while a map of it exists.
        unsafe { map_shard(path.as_ref()) }.map(SafeTensors::of).map_err(|f| f.at("SafeTensors::map", at))
    }

    /// Opens a model like [`SafeTensors::open_index`], but maps its files into memory: see [`SafeTensors::map`].
    /// (Features `safetensors` and `mmap`.)
    ///
    /// # Safety
    /// Nobody may change the files while this value or an array of it exists: see [`Array::map_npy`].
    ///
    /// # Errors
    /// Returns the errors of [`SafeTensors::open_index`].
    #[cfg(feature = "mmap")]
    #[track_caller]
    pub unsafe fn map_index(path: impl AsRef<Path>) -> Result<SafeTensors> {
        let at = Location::caller();
        // SAFETY: the caller promises that nobody changes the file while a map of it exists.
        let open = |path: &Path| unsafe { map_shard(path) };
        indexed(path.as_ref(), open).map_err(|f| f.at("SafeTensors::map_index", at))
    }
}

/// Maps a file of tensors into memory, and reads its header.
///
/// # Safety
/// Nobody may change the file while the result or an array of it exists.
#[cfg(feature = "mmap")]
unsafe fn map_shard(path: &Path) -> Fallible<Shard<File>> {
    let open = || {
        // SAFETY: the caller promises that nobody changes the file while a map of it exists.
        let map = unsafe { Mapped::open(path) }?;
        let (head, data) = read_head(&mut std::io::Cursor::new(map.bytes()))?;
        Ok(Shard { source: ShardSource::Map(map), data, head, path: Some(path.to_path_buf()) })
    };
    open().map_err(|f| named(f, path))
}

/// Reads the index at `path`, and opens each file that it names by a call of `open`.
fn indexed(path: &Path, open: impl Fn(&Path) -> Fallible<Shard<File>>) -> Fallible<SafeTensors> {
    let read = || {
        let mut file = opened(path)?;
        let length = file.metadata().map_err(io_fault)?.len();
        if length > MAX_HEADER {
            return Err(format_fault(format!("an index of {length} bytes is too long; at most {MAX_HEADER} are read")));
        }
        Index::parse(&read_text(&mut file, length)?)
    };
    let index = read().map_err(|f| named(f, path))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let files = index.files.iter().map(|name| open(&folder.join(name))).collect::<Fallible<Vec<_>>>()?;
    // for each file, the positions of its tensors, ordered by name for the binary search below
    let by_name: Vec<Vec<usize>> =
        files.iter().map(|file| order(file.head.tensors.len(), |i| &file.head.tensors[i].name)).collect();
    let mut tensors = vec![];
    for (name, file) in &index.tensors {
        let held = &files[*file].head.tensors;
        let name_at = |i: &usize| &*held[*i].name;
        match by_name[*file].binary_search_by_key(&name.as_str(), name_at) {
            Ok(found) => tensors.push((*file, by_name[*file][found])),
            Err(_) => {
                let (name, file) = (printable(name.as_bytes()), &index.files[*file]);
                return Err(named(
                    format_fault(format!("the index lists tensor {name} in {file}, but that file does not contain it")),
                    path,
                ));
            }
        }
    }
    Ok(SafeTensors::sorted(files, tensors, Some(path.to_path_buf())))
}

/// Returns the numbers `0..count`, ordered by the names that `name` returns for them.
fn order<'a>(count: usize, name: impl Fn(usize) -> &'a str) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by(|i, j| name(*i).cmp(name(*j)));
    order
}

impl<R> SafeTensors<R> {
    fn of(file: Shard<R>) -> SafeTensors<R> {
        let tensors = (0..file.head.tensors.len()).map(|i| (0, i)).collect();
        let path = file.path.clone();
        SafeTensors::sorted(vec![file], tensors, path)
    }

    fn sorted(files: Vec<Shard<R>>, tensors: Vec<(usize, usize)>, path: Option<PathBuf>) -> SafeTensors<R> {
        let name = |(file, i): (usize, usize)| &*files[file].head.tensors[i].name;
        let sorted = order(tensors.len(), |i| name(tensors[i]));
        SafeTensors { files, tensors, sorted, path }
    }

    /// Returns the tensors' names, in the order of the header or of the index. (Feature `safetensors`.)
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.iter().map(|(file, i)| &*self.files[*file].head.tensors[*i].name)
    }

    /// Returns the keys and values of the metadata of all files, in the order of the headers. (Feature `safetensors`.)
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().flat_map(|file| &file.head.metadata).map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Finds the tensor with a name. Returns the position of its file in `files`, and its entry in the header of that
    /// file.
    fn find(&self, name: &str) -> Fallible<(usize, &Tensor)> {
        let tensor = |(file, i): (usize, usize)| &self.files[file].head.tensors[i];
        let name_at = |i: &usize| &*tensor(self.tensors[*i]).name;
        match self.sorted.binary_search_by_key(&name, name_at) {
            Ok(found) => {
                let place = self.tensors[self.sorted[found]];
                Ok((place.0, tensor(place)))
            }
            Err(_) => {
                let shown: Vec<String> = self.names().take(8).map(|name| printable(name.as_bytes())).collect();
                let more = if self.tensors.len() > shown.len() { ", …" } else { "" };
                let name = printable(name.as_bytes());
                let fault = Fault::new(
                    ErrorKind::Argument,
                    format!("there is no tensor {name}; there are {}{more}", shown.join(", ")),
                );
                Err(match &self.path {
                    Some(path) => named(fault, path),
                    None => fault,
                })
            }
        }
    }

    /// Returns the shape of a tensor without reading the tensor. (Feature `safetensors`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Argument`] if no tensor has the name.
    #[track_caller]
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        let at = Location::caller();
        self.find(name).map(|(_, tensor)| &*tensor.shape).map_err(|f| f.at("SafeTensors::shape", at))
    }

    /// Returns the type of a tensor's elements as the format names it: `F32`, `BF16`, `I64`, `BOOL`, `F8_E4M3`.
    /// (Feature `safetensors`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Argument`] if no tensor has the name.
    ///
    /// ```
    /// use cupric::{SafeTensors, array, write_safetensors};
    /// let none: [(&str, &str); 0] = [];
    /// let bytes = write_safetensors(vec![], [("x", array![1., 2.])], none)?;
    /// let model = SafeTensors::new(std::io::Cursor::new(bytes))?;
    /// assert_eq!((model.type_of("x")?, model.shape("x")?), ("F32", &[2][..]));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn type_of(&self, name: &str) -> Result<&str> {
        let at = Location::caller();
        let (_, tensor) = self.find(name).map_err(|f| f.at("SafeTensors::type_of", at))?;
        Ok(match &tensor.kind {
            Kind::Known(dtype) => dtype.facts().safetensors,
            Kind::Other(name) => name,
        })
    }
}

impl<R: Read + Seek> SafeTensors<R> {
    /// Reads the header of a file from a seekable reader, for example `std::io::Cursor::new(bytes)`. (Feature
    /// `safetensors`.)
    ///
    /// # Errors
    /// Returns the errors of [`SafeTensors::open`].
    #[track_caller]
    pub fn new(mut reader: R) -> Result<SafeTensors<R>> {
        let at = Location::caller();
        let (head, data) = read_head(&mut reader).map_err(|f| f.at("SafeTensors::new", at))?;
        Ok(SafeTensors::of(Shard { source: ShardSource::Reader(reader), data, head, path: None }))
    }

    /// Reads the tensor with a name into an array on the CPU. (Feature `safetensors`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Argument`] if no tensor has the name, [`ErrorKind::Unsupported`] if cupric does not have
    /// the tensor's type, and [`ErrorKind::Format`] if a bool has a byte other than 0 and 1. Returns [`ErrorKind::Io`]
    /// if reading fails, and [`ErrorKind::OutOfMemory`] if memory is too small.
    ///
    /// ```
    /// # use cupric::{SafeTensors, array, write_safetensors};
    /// # let bytes = write_safetensors(vec![], [("x", array![1., 2.])], [("a", "b")])?;
    /// # let mut model = SafeTensors::new(std::io::Cursor::new(bytes))?;
    /// assert_eq!(model.read("x")?.to_vec::<f32>()?, [1., 2.]);
    /// assert!(model.read("y").unwrap_err().to_string().contains("there is no tensor \"y\"; there are \"x\""));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn read(&mut self, name: &str) -> Result<Array> {
        let at = Location::caller();
        self.load(name, at).map_err(|f| f.at("SafeTensors::read", at))
    }

    /// Reads all tensors with their names, in the order of [`SafeTensors::names`]. (Feature `safetensors`.)
    ///
    /// # Errors
    /// Returns the errors of [`SafeTensors::read`].
    #[track_caller]
    pub fn read_all(&mut self) -> Result<Vec<(String, Array)>> {
        let at = Location::caller();
        let names: Vec<String> = self.names().map(String::from).collect();
        let mut arrays = vec![];
        for name in names {
            let array = self.load(&name, at).map_err(|f| f.at("SafeTensors::read_all", at))?;
            arrays.push((name, array));
        }
        Ok(arrays)
    }

    fn load(&mut self, name: &str, at: Loc) -> Fallible<Array> {
        let (file, tensor) = self.find(name)?;
        let begin = self.files[file].data + tensor.begin;
        #[cfg(feature = "mmap")]
        let end = self.files[file].data + tensor.end;
        let (shape, shown) = (tensor.shape(), tensor.shown());
        let dtype = match &tensor.kind {
            Kind::Known(dtype) => Ok(*dtype),
            Kind::Other(name) => {
                let name = printable(name.as_bytes());
                Err(Fault::new(ErrorKind::Unsupported, format!("its type is {name}, which cupric does not support")))
            }
        };
        let file = &mut self.files[file];
        let array = dtype.and_then(|dtype| match &mut file.source {
            ShardSource::Reader(source) => {
                source.seek(SeekFrom::Start(begin)).map_err(io_fault)?;
                read_elements(source, dtype, shape, at)
            }
            #[cfg(feature = "mmap")]
            ShardSource::Map(map) => {
                // the range lies inside the map, because `read_head` has compared the offsets with the length of the
                // file
                let range = begin as usize..end as usize;
                let layout = crate::base::layout::Layout::c(&shape);
                let lent =
                    if cfg!(target_endian = "little") { map.lend(range.clone(), dtype, layout, at)? } else { None };
                match lent {
                    Some(array) => Ok(array),
                    None => read_elements(&map.bytes()[range], dtype, shape, at),
                }
            }
        });
        array.map_err(|f| file.named(Fault::new(f.kind, format!("tensor {shown}: {}", f.detail))))
    }
}
