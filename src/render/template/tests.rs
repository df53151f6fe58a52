//! The language against vectors that Go has written, and what Go does not have: limits.

use super::{Limits, Set};
use functions::{functions, root};

mod functions;

/// What Go says: output or error.
type Outcome = Result<Vec<u8>, String>;

fn outcome(sources: &[(String, String)]) -> Outcome {
    let set = Set::parse(sources, &functions()).map_err(|error| error.go_text().to_owned())?;
    set.execute(&sources[0].0, &root(), &Limits::default()).map_err(|error| error.go_text().to_owned())
}
