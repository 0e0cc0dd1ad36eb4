//! How a program reads its arguments and its environment.

use clap::builder::Resettable;
use clap::{Command, Parser};

/// Parses the arguments and the environment of this process, and exits if they are wrong. An empty variable
/// counts as unset: env.example lists some variables as empty, and containers pass unset variables on as
/// empty.
#[must_use]
pub fn parse<P: Parser>() -> P {
    let empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let mut command = without(P::command(), &empty);
    let matches = command.get_matches_mut();
    P::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// The command and its subcommands without the variables in `ignored`.
fn without(command: Command, ignored: &dyn Fn(&std::ffi::OsStr) -> bool) -> Command {
    let command = command.mut_args(|argument| {
        if argument.get_env().is_some_and(ignored) { argument.env(Resettable::Reset) } else { argument }
    });
    command.mut_subcommands(|subcommand| without(subcommand, ignored))
}
