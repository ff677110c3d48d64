//! Looking for needles in this process's own memory, through `/proc/self/mem`; and [`Stage`], where a worker stops with its
//! stack as it is while another thread looks.

use std::collections::HashMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use zeroize::Zeroize as _;

use crate::needles::{MASK, Needles, PIECE};

/// What was found, and in which map. Sorted, each once.
pub(crate) type Hits = Vec<String>;

/// Where a worker stops and is looked through.
#[derive(Default)]
pub(crate) struct Stage {
    asked: AtomicBool,
    needles: Mutex<Option<Needles>>,
    hits: Mutex<Option<Hits>>,
}

impl Stage {
    /// Runs `work` on a thread of its own, and looks whenever it asks.
    pub(crate) fn play(work: impl FnOnce(&Self) + Send) {
        // One after the other: each looks through the memory of all.
        static PLAYED: Mutex<()> = Mutex::new(());
        let _alone = lock(&PLAYED);
        let (stage, main) = (Self::default(), thread::current());
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let _waker = Waker(&main);
                work(&stage);
            });
            while !worker.is_finished() {
                if stage.asked.swap(false, Ordering::SeqCst) {
                    let needles = lock(&stage.needles).take().unwrap();
                    let hits = scan(&needles);
                    *lock(&stage.hits) = Some(hits);
                    worker.thread().unpark();
                }
                thread::park_timeout(std::time::Duration::from_millis(20));
            }
        });
    }

    /// Looks for the needles while this thread stands still. It calls next to nothing, so that what others left on the stack
    /// below is still there.
    #[inline(never)]
    pub(crate) fn look(&self, needles: &Needles) -> Hits {
        *lock(&self.needles) = Some(needles.clone());
        self.asked.store(true, Ordering::SeqCst);
        loop {
            if let Some(hits) = lock(&self.hits).take() {
                return hits;
            }
            thread::park();
        }
    }

    /// Nothing of the needles may be there.
    #[track_caller]
    pub(crate) fn finds_nothing(&self, after: &str, needles: &Needles) {
        let hits = self.look(needles);
        assert!(hits.is_empty(), "left in memory after {after}:\n  {}", hits.join("\n  "));
    }

    /// Each of these must be there, or the test looks for the wrong thing.
    #[track_caller]
    pub(crate) fn finds_all(&self, while_: &str, needles: &Needles, what: &[&str]) {
        let hits = self.look(needles);
        for what in what {
            assert!(hits.iter().any(|hit| hit.starts_with(what)), "{what} is not found {while_}: {hits:#?}");
        }
    }
}

/// Wakes the thread that looks when the worker ends, also by a panic.
struct Waker<'a>(&'a thread::Thread);

impl Drop for Waker<'_> {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every place at which a piece of a needle stands in memory that this process can write.
fn scan(needles: &Needles) -> Hits {
    let mut by_start: HashMap<u64, Vec<(&[u8; PIECE], &str)>> = HashMap::new();
    let mut may_start = vec![false; 1 << 16];
    for (masked, what) in needles.pieces() {
        let start = start(masked).unwrap();
        by_start.entry(start).or_default().push((masked, what));
        may_start[usize::from(start as u16)] = true;
    }

    let memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0; CHUNK + PIECE];
    // What it holds is a copy of what was read before.
    let own = buffer.as_ptr().addr()..buffer.as_ptr().addr() + buffer.len();
    let mut hits = Hits::new();
    for (map, name) in writable_maps() {
        let mut at = map.start;
        while at < map.end {
            let len = buffer.len().min(map.end - at);
            let chunk = &mut buffer[..len];
            // A map may go, or end, while it is read.
            if memory.read_exact_at(chunk, at as u64).is_err() {
                break;
            }
            for (i, window) in chunk.windows(PIECE).enumerate() {
                let start = start(window).unwrap() ^ MASK_WORD;
                if !may_start[usize::from(start as u16)] || own.contains(&(at + i)) {
                    continue;
                }
                for (masked, what) in by_start.get(&start).into_iter().flatten() {
                    if window.iter().zip(*masked).all(|(byte, masked)| byte ^ MASK == *masked) {
                        hits.push(format!("{what} in {name}"));
                    }
                }
            }
            at += if len > CHUNK { CHUNK } else { len };
        }
    }
    buffer.zeroize();
    hits.sort();
    hits.dedup();
    hits
}

fn start(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|start| u64::from_le_bytes(*start))
}

fn writable_maps() -> Vec<(Range<usize>, String)> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let map = |line: &str| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let writable = words.next()?.starts_with("rw");
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        let name = words.nth(3).unwrap_or("memory without a name (a heap, a stack)");
        (writable && !name.starts_with("[v")).then(|| (range, name.to_owned()))
    };
    maps.lines().filter_map(map).collect()
}

const CHUNK: usize = 1 << 20;
const MASK_WORD: u64 = u64::from_le_bytes([MASK; 8]);
