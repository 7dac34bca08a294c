//! Why a command line cannot be parsed; exit status 64.

/// Why a command line cannot be parsed, and what to write instead.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UsageError {
    /// `premain` alone.
    #[error("no command to run: premain [OPTIONS] [--] COMMAND [ARG…], or 'premain --help'")]
    NoCommand,
    /// The first word of the application's command line is empty.
    #[error(
        "the command to run is empty, as 'command: [\"${{CMD}}\"]' is if CMD is not set; set the \
         variable, or write the command itself: premain [OPTIONS] [--] COMMAND [ARG…]"
    )]
    EmptyCommand,
    /// An option that does not exist, and a hint at one with a similar name.
    #[error("unknown option '{0}'{1}; 'premain --help' lists them all, and '--' ends them")]
    UnknownOption(String, String),
    /// An option without its value, or a flag with one.
    #[error("{0}")]
    Malformed(String),
    /// A word too many after a subcommand.
    #[error("'premain {0}' takes no argument '{1}'")]
    UnexpectedWord(&'static str, String),
    /// A subcommand without the word it needs.
    #[error("'premain {0}' needs an argument: premain {0} {1}")]
    MissingWord(&'static str, &'static str),
    /// An option that only another subcommand has.
    #[error("--{0} is an option of {1} only")]
    Misplaced(&'static str, String),
}
