//! Turns to render: templates may take as long as their limits let them, so few run at a time, and few of one
//! namespace.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::util::WeakTable;

/// How many objects are rendered at one time. Each may use a core for two seconds, and 16 MiB: all of them fit into the
/// memory that the chart gives the operator.
const MAX_CONCURRENT_RENDERINGS: usize = 4;

/// How many of them may be of one namespace: expensive templates of one tenant hold up no other.
const MAX_CONCURRENT_RENDERINGS_OF_NAMESPACE: usize = 2;

/// How many runs of one namespace may render or wait for it. Others give back the permits they hold, and come again.
const MAX_TURNS_OF_NAMESPACE: usize = 6;

/// After so long a run comes again that found all turns of its namespace taken.
pub(super) const TURN_RETRY_DELAY: Duration = Duration::from_millis(300);

/// The turns of all objects.
pub(crate) struct RenderTurns {
    /// Templates and filters are compiled and run on so many threads at most.
    permits: Arc<Semaphore>,
    /// The namespaces in which objects are rendered now.
    namespaces: WeakTable<Arc<str>, NamespaceTurns>,
}

/// The turns of a namespace.
struct NamespaceTurns {
    all: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// The right of a run to render, as one of a few of its namespace.
pub(crate) struct Turn {
    permits: Arc<Semaphore>,
    namespace: Arc<NamespaceTurns>,
    _permit: OwnedSemaphorePermit,
}

impl Default for RenderTurns {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let permits = Semaphore::new((2 * threads).min(MAX_CONCURRENT_RENDERINGS));
        Self { permits: Arc::new(permits), namespaces: WeakTable::default() }
    }
}

impl Default for NamespaceTurns {
    fn default() -> Self {
        let permits = |count| Arc::new(Semaphore::new(count));
        Self { all: permits(MAX_TURNS_OF_NAMESPACE), running: permits(MAX_CONCURRENT_RENDERINGS_OF_NAMESPACE) }
    }
}

impl RenderTurns {
    /// Takes a turn of a namespace. `None`: all are taken.
    pub fn take(&self, namespace: &str) -> Option<Turn> {
        let turns = self.namespaces.get_or_insert_with(namespace.into(), |_| Arc::new(NamespaceTurns::default()));
        let permit = turns.all.clone().try_acquire_owned().ok()?;
        Some(Turn { permits: self.permits.clone(), namespace: turns, _permit: permit })
    }
}

impl Turn {
    /// Does work that may take as long as its limits let it: not on a thread that others wait for. `None`: it did not
    /// come to its end.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let running = self.namespace.running.clone().acquire_owned().await.ok()?;
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        let work = move || {
            // A run that is given up leaves its thread behind, and the permits with it.
            let _permits = (running, permit);
            work()
        };
        tokio::task::spawn_blocking(work).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_permit_of_a_rendering_stays_with_its_thread_when_the_run_is_given_up() {
        let turns = RenderTurns::default();
        let turn = || turns.take("ns").expect("a turn is free");
        let free = turns.permits.available_permits();
        let (started, has_started) = mpsc::channel();
        let (finish, may_finish) = mpsc::channel::<()>();
        let first = turn();
        let namespace = first.namespace.clone();
        let run = first.run(move || {
            started.send(()).expect("the test waits for it");
            // It ends when the sender is dropped.
            let _ = may_finish.recv();
        });
        let mut run = Box::pin(run);
        while has_started.try_recv().is_err() {
            assert!(futures_util::poll!(&mut run).is_pending());
            tokio::task::yield_now().await;
        }
        drop(run);
        drop(first);
        let permits = || (turns.permits.available_permits(), namespace.running.available_permits());
        assert_eq!(permits(), (free - 1, MAX_CONCURRENT_RENDERINGS_OF_NAMESPACE - 1), "the thread works on");
        // Others of the namespace get what is left, and no more.
        let second = turn();
        assert!(second.run(|| ()).await.is_some());
        drop(finish);
        while permits() != (free, MAX_CONCURRENT_RENDERINGS_OF_NAMESPACE) {
            tokio::task::yield_now().await;
        }
    }
}
