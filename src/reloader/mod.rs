//! Reloader's annotations: which workload is restarted for which Secret or ConfigMap, and for which of their contents
//! it was restarted already. Pure.

mod declared;
mod expressions;
mod list;
mod marks;
mod references;
mod rules;
mod source;

pub use declared::Declared;
pub use expressions::Expressions;
pub use marks::{Contents, MARKS_ANNOTATION, Marks, Plan, plan};
pub use source::{Source, SourceKind, Traits};
