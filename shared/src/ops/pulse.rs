//! Shows that threads still do their work. A task on each thread, or on each runtime, beats twice a second. A
//! thread that is blocked cannot run that task.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

const BEAT: Duration = Duration::from_millis(500);
/// Without a beat for this time, the thread does not serve. A probe must see that within 2 s.
pub(super) const READY_WITHIN: Duration = Duration::from_millis(1500);
/// Without a beat for this time, the process must be restarted. A probe must see that within 10 s. Much
/// longer than the time above: a busy machine is no reason for a restart.
pub(super) const ALIVE_WITHIN: Duration = Duration::from_secs(8);

/// The threads of a process that must beat.
#[derive(Clone, Debug)]
pub struct Pulses {
    started: Instant,
    beating: Arc<Mutex<Vec<Arc<Pulse>>>>,
}

#[derive(Debug)]
struct Pulse {
    name: &'static str,
    /// In milliseconds since `started`.
    last: AtomicU64,
}

/// Removes its pulse when its thread has ended.
struct Beating {
    pulses: Pulses,
    pulse: Arc<Pulse>,
}

impl Default for Pulses {
    fn default() -> Self {
        Self { started: Instant::now(), beating: Arc::default() }
    }
}

impl Pulses {
    /// A future that beats as long as it is polled. It must run on the thread, or on the runtime, that it
    /// stands for.
    pub fn beat(&self, name: &'static str) -> impl Future<Output = ()> + Send + use<> {
        let pulse = Arc::new(Pulse { name, last: AtomicU64::new(self.now()) });
        self.all(|all| all.push(Arc::clone(&pulse)));
        let beating = Beating { pulses: self.clone(), pulse };
        async move {
            let mut interval = tokio::time::interval(BEAT);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                beating.pulse.last.store(beating.pulses.now(), Ordering::Relaxed);
            }
        }
    }

    /// The names of the threads that have not beaten for this time, each name once.
    pub(super) fn silent_for(&self, time: Duration) -> Vec<&'static str> {
        let (now, time) = (self.now(), milliseconds(time));
        let mut silent: Vec<_> = self.all(|all| {
            let late = |pulse: &&Arc<Pulse>| now.saturating_sub(pulse.last.load(Ordering::Relaxed)) > time;
            all.iter().filter(late).map(|pulse| pulse.name).collect()
        });
        silent.sort_unstable();
        silent.dedup();
        silent
    }

    fn now(&self) -> u64 {
        milliseconds(self.started.elapsed())
    }

    fn all<T>(&self, work: impl FnOnce(&mut Vec<Arc<Pulse>>) -> T) -> T {
        work(&mut self.beating.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.pulses.all(|all| all.retain(|pulse| !Arc::ptr_eq(pulse, &self.pulse)));
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
