//! How a program reads its arguments and its environment.

use clap::builder::Resettable;
use clap::{Command, Parser};

/// Parses this process's arguments and environment; ends it where they are wrong. A variable that is empty counts as one that is not set:
/// env.example lists some so, and containers pass unset ones on so.
#[must_use]
pub fn parse<P: Parser>() -> P {
    let empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let mut command = without(P::command(), &empty);
    let matches = command.get_matches_mut();
    P::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// The command and its subcommands, none of which reads a variable that is `ignored`.
fn without(command: Command, ignored: &dyn Fn(&std::ffi::OsStr) -> bool) -> Command {
    let command = command.mut_args(|argument| {
        if argument.get_env().is_some_and(ignored) { argument.env(Resettable::Reset) } else { argument }
    });
    command.mut_subcommands(|subcommand| without(subcommand, ignored))
}
