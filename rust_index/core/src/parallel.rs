//! Work that several threads share, piece after piece.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a thread waits awake for the next piece of work: to wake one takes as long as some pieces do.
const AWAKE: Duration = Duration::from_micros(500);
/// Looks for the next piece between two looks at the clock.
const LOOKS: usize = 64;

/// Threads that are started when there is work for them, and wait for more until their shift ends.
#[derive(Debug)]
pub(crate) struct Team {
    n_threads: usize,
    others: Mutex<Option<Others>>,
}

/// All threads but the one that asks.
#[derive(Debug)]
struct Others {
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

/// Where they find work.
#[derive(Default)]
struct Desk {
    /// How many pieces there were.
    round: AtomicUsize,
    /// The last of them; none when they are to end.
    work: Mutex<Option<&'static (dyn Fn() + Sync)>>,
    /// Threads that are not done with it.
    n_busy: AtomicUsize,
    has_panicked: AtomicBool,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

impl Desk {
    /// Waits for another round than this one.
    fn next(&self, round: usize) -> usize {
        let started = Instant::now();
        loop {
            for _ in 0..LOOKS {
                let now = self.round.load(Ordering::Acquire);
                if now != round {
                    return now;
                }
                std::hint::spin_loop();
            }
            if started.elapsed() > AWAKE {
                std::thread::park();
            }
        }
    }

    /// What each of the others does.
    fn serve(&self) {
        let mut round = 0;
        loop {
            round = self.next(round);
            let Some(work) = *self.work.lock() else { return };
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                self.has_panicked.store(true, Ordering::Relaxed);
            }
            self.n_busy.fetch_sub(1, Ordering::Release);
        }
    }
}

impl Others {
    fn start(n: usize) -> Self {
        let desk = Arc::new(Desk::default());
        let serve = || {
            let desk = Arc::clone(&desk);
            std::thread::spawn(move || desk.serve())
        };
        Self { threads: (0..n).map(|_| serve()).collect(), desk }
    }

    fn give(&self, work: Option<&'static (dyn Fn() + Sync)>) {
        *self.desk.work.lock() = work;
        self.desk.n_busy.store(self.threads.len(), Ordering::Relaxed);
        self.desk.round.fetch_add(1, Ordering::Release);
        for thread in &self.threads {
            thread.thread().unpark();
        }
    }

    /// Does work on all threads and on this one. Returns what it panicked with here.
    fn share(&self, work: &(dyn Fn() + Sync)) -> Result<(), Box<dyn Any + Send>> {
        // SAFETY: only the lifetime changes. The others use `work` between `give` and the time when `n_busy` is zero, which
        // is awaited here whether or not `work` panics.
        let lent = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(work) };
        self.give(Some(lent));
        let result = catch_unwind(AssertUnwindSafe(work));
        let mut n_looks = 0;
        while self.desk.n_busy.load(Ordering::Acquire) > 0 {
            n_looks += 1;
            // Where there are more threads than cores.
            if n_looks % LOOKS == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        result
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.give(None);
        for thread in self.threads.drain(..) {
            // It catches what its work panics with.
            let _ = thread.join();
        }
    }
}

/// The time for which the threads of a team are kept.
#[derive(Debug)]
pub(crate) struct Shift<'a>(&'a Team);

impl Drop for Shift<'_> {
    fn drop(&mut self) {
        drop(self.0.others.lock().take());
    }
}

impl Team {
    pub(crate) fn of(n_threads: usize) -> Self {
        Self { n_threads, others: Mutex::default() }
    }

    pub(crate) fn n_threads(&self) -> usize {
        self.n_threads
    }

    /// Until it is dropped threads wait for more work.
    pub(crate) fn shift(&self) -> Shift<'_> {
        Shift(self)
    }

    /// Applies `work` to all items, in order, on all threads, each of which takes the next item when it is done.
    pub(crate) fn map<T: Sync, R: Send>(&self, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        self.map_with(items, || (), |(), item| work(item))
    }

    /// As [`Team::map`], with something that each thread makes for itself.
    pub(crate) fn map_with<T: Sync, S, R: Send>(
        &self,
        items: &[T],
        make: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, &T) -> R + Sync,
    ) -> Vec<R> {
        if self.n_threads == 1 || items.len() < 2 {
            let mut own = make();
            return items.iter().map(|item| work(&mut own, item)).collect();
        }
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::with_capacity(items.len()));
        let run = || {
            let mut own = make();
            let mut done: Vec<(usize, R)> = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(i) else { break };
                done.push((i, work(&mut own, item)));
            }
            results.lock().append(&mut done);
        };
        self.share(&run);
        let mut results = results.into_inner();
        results.sort_unstable_by_key(|(i, _)| *i);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn share(&self, work: &(dyn Fn() + Sync)) {
        let mut others = self.others.lock();
        let others = others.get_or_insert_with(|| Others::start(self.n_threads - 1));
        let result = others.share(work);
        let has_panicked = others.desk.has_panicked.swap(false, Ordering::Relaxed);
        if let Err(panic) = result {
            resume_unwind(panic);
        }
        assert!(!has_panicked, "a thread of a team panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_whoever_made_them() {
        let items: Vec<usize> = (0..1_000).collect();
        for n_threads in [1, 2, 5] {
            let team = Team::of(n_threads);
            for _ in 0..20 {
                assert_eq!(team.map(&items, |i| i * 2), items.iter().map(|i| i * 2).collect::<Vec<_>>());
            }
            drop(team.shift());
            assert_eq!(team.map(&items[..3], |i| i + 1), [1, 2, 3]);
        }
    }

    #[test]
    fn each_thread_has_its_own() {
        let team = Team::of(3);
        let n_made = AtomicUsize::new(0);
        let make = || n_made.fetch_add(1, Ordering::Relaxed);
        let owners = team.map_with(&[(); 100], make, |&mut own, ()| own);
        assert_eq!(n_made.into_inner(), 3);
        assert!(owners.iter().all(|&owner| owner < 3));
    }

    #[test]
    fn a_panic_is_passed_on_and_the_team_lives() {
        let team = Team::of(2);
        let fail = |&i: &usize| assert!(i % 50 != 7, "item {i}");
        let items: Vec<usize> = (0..100).collect();
        assert!(catch_unwind(AssertUnwindSafe(|| team.map(&items, fail))).is_err());
        assert_eq!(team.map(&items, |i| *i).len(), 100);
    }
}
