//! Templates and their functions, held against Go's: vectors that Go has written, random templates that Go renders
//! beside this crate, and what can be said of results that no vector can hold. And AWS signatures, held against AWS's.

mod cron;
mod eso_properties;
mod fuzz;
mod generate;
mod properties;
mod property;
mod row;
mod sigv4;
mod tables;
mod vectors;
