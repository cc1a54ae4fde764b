//! The cache on disk, which lets the next process start warm. It holds the shaders as naga has parsed them, the
//! pipelines that the driver has compiled if wgpu can export them (its pipeline cache, on Vulkan), and the findings of
//! the arithmetic probe and of the self-test of cooperative matrices.
//!
//! There is a file for each adapter. Everything in it can be recreated: a file that is damaged, or written for another
//! driver or another version of this crate, is ignored and replaced. No operation fails because the file cannot be read
//! or written.

use super::adapter::is_inherited;
use super::at_exit;
use super::connection::{Connection, lock};
use super::fingerprint::FINGERPRINT;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::platform::{self, Instant};
use std::borrow::Cow;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Once, Weak};
use std::time::Duration;
use std::{env, fs};

/// The version of the file's format. It changes when the order of the contents changes.
const FORMAT: u32 = 3;
/// The first two numbers of naga's version, as in Cargo.toml. All releases of naga with these numbers store a shader in
/// the same form, so each can read what another has written.
const NAGA: &str = "30.0";
/// New contents are written to the file once nothing has been compiled for this long. This is long enough that the
/// start of a program causes only one write, and short enough that the write is done before a program is killed soon
/// after its start. 1 s was chosen by hand; no benchmark compares other values.
const QUIET: Duration = Duration::from_secs(1);
/// The most bytes of shaders in a file: some 4,000 shaders at 4 KiB each. Beyond that, shaders that this process did
/// not use are left out first, then its own shaders that do not fit. Chosen by hand; no benchmark compares other
/// values.
const MOST_SHADERS: usize = 16 << 20;
/// The most bytes of driver pipelines that are kept. wgpu cannot shrink its cache, so a larger cache is dropped and a
/// new one started. Chosen by hand; no benchmark compares other values.
const MOST_PIPELINES: usize = 64 << 20;

/// The contents of a cache file.
#[derive(Clone, Default)]
struct Contents {
    /// The findings of the probe of the device's arithmetic, one bit each.
    numerics: Option<u16>,
    /// Whether products by cooperative matrices are correct.
    cooperative: Option<bool>,
    /// Shaders in naga's representation, by the hash of their source.
    shaders: HashMap<u128, Arc<[u8]>>,
    /// The driver's pipelines.
    pipelines: Vec<u8>,
}

/// The age beyond which an unfinished file of another process is removed.
const ABANDONED: Duration = Duration::from_secs(3600);

/// The cache on disk of an open GPU.
pub(super) struct DiskCache {
    file: PathBuf,
    /// The first line of a valid file, which names the versions, the adapter and the driver that it is for.
    purpose: String,
    pipelines: Option<wgpu::PipelineCache>,
    /// Whether `purpose` names the driver (wgpu has no name for Metal's). If not, findings about the driver are not
    /// kept, because a later process may have another driver.
    names_driver: bool,
    state: Mutex<State>,
    /// How many shaders were parsed because the file did not have them.
    parsed: AtomicU64,
}

#[derive(Default)]
struct State {
    contents: Contents,
    /// The shaders that this process has asked for.
    used: HashSet<u128>,
    /// Whether `contents` has shaders or findings that the file does not have yet.
    is_new: bool,
    /// The last time something was added to `contents`, or compiled by the driver. It is `None` if neither has happened
    /// since the file was written.
    changed: Option<Instant>,
    /// The hash of the driver's pipelines as they were last read from the file or written to it.
    known: u128,
    /// Whether a thread is waiting to write the file.
    is_awaited: bool,
}

/// The caches of open devices, which are written at the end of the process.
static OPEN: Mutex<Vec<Weak<DiskCache>>> = Mutex::new(Vec::new());

/// Returns a hash of 128 bits. Two different inputs have the same hash with a probability of 2^-128.
fn hash(of: &(impl Hash + ?Sized)) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        of.hash(&mut hasher);
        hasher.finish()
    };
    (half(0) as u128) << 64 | half(1) as u128
}

/// Returns the folder of the files: `CUPRIC_CACHE_DIR`, or `cupric` in the user's cache folder. Returns `None` if the
/// variable is empty, or the system has no such folder.
fn folder() -> Option<PathBuf> {
    let named = |name: &str| env::var_os(name).map(PathBuf::from);
    if let Some(folder) = named("CUPRIC_CACHE_DIR") {
        // make the path absolute, because the program may change its working directory before the file is written
        return if folder.as_os_str().is_empty() { None } else { std::path::absolute(folder).ok() };
    }
    let caches = if cfg!(windows) {
        named("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        named("HOME").map(|home| home.join("Library/Caches"))
    } else {
        // the XDG Base Directory Specification says to ignore a relative path
        named("XDG_CACHE_HOME").filter(|p| p.is_absolute()).or_else(|| named("HOME").map(|home| home.join(".cache")))
    };
    caches.filter(|p| p.is_absolute()).map(|p| p.join("cupric"))
}

impl Contents {
    /// Reads the contents of a file. Returns `None` if it does not exist, is damaged, or was written for another
    /// version, adapter or driver (`purpose`).
    fn read(file: &Path, purpose: &str) -> Option<Contents> {
        // a file longer than twice the limits is not one of ours, and is not loaded
        let longest = 2 * (MOST_SHADERS + MOST_PIPELINES) as u64;
        if !fs::metadata(file).is_ok_and(|m| m.is_file() && m.len() <= longest) {
            return None;
        }
        let bytes = fs::read(file).ok()?;
        let contents = Contents::decode(&bytes, purpose);
        if contents.is_none() && bytes.starts_with(format!("{purpose}\n").as_bytes()) {
            log::warn!("{}: the cache file is damaged, so it is ignored and will be replaced", file.display());
        }
        contents
    }

    fn decode(bytes: &[u8], purpose: &str) -> Option<Contents> {
        let rest = bytes.strip_prefix(purpose.as_bytes())?.strip_prefix(b"\n")?;
        let (sum, payload) = rest.split_first_chunk::<16>()?;
        if u128::from_le_bytes(*sum) != mutant!(damaged_cache_taken, u128::from_le_bytes(*sum), hash(payload)) {
            return None;
        }
        type Findings = (Option<u16>, Option<bool>);
        type Parts = (Findings, Vec<(u128, Vec<u8>)>, Vec<u8>);
        let ((numerics, cooperative), shaders, pipelines) = postcard::from_bytes::<Parts>(payload).ok()?;
        let shaders = shaders.into_iter().map(|(key, shader)| (key, shader.into())).collect();
        Some(Contents { numerics, cooperative, shaders, pipelines })
    }

    /// Removes shaders until the rest have at most `most` bytes. Removes unused shaders first.
    fn keep_within(&mut self, most: usize, used: &HashSet<u128>) {
        let mut bytes: usize = self.shaders.values().map(|s| s.len()).sum();
        for is_used in [false, true] {
            self.shaders.retain(|key, shader| {
                let stays = bytes <= most || used.contains(key) != is_used;
                bytes -= if stays { 0 } else { shader.len() };
                stays
            });
        }
    }

    fn encode(&self, purpose: &str) -> Option<Vec<u8>> {
        // sorted, so that the same contents produce the same file
        let mut shaders: Vec<(u128, &[u8])> = self.shaders.iter().map(|(key, shader)| (*key, &shader[..])).collect();
        shaders.sort_unstable();
        let findings = (self.numerics, self.cooperative);
        let payload = postcard::to_allocvec(&(findings, shaders, &self.pipelines)).ok()?;
        let mut bytes = format!("{purpose}\n").into_bytes();
        bytes.extend_from_slice(&hash(&payload[..]).to_le_bytes());
        bytes.extend_from_slice(&payload);
        Some(bytes)
    }
}

/// Returns the driver's pipelines to write to the file: the larger of `ours` and `theirs`, because wgpu cannot merge
/// the two. `ours` is `None` if the device is lost; `theirs` is what another process may have written to the file
/// meanwhile. Returns an empty list if the larger is too large, so that the next process begins a new cache.
fn chosen(ours: Option<Vec<u8>>, theirs: Vec<u8>) -> Vec<u8> {
    let pipelines = ours.filter(|ours| ours.len() >= theirs.len()).unwrap_or(theirs);
    if pipelines.len() <= MOST_PIPELINES { pipelines } else { vec![] }
}

/// Replaces the content of a file. A reader finds the old content or the new, because the new file gets the name of the
/// old one only after it is complete. A checksum in the file reveals damage by a power failure.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    let mut builder = fs::DirBuilder::new();
    // only the user may access the folder, because the contents of its files are passed to the driver
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)?;
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        let is_begun = path.file_stem() == file.file_stem() && path != file;
        let age = entry.metadata().ok().and_then(|m| m.modified().ok()?.elapsed().ok());
        if is_begun && age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(path);
        }
    }
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let new = file.with_extension(format!("{}-{}", crate::base::platform::process_id(), WRITTEN.fetch_add(1, Relaxed)));
    fs::write(&new, bytes).and_then(|()| fs::rename(&new, file)).inspect_err(|_| drop(fs::remove_file(&new)))
}

impl DiskCache {
    /// Opens the cache of a device. Returns `None` if caching is switched off, or there is no folder for it.
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
        // these names may contain line feeds, which `purpose` replaces by spaces
        let driver = format!("{} {}", info.driver, info.driver_info);
        // findings made with other shader sources may differ, so the purpose contains a fingerprint of the sources
        let formats = format!("format {FORMAT}, naga {NAGA}, texts {FINGERPRINT:x}");
        let purpose = format!("{of}, {formats}, {adapter}, {driver}").replace('\n', " ");
        let file = folder()?.join(format!("{:032x}.gpu", hash(&adapter)));
        let mut contents = Contents::read(&file, &purpose).unwrap_or_default();
        let pipelines = connection.device.features().contains(wgpu::Features::PIPELINE_CACHE).then(|| {
            let data = (!contents.pipelines.is_empty()).then_some(&contents.pipelines[..]);
            let descriptor = wgpu::PipelineCacheDescriptor { label: None, data, fallback: true };
            // SAFETY: `get_data` returned these bytes to a process with the same adapter and driver, which `purpose`
            // names, and the file's checksum shows that they have not changed since.
            connection.scoped("pipeline cache", || unsafe { connection.device.create_pipeline_cache(&descriptor) })
        });
        // the driver has its own copy of the pipelines now, so our copy is dropped
        let known = hash(&std::mem::take(&mut contents.pipelines)[..]);
        let state = State { contents, known, ..State::default() };
        let cache = Arc::new(DiskCache {
            file,
            purpose,
            // a device works without a cache too
            pipelines: pipelines.and_then(Result::ok),
            names_driver: !driver.trim().is_empty(),
            state: Mutex::new(state),
            parsed: AtomicU64::new(0),
        });
        {
            let mut open = lock(&OPEN);
            open.retain(|cache| cache.strong_count() > 0);
            open.push(Arc::downgrade(&cache));
        }
        Some(cache)
    }

    /// Schedules a write of the pipelines that the driver has just compiled.
    pub fn has_compiled(self: &Arc<Self>) {
        self.soon(&mut lock(&self.state));
    }

    /// Returns the driver's pipeline cache, to which wgpu adds the pipelines that it compiles.
    pub fn pipelines(&self) -> Option<&wgpu::PipelineCache> {
        self.pipelines.as_ref()
    }

    /// Returns how many shaders were parsed.
    #[cfg(feature = "testing")]
    pub fn parsed(&self) -> u64 {
        self.parsed.load(Relaxed)
    }

    /// Returns the parsed form of a shader source, which wgpu accepts instead of the source. It comes from the cache,
    /// or is parsed now.
    pub fn source<'a>(self: &Arc<Self>, text: &'a str) -> Result<wgpu::ShaderSource<'a>> {
        Ok(wgpu::ShaderSource::Naga(Cow::Owned(self.shader(text)?)))
    }

    /// Returns the parsed shader of a source.
    fn shader(self: &Arc<Self>, text: &str) -> Result<naga::Module> {
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
            .map_err(|e| Error::with_line(ErrorKind::Internal, "compile", e.emit_to_string(text), None))?;
        if let Ok(bytes) = postcard::to_allocvec(&module) {
            let mut state = lock(&self.state);
            state.contents.shaders.insert(key, bytes.into());
            // the write is not scheduled here, but by `has_compiled`, after the driver has compiled the pipeline of
            // this shader
            state.is_new = true;
        }
        Ok(module)
    }

    /// Returns the findings of the probe of the device's arithmetic, if an earlier process has run it.
    pub fn numerics(&self) -> Option<u16> {
        lock(&self.state).contents.numerics
    }

    /// Returns whether products by cooperative matrices are correct, if an earlier process has tested them.
    pub fn cooperative(&self) -> Option<bool> {
        lock(&self.state).contents.cooperative
    }

    pub fn keep_cooperative(self: &Arc<Self>, right: bool) {
        self.keep(|contents| &mut contents.cooperative, right);
    }

    pub fn keep_numerics(self: &Arc<Self>, found: u16) {
        self.keep(|contents| &mut contents.numerics, found);
    }

    /// Stores a finding in the field of the contents that `place` returns, and schedules a write if the finding is new.
    fn keep<T: PartialEq>(self: &Arc<Self>, place: impl Fn(&mut Contents) -> &mut Option<T>, found: T) {
        let mut state = lock(&self.state);
        if self.names_driver && place(&mut state.contents).as_ref() != Some(&found) {
            *place(&mut state.contents) = Some(found);
            state.is_new = true;
            self.soon(&mut state);
        }
    }

    /// Schedules a write of new contents, by a thread or at the end of the process. Must be called after the driver has
    /// compiled something, because the driver may register exit functions then, and the exit functions registered last
    /// run first.
    fn soon(self: &Arc<Self>, state: &mut State) {
        static END: Once = Once::new();
        at_exit::at_end(&END, write_all);
        state.changed = Some(Instant::now());
        if !state.is_awaited {
            let cache = Arc::downgrade(self);
            let thread = std::thread::Builder::new().name("cupric-cache".to_string());
            // if no thread can be started, the file is written when the device is closed or the process ends
            state.is_awaited = thread.spawn(move || write_later(&cache)).is_ok();
        }
    }

    /// Writes the new contents to the file, together with the contents that another process has added to it.
    pub fn write(&self) {
        if is_inherited() {
            return;
        }
        // if two threads write at the same time, the later one must see what the earlier one wrote
        static WRITING: Mutex<()> = Mutex::new(());
        let _alone = lock(&WRITING);
        let (mut contents, used, is_new, known) = {
            let mut state = lock(&self.state);
            if state.changed.take().is_none() {
                return;
            }
            let is_new = std::mem::take(&mut state.is_new);
            (state.contents.clone(), state.used.clone(), is_new, state.known)
        };
        let ours = self.pipelines.as_ref().and_then(wgpu::PipelineCache::get_data);
        if !is_new && ours.as_ref().is_none_or(|ours| hash(&ours[..]) == known) {
            return;
        }
        // keep what another process has added meanwhile
        let theirs = Contents::read(&self.file, &self.purpose).unwrap_or_default();
        contents.numerics = contents.numerics.or(theirs.numerics);
        contents.cooperative = contents.cooperative.or(theirs.cooperative);
        for (key, shader) in theirs.shaders {
            if let Entry::Vacant(place) = contents.shaders.entry(key) {
                place.insert(shader);
            }
        }
        contents.keep_within(MOST_SHADERS, &used);
        contents.pipelines = chosen(ours, theirs.pipelines);
        lock(&self.state).known = hash(&contents.pipelines[..]);
        if let Some(bytes) = contents.encode(&self.purpose) {
            // if the folder cannot be written, the next process starts without these contents, and nothing else happens
            if let Err(e) = replace(&self.file, &bytes) {
                log::debug!("{}: the cache was not written: {e}", self.file.display());
            }
        }
    }
}

/// Runs in the thread that writes new contents once nothing more has been added for a while.
fn write_later(cache: &Weak<DiskCache>) {
    loop {
        platform::sleep(QUIET);
        // `_inside` is declared first, so that it is dropped after `cache`: dropping the last handle calls the driver
        // too
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

/// Writes the new contents of all devices at the end of the process.
extern "C" fn write_all() {
    // a forked process has none of its parent's threads, and one of them may have held a lock during the fork
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

#[cfg(feature = "testing")]
mod tests;
