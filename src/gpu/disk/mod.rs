//! What a GPU keeps on disk, so that the next process starts warm: the shaders as naga has parsed them, what the driver has
//! compiled where wgpu can hand it over (its pipeline cache: on Vulkan), the findings of the probe of the arithmetic and of the
//! self-tests, and the tiles that a tuner has found.
//!
//! There is a file for each adapter. It is only ever a copy of what can be made anew: a file that is damaged, or made by another
//! driver or another version of this crate, is ignored and replaced, and an error of reading or writing it is nobody's error.

use super::adapter::is_inherited;
use super::at_exit;
use super::connection::{Connection, lock};
use super::fingerprint::FINGERPRINT;
use crate::base::error::{Error, ErrorKind, Result};
use crate::plan::kernel::Tile;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Once, Weak};
use std::time::{Duration, Instant};
use std::{env, fs};

/// The format of the file: it changes where the order of what it holds does.
const FORMAT: u32 = 3;
/// The version of naga whose representation the file holds; the same as in Cargo.toml. A version of the same number changes no
/// public type, so it reads what another has written.
const NAGA: &str = "30.0";
/// What is new is written once nothing has been compiled for so long: long enough that a program's start is one write, short
/// enough that a program which is killed has written what it started with. 1 s is a judgement.
const QUIET: Duration = Duration::from_secs(1);
/// The most bytes of shaders in a file, a judgement: some 4,000 shaders at 4 KiB each. Where there are more, those that this
/// process did not use are left out, and then as many of its own as do not fit.
const MOST_SHADERS: usize = 16 << 20;
/// The most bytes of the driver's that are kept, a judgement. wgpu cannot make them less, so beyond that they are begun anew.
const MOST_PIPELINES: usize = 64 << 20;

/// What a file holds.
#[derive(Clone, Default)]
struct Contents {
    /// The findings of the probe, a bit each.
    numerics: Option<u16>,
    /// Whether products by cooperative matrices are right.
    cooperative: Option<bool>,
    /// The families of kernels that the self-test has found wrong, by number, with what it saw.
    wrong: Option<Vec<(u8, String)>>,
    /// The tiles that a tuner has kept, for f32 and for f16.
    tiles: KeptTiles,
    /// Shaders in naga's representation, by the hash of their text.
    shaders: HashMap<u128, Arc<[u8]>>,
    /// The driver's pipelines.
    pipelines: Vec<u8>,
}

/// The tiles of wide products that a tuner has found on an adapter, for f32 and for f16.
pub(super) type KeptTiles = [Option<Tile>; 2];

/// How old a file is that another process began to write and did not finish, so that it may be removed.
const ABANDONED: Duration = Duration::from_secs(3600);

/// The cache on disk of an open GPU.
pub(super) struct DiskCache {
    file: PathBuf,
    /// What the file must say that it is for.
    purpose: String,
    pipelines: Option<wgpu::PipelineCache>,
    /// Whether the purpose names the driver (wgpu has no name for Metal's): only then its arithmetic is that of a later process.
    names_driver: bool,
    state: Mutex<State>,
    /// How many texts were parsed, because the file did not have them.
    parsed: AtomicU64,
}

#[derive(Default)]
struct State {
    contents: Contents,
    /// The shaders that this process has asked for.
    used: HashSet<u128>,
    /// Whether this process has kept tiles, or forgotten them: then the file's own are old.
    has_tuned: bool,
    /// Whether there are shaders or findings that the file does not have yet.
    is_new: bool,
    /// When something was last added, or compiled by the driver, since the file was written.
    changed: Option<Instant>,
    /// The hash of the driver's pipelines as they were read or written last.
    known: u128,
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
        // the program may go to another folder before the file is written
        return if folder.as_os_str().is_empty() { None } else { std::path::absolute(folder).ok() };
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
        let bytes = fs::read(file).ok()?;
        let contents = Contents::decode(&bytes, purpose);
        if contents.is_none() && bytes.starts_with(format!("{purpose}\n").as_bytes()) {
            log::warn!("{}: the file of the cache is damaged, so it is ignored and replaced", file.display());
        }
        contents
    }

    fn decode(bytes: &[u8], purpose: &str) -> Option<Contents> {
        let rest = bytes.strip_prefix(purpose.as_bytes())?.strip_prefix(b"\n")?;
        let (sum, payload) = rest.split_first_chunk::<16>()?;
        if u128::from_le_bytes(*sum) != mutant!(damaged_cache_taken, u128::from_le_bytes(*sum), hash(payload)) {
            return None;
        }
        type Findings = (Option<u16>, Option<bool>, Option<Vec<(u8, String)>>, [Option<[u8; 6]>; 2]);
        type Parts = (Findings, Vec<(u128, Vec<u8>)>, Vec<u8>);
        let ((numerics, cooperative, wrong, tiles), shaders, pipelines) =
            postcard::from_bytes::<Parts>(payload).ok()?;
        let tiles = tiles.map(|tile| tile.and_then(Tile::from_bytes));
        let shaders = shaders.into_iter().map(|(key, shader)| (key, shader.into())).collect();
        Some(Contents { numerics, cooperative, wrong, tiles, shaders, pipelines })
    }

    /// Leaves shaders out where they take more than `most` bytes: those that were not used first.
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
        // sorted, so that the same contents are the same file
        let mut shaders: Vec<(u128, &[u8])> = self.shaders.iter().map(|(key, shader)| (*key, &shader[..])).collect();
        shaders.sort_unstable();
        let tiles = self.tiles.map(|tile| tile.map(Tile::to_bytes));
        let findings = (self.numerics, self.cooperative, &self.wrong, tiles);
        let payload = postcard::to_allocvec(&(findings, shaders, &self.pipelines)).ok()?;
        let mut bytes = format!("{purpose}\n").into_bytes();
        bytes.extend_from_slice(&hash(&payload[..]).to_le_bytes());
        bytes.extend_from_slice(&payload);
        Some(bytes)
    }
}

/// The driver's pipelines to write: `ours` if the driver gives them (one that is lost does not), or `theirs`, which the file has by
/// now, if those are more: wgpu cannot join the two. None where they are too many, so that the next process begins anew.
fn chosen(ours: Option<Vec<u8>>, theirs: Vec<u8>) -> Vec<u8> {
    let pipelines = ours.filter(|ours| ours.len() >= theirs.len()).unwrap_or(theirs);
    if pipelines.len() <= MOST_PIPELINES { pipelines } else { vec![] }
}

/// Gives a file these bytes. A reader finds the old content or the new: the name is taken once all is written. What a failure of
/// the power leaves behind is told by its sum.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    let mut builder = fs::DirBuilder::new();
    // what the files hold is handed to the driver, so nobody else may write them
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
        let driver = format!("{} {}", info.driver, info.driver_info);
        // what is tested by another text may be found to be otherwise
        let formats = format!("format {FORMAT}, naga {NAGA}, texts {FINGERPRINT:x}");
        let purpose = format!("{of}, {formats}, {adapter}, {driver}").replace('\n', " ");
        let file = folder()?.join(format!("{:032x}.gpu", hash(&adapter)));
        let mut contents = Contents::read(&file, &purpose).unwrap_or_default();
        let pipelines = connection.device.features().contains(wgpu::Features::PIPELINE_CACHE).then(|| {
            let data = (!contents.pipelines.is_empty()).then_some(&contents.pipelines[..]);
            let descriptor = wgpu::PipelineCacheDescriptor { label: None, data, fallback: true };
            // SAFETY: the bytes are what `get_data` gave a process with the same adapter and driver, which `purpose` names: the
            // file's sum says that nothing has changed them since.
            connection.scoped("pipeline cache", || unsafe { connection.device.create_pipeline_cache(&descriptor) })
        });
        // the driver has them now
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

    /// Has the pipelines that the driver has just compiled written soon.
    pub fn has_compiled(self: &Arc<Self>) {
        self.soon(&mut lock(&self.state));
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
            .map_err(|e| Error::with_line(ErrorKind::Internal, "compile", e.emit_to_string(text), None))?;
        if let Ok(bytes) = postcard::to_allocvec(&module) {
            let mut state = lock(&self.state);
            state.contents.shaders.insert(key, bytes.into());
            // the pipeline that is compiled next has it written
            state.is_new = true;
        }
        Ok(module)
    }

    /// The findings of the probe, if an earlier process has made it.
    pub fn numerics(&self) -> Option<u16> {
        lock(&self.state).contents.numerics
    }

    /// Whether products by cooperative matrices are right, if an earlier process has tested them.
    pub fn cooperative(&self) -> Option<bool> {
        lock(&self.state).contents.cooperative
    }

    pub fn keep_cooperative(self: &Arc<Self>, right: bool) {
        self.keep(|contents| &mut contents.cooperative, right);
    }

    /// What the self-test of kernels has found, if an earlier process has made it.
    pub fn wrong(&self) -> Option<Vec<(u8, String)>> {
        lock(&self.state).contents.wrong.clone()
    }

    pub fn keep_wrong(self: &Arc<Self>, wrong: Vec<(u8, String)>) {
        self.keep(|contents| &mut contents.wrong, wrong);
    }

    /// The tiles that a tuner has kept.
    pub fn tiles(&self) -> KeptTiles {
        lock(&self.state).contents.tiles
    }

    /// Writes tiles to the file at once, or their absence. Says whether the file has them now.
    pub fn keep_tiles(&self, tiles: KeptTiles) -> bool {
        {
            let mut state = lock(&self.state);
            (state.contents.tiles, state.has_tuned, state.is_new) = (tiles, true, true);
            state.changed = Some(Instant::now());
        }
        self.write();
        Contents::read(&self.file, &self.purpose).is_some_and(|c| c.tiles == tiles)
    }

    pub fn keep_numerics(self: &Arc<Self>, found: u16) {
        self.keep(|contents| &mut contents.numerics, found);
    }

    /// Keeps a finding at its place in the file.
    fn keep<T: PartialEq>(self: &Arc<Self>, place: impl Fn(&mut Contents) -> &mut Option<T>, found: T) {
        let mut state = lock(&self.state);
        if self.names_driver && place(&mut state.contents).as_ref() != Some(&found) {
            *place(&mut state.contents) = Some(found);
            state.is_new = true;
            self.soon(&mut state);
        }
    }

    /// Has what is new written soon, by a thread or at the end of the process. To be called after the driver has compiled something: it
    /// may register exit functions of its own then, and those that are registered last run first.
    fn soon(self: &Arc<Self>, state: &mut State) {
        static END: Once = Once::new();
        at_exit::at_end(&END, write_all);
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
        // of two threads that write at once the later one must see what the earlier one wrote
        static WRITING: Mutex<()> = Mutex::new(());
        let _alone = lock(&WRITING);
        let (mut contents, used, has_tuned, is_new, known) = {
            let mut state = lock(&self.state);
            if state.changed.take().is_none() {
                return;
            }
            let is_new = std::mem::take(&mut state.is_new);
            (state.contents.clone(), state.used.clone(), state.has_tuned, is_new, state.known)
        };
        let ours = self.pipelines.as_ref().and_then(wgpu::PipelineCache::get_data);
        if !is_new && ours.as_ref().is_none_or(|ours| hash(&ours[..]) == known) {
            return;
        }
        // what another process has added meanwhile stays
        let theirs = Contents::read(&self.file, &self.purpose).unwrap_or_default();
        contents.numerics = contents.numerics.or(theirs.numerics);
        contents.cooperative = contents.cooperative.or(theirs.cooperative);
        contents.wrong = contents.wrong.or(theirs.wrong);
        if !has_tuned {
            contents.tiles = theirs.tiles;
        }
        for (key, shader) in theirs.shaders {
            if let Entry::Vacant(place) = contents.shaders.entry(key) {
                place.insert(shader);
            }
        }
        contents.keep_within(MOST_SHADERS, &used);
        contents.pipelines = chosen(ours, theirs.pipelines);
        lock(&self.state).known = hash(&contents.pipelines[..]);
        if let Some(bytes) = contents.encode(&self.purpose) {
            // a folder that cannot be written makes the next start cold, and nothing else
            if let Err(e) = replace(&self.file, &bytes) {
                log::debug!("{}: the cache was not written: {e}", self.file.display());
            }
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

#[cfg(feature = "testing")]
mod tests;
