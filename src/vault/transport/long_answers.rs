//! Turns of long answers: those that are there at one time, of all servers together, fit into a fixed amount of memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{MAX_ANSWER_BYTES, SMALL_ANSWER_BYTES};

/// Memory of the texts of all long answers. What is parsed of each has a limit too (`json`).
pub(super) const MAX_READING_BYTES: usize = 24 * 1024 * 1024;
/// So many long answers of one server are read at the same time.
const MAX_LONG_ANSWERS_OF_SERVER: usize = 2;
/// An answer that takes longer gives way if others wait: a server that sends byte by byte holds up no other for long.
const MAX_TURN: Duration = Duration::from_secs(2);

/// The long answers of the process.
#[derive(Clone)]
pub(crate) struct LongAnswers {
    /// Each has a permit.
    turns: Arc<Semaphore>,
    /// How many wait for one.
    waiting: watch::Sender<usize>,
    pub(super) max_turn: Duration,
}

impl Default for LongAnswers {
    fn default() -> Self {
        let turns = Arc::new(Semaphore::new(MAX_READING_BYTES / MAX_ANSWER_BYTES));
        Self { turns, waiting: watch::Sender::new(0), max_turn: MAX_TURN }
    }
}

#[cfg(test)]
impl LongAnswers {
    pub fn free(&self) -> usize {
        self.turns.available_permits()
    }
}

/// The long answers of one server.
#[derive(Clone)]
pub(crate) struct LongAnswersOfServer {
    all: LongAnswers,
    turns: Arc<Semaphore>,
}

/// Why an answer could not be read.
#[derive(Debug)]
pub(crate) enum ReceiveError<E> {
    /// It broke off.
    Body(E),
    /// It is longer than any that is read.
    TooLong,
    /// It is long and came too slowly, and others wait.
    GaveWay,
}

/// The right of an answer to be long. It is kept for as long as anything of the answer.
pub(crate) struct Turn {
    _of_server: OwnedSemaphorePermit,
    _of_process: OwnedSemaphorePermit,
    may_end_at: Instant,
    waiting: watch::Receiver<usize>,
}

impl LongAnswersOfServer {
    pub fn new(all: LongAnswers) -> Self {
        Self { all, turns: Arc::new(Semaphore::new(MAX_LONG_ANSWERS_OF_SERVER)) }
    }

    /// Reads a whole answer, up to [`MAX_ANSWER_BYTES`]. A long one has its turn from then on.
    pub async fn receive<B>(&self, mut body: B) -> Result<(Vec<u8>, Option<Turn>), ReceiveError<B::Error>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (mut bytes, mut turn) = (vec![], None);
        loop {
            let frame = match &mut turn {
                None => body.frame().await,
                Some(turn) => tokio::select! {
                    frame = body.frame() => frame,
                    () = Turn::over(turn) => return Err(ReceiveError::GaveWay),
                },
            };
            let Some(frame) = frame else { return Ok((bytes, turn)) };
            let Ok(chunk) = frame.map_err(ReceiveError::Body)?.into_data() else { continue };
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(ReceiveError::TooLong);
            }
            if turn.is_none() && bytes.len() + chunk.len() > SMALL_ANSWER_BYTES {
                turn = Some(self.turn().await.ok_or(ReceiveError::GaveWay)?);
            }
            bytes.extend_from_slice(&chunk);
        }
    }

    /// Waits for a turn. There is always one in the end: no semaphore is ever closed.
    pub async fn turn(&self) -> Option<Turn> {
        let of_server = self.turns.clone().acquire_owned().await.ok()?;
        let waiting = Waiting::new(&self.all.waiting);
        let of_process = self.all.turns.clone().acquire_owned().await.ok()?;
        drop(waiting);
        let waiting = self.all.waiting.subscribe();
        Some(Turn {
            _of_server: of_server,
            _of_process: of_process,
            may_end_at: Instant::now() + self.all.max_turn,
            waiting,
        })
    }
}

impl Turn {
    /// Waits until the turn has lasted long enough and others wait for one.
    pub async fn over(&mut self) {
        tokio::time::sleep_until(self.may_end_at.into()).await;
        if self.waiting.wait_for(|waiting| *waiting > 0).await.is_err() {
            // Nothing is left that could wait.
            std::future::pending().await
        }
    }
}

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
