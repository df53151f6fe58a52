//! What the demonstration prints: steps with their time, the commands it runs, their output.

use std::time::Instant;

use anyhow::Result;

use crate::environment::Environment;

/// Prints what happens.
#[derive(Debug, Default)]
pub(super) struct Narrator {
    count: u32,
    started: Option<Instant>,
}

impl Narrator {
    /// Ends the step before, if any, with its time, and begins one.
    pub(super) fn step(&mut self, title: &str) {
        self.time();
        self.count += 1;
        println!("\n==> {}. {title}", self.count);
        self.started = Some(Instant::now());
    }

    /// The time of the step that has just ended.
    pub(super) fn time(&mut self) {
        if let Some(started) = self.started.take() {
            println!("    ({:.1} s)", started.elapsed().as_secs_f32());
        }
    }

    /// Something to know.
    pub(super) fn note(&self, text: &str) {
        println!("    {text}");
    }

    /// A command that is about to be run, as one would type it.
    pub(super) fn command(&self, line: &str) {
        println!("    $ {line}");
    }

    /// Runs one of the environment's programs without its output.
    pub(super) fn run(&self, environment: &Environment, program: &str, arguments: &[&str]) -> Result<()> {
        self.command(&typed(program, arguments));
        environment.run(program, arguments, None)?;
        Ok(())
    }

    /// Runs one of the environment's programs and shows its output.
    pub(super) fn show(&self, environment: &Environment, program: &str, arguments: &[&str]) -> Result<()> {
        self.command(&typed(program, arguments));
        for line in environment.run(program, arguments, None)?.lines() {
            println!("      {line}");
        }
        Ok(())
    }
}

/// A command as one would type it; templates shortened.
fn typed(program: &str, arguments: &[&str]) -> String {
    let mut line = program.to_owned();
    for argument in arguments {
        line.push(' ');
        match argument.split_once('=') {
            Some((format @ ("go-template" | "jsonpath" | "-o"), _)) => line.push_str(&format!("{format}=...")),
            _ => line.push_str(argument),
        }
    }
    line
}
