//! Templates and their functions, held against Go's: vectors that Go has written, random templates that Go renders beside
//! this crate, and what can be said of results that no vector can hold.

mod fuzz;
mod generate;
mod properties;
mod row;
mod tables;
mod vectors;
