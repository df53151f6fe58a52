//! One look at all that a store has to hold. A large one takes several runs: each goes on where the one before has
//! ended, and what it has done is recorded. So no run holds its permit for long, or makes a server look slow that has
//! much to do.

use std::time::{Duration, Instant};

use crate::controllers::engine::SLOW_RUN;
use crate::providers::Destination;

/// So long a run works on its stores. It goes through one secret of a store at least.
const TURN: Duration = Duration::from_secs(4);
const _: () = assert!(TURN.as_secs() < SLOW_RUN.as_secs());

/// A secret of a store: where it is, or its key if that is not known.
pub(super) type SecretPlace = Result<Destination, String>;

/// When a run leaves the rest to the next one.
pub(super) struct Turn {
    /// `None`: all is done in one run.
    end: Option<Instant>,
}

impl Turn {
    /// A run that begins now. What comes out otherwise each time has to be pushed in one run.
    pub fn new(is_volatile: bool) -> Self {
        Self { end: (!is_volatile).then(|| Instant::now() + TURN) }
    }

    pub fn is_over(&self) -> bool {
        self.end.is_some_and(|end| end <= Instant::now())
    }
}

/// What is done first, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Push,
    Delete,
    Done,
}

/// How far the look at a store is.
pub(super) struct Pass {
    /// Digest of what is pushed there.
    pub inputs: [u8; 32],
    pub step: Step,
    /// The last secret that the step has come to.
    pub after: Option<SecretPlace>,
    /// So many secrets the step has come to.
    seen: usize,
    /// So many there are.
    total: usize,
    /// Whether anything was written.
    pub has_written: bool,
}

impl Pass {
    pub fn new(inputs: [u8; 32]) -> Self {
        Self { inputs, step: Step::Push, after: None, seen: 0, total: 0, has_written: false }
    }

    /// The rest of a step is for the next run.
    pub fn pause(&mut self, after: &SecretPlace, seen: usize, left: usize) {
        self.after = Some(after.clone());
        self.seen += seen;
        self.total = self.seen + left;
    }

    /// A step is done.
    pub fn enter(&mut self, step: Step) {
        (self.step, self.after, self.seen, self.total) = (step, None, 0, 0);
    }

    /// For a person to read. `None`: the step has not begun.
    pub fn text(&self, store: &str) -> Option<String> {
        let what = match self.step {
            _ if self.total == 0 => return None,
            Step::Push => "pushing to",
            Step::Delete => "deleting in",
            Step::Done => return None,
        };
        Some(format!("{what} {store}: {} of {} secrets are done", self.seen, self.total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_counts_over_all_runs_of_a_step() {
        let mut pass = Pass::new([1; 32]);
        assert_eq!(pass.text("SecretStore/a"), None);
        pass.pause(&Err("b".to_owned()), 2, 8);
        pass.pause(&Err("e".to_owned()), 3, 5);
        assert_eq!(pass.text("SecretStore/a").as_deref(), Some("pushing to SecretStore/a: 5 of 10 secrets are done"));
        pass.enter(Step::Delete);
        assert_eq!((pass.text("SecretStore/a"), &pass.after), (None, &None));
        pass.pause(&Err("a".to_owned()), 1, 3);
        assert_eq!(pass.text("SecretStore/a").as_deref(), Some("deleting in SecretStore/a: 1 of 4 secrets are done"));
    }

    #[test]
    fn what_comes_out_otherwise_each_time_is_pushed_in_one_run() {
        assert!(Turn::new(true).end.is_none() && Turn::new(false).end.is_some());
    }
}
