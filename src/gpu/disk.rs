//! What a GPU keeps on disk, so that the next process starts warm: the shaders as naga has parsed them, what the driver has
//! compiled where wgpu can hand it over (its pipeline cache: on Vulkan), and the findings of the probe of the arithmetic.
//!
//! There is a file for each adapter. It is only ever a copy of what can be made anew: a file that is damaged, or made by another
//! driver or another version of this crate, is ignored and replaced, and an error of reading or writing it is nobody's error.

use super::adapter::is_inherited;
use super::at_exit;
use super::connection::{Connection, lock};
use crate::error::{Error, ErrorKind, Result};
use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Once, Weak};
use std::time::{Duration, Instant};
use std::{env, fs};

/// The version of naga whose representation the file holds; the same as in Cargo.toml. A version of the same number changes no
/// public type, so it reads what another has written.
const NAGA: &str = "30.0";
/// What is new is written once nothing has been compiled for so long: long enough that a program's start is one write, short
/// enough that a program which is killed has written what it started with. 1 s is a judgement.
const QUIET: Duration = Duration::from_secs(1);
/// The most bytes of shaders in a file, a judgement: some 4,000 shaders at 4 KiB each. Where there are more, those that this
/// process did not use are left out.
const MOST_SHADERS: usize = 16 << 20;
/// The most bytes of the driver's that are kept, a judgement. wgpu cannot make them less, so beyond that they are begun anew.
const MOST_PIPELINES: usize = 64 << 20;

/// What a file holds.
#[derive(Clone, Default)]
struct Contents {
    /// The findings of the probe, a bit each.
    numerics: Option<u16>,
    /// Shaders in naga's representation, by the hash of their text.
    shaders: HashMap<u128, Arc<[u8]>>,
    /// The driver's pipelines.
    pipelines: Vec<u8>,
}

/// The cache on disk of an open GPU.
pub(super) struct DiskCache {
    file: PathBuf,
    /// What the file must say that it is for.
    purpose: String,
    pipelines: Option<wgpu::PipelineCache>,
    state: Mutex<State>,
    /// How many texts were parsed, because the file did not have them.
    parsed: AtomicU64,
}

struct State {
    contents: Contents,
    /// The shaders that this process has asked for.
    used: HashSet<u128>,
    /// When something was added that the file does not have yet.
    changed: Option<Instant>,
    /// Whether a thread waits to write it.
    is_awaited: bool,
}

/// The caches of open devices, for the end of the process.
static OPEN: Mutex<Vec<Weak<DiskCache>>> = Mutex::new(Vec::new());

/// A hash of 128 bits. Two different texts have the same one with a probability of 2^-128.
fn hash(of: &(impl Hash + ?Sized)) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        of.hash(&mut hasher);
        hasher.finish()
    };
    (half(0) as u128) << 64 | half(1) as u128
}

/// The folder of the files: that which `CUPRIC_CACHE_DIR` names, or `cupric` in the user's folder of caches. None if the
/// variable is empty, or the system names no such folder.
fn folder() -> Option<PathBuf> {
    let named = |name: &str| env::var_os(name).map(PathBuf::from);
    if let Some(folder) = named("CUPRIC_CACHE_DIR") {
        return (!folder.as_os_str().is_empty()).then_some(folder);
    }
    let caches = if cfg!(windows) {
        named("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        named("HOME").map(|home| home.join("Library/Caches"))
    } else {
        // the XDG Base Directory Specification: a relative path there is to be ignored
        named("XDG_CACHE_HOME").filter(|p| p.is_absolute()).or_else(|| named("HOME").map(|home| home.join(".cache")))
    };
    caches.filter(|p| p.is_absolute()).map(|p| p.join("cupric"))
}

impl Contents {
    /// The contents of a file. None if it is not there, damaged, or for another purpose.
    fn read(file: &Path, purpose: &str) -> Option<Contents> {
        // twice what a file may hold cannot be one of ours, and is not loaded
        let longest = 2 * (MOST_SHADERS + MOST_PIPELINES) as u64;
        if !fs::metadata(file).is_ok_and(|m| m.is_file() && m.len() <= longest) {
            return None;
        }
        Contents::decode(&fs::read(file).ok()?, purpose)
    }

    fn decode(bytes: &[u8], purpose: &str) -> Option<Contents> {
        let rest = bytes.strip_prefix(purpose.as_bytes())?.strip_prefix(b"\n")?;
        let (sum, payload) = rest.split_first_chunk::<16>()?;
        if u128::from_le_bytes(*sum) != mutant!(damaged_cache_taken, u128::from_le_bytes(*sum), hash(payload)) {
            return None;
        }
        type Parts = (Option<u16>, Vec<(u128, Vec<u8>)>, Vec<u8>);
        let (numerics, shaders, pipelines) = postcard::from_bytes::<Parts>(payload).ok()?;
        let shaders = shaders.into_iter().map(|(key, shader)| (key, shader.into())).collect();
        Some(Contents { numerics, shaders, pipelines })
    }

    fn encode(&self, purpose: &str) -> Option<Vec<u8>> {
        // sorted, so that the same contents are the same file
        let mut shaders: Vec<(u128, &[u8])> = self.shaders.iter().map(|(key, shader)| (*key, &shader[..])).collect();
        shaders.sort_unstable();
        let payload = postcard::to_allocvec(&(self.numerics, shaders, &self.pipelines)).ok()?;
        let mut bytes = format!("{purpose}\n").into_bytes();
        bytes.extend_from_slice(&hash(&payload[..]).to_le_bytes());
        bytes.extend_from_slice(&payload);
        Some(bytes)
    }
}

/// Gives a file these bytes. A reader finds the old content or the new: the name is taken once all is written. What a failure of
/// the power leaves behind is told by its sum.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let new = file.with_extension(format!("{}-{}", std::process::id(), WRITTEN.fetch_add(1, Relaxed)));
    fs::write(&new, bytes).and_then(|()| fs::rename(&new, file)).inspect_err(|_| drop(fs::remove_file(&new)))
}

impl DiskCache {
    /// The cache of a device. None where there is to be none, or no folder for it.
    pub fn open(connection: &Connection) -> Option<Arc<DiskCache>> {
        let info = connection.device.adapter_info();
        let adapter = format!("{:?} {:x}:{:x} {}", info.backend, info.vendor, info.device, info.name);
        let of = format!(
            "{} {}, {} {}",
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            env::consts::OS,
            env::consts::ARCH
        );
        // one line, whatever the driver's names contain
        let purpose = format!("{of}, naga {NAGA}, {adapter}, {} {}", info.driver, info.driver_info).replace('\n', " ");
        let file = folder()?.join(format!("{:032x}.gpu", hash(&adapter)));
        let contents = Contents::read(&file, &purpose).unwrap_or_default();
        let pipelines = connection.device.features().contains(wgpu::Features::PIPELINE_CACHE).then(|| {
            let data = (!contents.pipelines.is_empty()).then_some(&contents.pipelines[..]);
            let descriptor = wgpu::PipelineCacheDescriptor { label: None, data, fallback: true };
            // SAFETY: the bytes are what `get_data` gave a process with the same adapter and driver, which `purpose` names: the
            // file's sum says that nothing has changed them since.
            connection.scoped("pipeline cache", || unsafe { connection.device.create_pipeline_cache(&descriptor) })
        });
        let state = State { contents, used: HashSet::new(), changed: None, is_awaited: false };
        // a device works without a cache too
        let pipelines = pipelines.and_then(Result::ok);
        let cache =
            Arc::new(DiskCache { file, purpose, pipelines, state: Mutex::new(state), parsed: AtomicU64::new(0) });
        {
            let mut open = lock(&OPEN);
            open.retain(|cache| cache.strong_count() > 0);
            open.push(Arc::downgrade(&cache));
        }
        Some(cache)
    }

    /// Makes the end of the process write what is new. To be called after the driver has compiled something: it may register exit
    /// functions of its own then, and those that are registered last run first.
    pub fn write_at_end(&self) {
        static END: Once = Once::new();
        at_exit::at_end(&END, write_all);
    }

    /// The driver's pipelines, which wgpu adds to.
    pub fn pipelines(&self) -> Option<&wgpu::PipelineCache> {
        self.pipelines.as_ref()
    }

    /// How many texts were parsed.
    #[cfg(feature = "testing")]
    pub fn parsed(&self) -> u64 {
        self.parsed.load(Relaxed)
    }

    /// The shader of a text: as an earlier process has parsed it, or parsed now.
    pub fn shader(self: &Arc<Self>, text: &str) -> Result<naga::Module> {
        let key = hash(text);
        let kept = {
            let mut state = lock(&self.state);
            state.used.insert(key);
            state.contents.shaders.get(&key).cloned()
        };
        if let Some(module) = kept.and_then(|kept| postcard::from_bytes(&kept).ok()) {
            return Ok(module);
        }
        self.parsed.fetch_add(1, Relaxed);
        let module = naga::front::wgsl::parse_str(text)
            .map_err(|e| Error::new(ErrorKind::Internal, "compile", e.emit_to_string(text), None))?;
        if let Ok(bytes) = postcard::to_allocvec(&module) {
            self.add(|contents| drop(contents.shaders.insert(key, bytes.into())));
        }
        Ok(module)
    }

    /// The findings of the probe, if an earlier process has made it.
    pub fn numerics(&self) -> Option<u16> {
        lock(&self.state).contents.numerics
    }

    pub fn keep_numerics(self: &Arc<Self>, found: u16) {
        if self.numerics() != Some(found) {
            self.add(|contents| contents.numerics = Some(found));
        }
    }

    /// Adds to what is kept, and has it written soon.
    fn add(self: &Arc<Self>, change: impl FnOnce(&mut Contents)) {
        let mut state = lock(&self.state);
        change(&mut state.contents);
        state.changed = Some(Instant::now());
        if !state.is_awaited {
            let cache = Arc::downgrade(self);
            let thread = std::thread::Builder::new().name("cupric-cache".to_string());
            // where no thread can be started, the end of the device or of the process writes
            state.is_awaited = thread.spawn(move || write_later(&cache)).is_ok();
        }
    }

    /// Writes what is new.
    pub fn write(&self) {
        if is_inherited() {
            return;
        }
        let (mut contents, used) = {
            let mut state = lock(&self.state);
            if state.changed.take().is_none() {
                return;
            }
            (state.contents.clone(), state.used.clone())
        };
        // what another process has added meanwhile stays
        let theirs = Contents::read(&self.file, &self.purpose).unwrap_or_default();
        contents.numerics = contents.numerics.or(theirs.numerics);
        for (key, shader) in theirs.shaders {
            if let Entry::Vacant(place) = contents.shaders.entry(key) {
                place.insert(shader);
            }
        }
        if contents.shaders.values().map(|s| s.len()).sum::<usize>() > MOST_SHADERS {
            contents.shaders.retain(|key, _| used.contains(key));
        }
        let pipelines = self.pipelines.as_ref().and_then(wgpu::PipelineCache::get_data).unwrap_or_default();
        contents.pipelines = if pipelines.len() <= MOST_PIPELINES { pipelines } else { vec![] };
        if let Some(bytes) = contents.encode(&self.purpose) {
            // a folder that cannot be written makes the next start cold, and nothing else
            let _ = replace(&self.file, &bytes);
        }
    }
}

/// The work of the thread that writes what is new once nothing more has come for a while.
fn write_later(cache: &Weak<DiskCache>) {
    loop {
        std::thread::sleep(QUIET);
        // the thread may drop the last handle, which is a call of the driver too, so `_inside` is dropped after `cache`
        let Some(_inside) = at_exit::enter() else { return };
        let Some(cache) = cache.upgrade() else { return };
        {
            let mut state = lock(&cache.state);
            if state.changed.is_some_and(|at| at.elapsed() < QUIET) {
                continue;
            }
            state.is_awaited = false;
        }
        return cache.write();
    }
}

/// Writes what is new of all devices, at the end of the process.
extern "C" fn write_all() {
    // a process made by fork has none of the threads, one of which may have held a lock
    if is_inherited() {
        return;
    }
    // a panic must not unwind into the C library, which called this function
    let _ = std::panic::catch_unwind(|| {
        let all: Vec<_> = lock(&OPEN).iter().filter_map(Weak::upgrade).collect();
        all.iter().for_each(|cache| cache.write());
        // dropping the last handle of a device here would run the driver's code again
        std::mem::forget(all);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        let shaders = (0..5u8).map(|n| (hash(&n), Arc::from(vec![n; n as usize]))).collect();
        Contents { numerics: Some(0b101), shaders, pipelines: vec![7; 100] }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = contents().encode("a purpose").unwrap();
        let read = Contents::decode(&bytes, "a purpose").unwrap();
        assert_eq!((read.numerics, &read.pipelines), (Some(0b101), &vec![7; 100]));
        assert_eq!(read.shaders, contents().shaders);
        assert_eq!(read.encode("a purpose").unwrap(), bytes);
        assert!(Contents::decode(&bytes, "another purpose").is_none());
        assert!(Contents::decode(&bytes, "a purpos").is_none());
    }

    #[test]
    fn what_is_damaged_is_not_read() {
        let bytes = contents().encode("p").unwrap();
        for n in 0..bytes.len() {
            assert!(Contents::decode(&bytes[..n], "p").is_none(), "cut at {n}");
            let mut changed = bytes.clone();
            changed[n] ^= 1 << (n % 8);
            assert!(Contents::decode(&changed, "p").is_none(), "changed at {n}");
        }
    }

    #[test]
    fn the_version_is_that_of_the_package() {
        let versions: Vec<&str> =
            include_str!("../../Cargo.toml").lines().filter(|l| l.starts_with("naga = ")).collect();
        assert!(!versions.is_empty());
        versions.iter().for_each(|v| assert!(v.contains(&format!("version = \"{NAGA}\"")), "{v}"));
    }
}
