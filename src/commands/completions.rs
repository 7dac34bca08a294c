//! `premain completions SHELL`: what a shell needs to complete premain's command line, made from
//! the tables of commands and options.

use std::fmt::Write as _;

use crate::config::Shell;
use crate::config::command::{COMMANDS, OwnOption};
use crate::config::option::OPTIONS;
use crate::config::value::Completion;

/// An option as a shell sees it.
struct Completed {
    name: String,
    help: String,
    value: Option<Completion>,
    repeated: bool,
}

pub(super) fn script(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => zsh(),
        Shell::Fish => fish(),
    }
}

fn general() -> impl Iterator<Item = Completed> {
    OPTIONS.iter().map(|option| Completed {
        name: option.name(),
        help: option.help(),
        value: option.value.map(|_| (option.completion)()),
        repeated: option.repeated,
    })
}

/// The options that only one command has.
fn own(command: &str) -> Vec<Completed> {
    let options = COMMANDS.iter().filter(|info| info.name == command).flat_map(|info| info.options);
    let completed = |option: &'static OwnOption| Completed {
        name: option.name.to_owned(),
        help: option.help.to_owned(),
        value: option.value.map(|_| Completion::Nothing),
        repeated: false,
    };
    options.map(completed).collect()
}

/// The words that a command itself takes.
fn arguments(command: &str) -> Vec<&'static str> {
    match command {
        "completions" => Shell::ALL.iter().map(|(name, _)| *name).collect(),
        "baseline" => vec!["none"],
        _ => Vec::new(),
    }
}

fn bash() -> String {
    let mut with_value = Vec::new();
    let mut values = String::new();
    let mut words = String::new();
    let mut all: Vec<Completed> = general().collect();
    all.extend(COMMANDS.iter().flat_map(|command| own(command.name)));
    for option in &all {
        let Some(value) = &option.value else { continue };
        with_value.push(format!("--{}", option.name));
        let compgen = |words: &[&str], more: &str| {
            let words = words.join(" ");
            format!(" COMPREPLY=($(compgen -W '{words}'{more} -- \"$current\"));")
        };
        let action = match value {
            Completion::Words(words) => compgen(words, ""),
            Completion::Directory(words) => compgen(words, " -d"),
            Completion::Nothing => String::new(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(values, "    --{}){action} return ;;", option.name);
    }
    for command in COMMANDS {
        let own = own(command.name).into_iter().map(|option| format!("--{}", option.name));
        let known: Vec<String> =
            own.chain(arguments(command.name).into_iter().map(str::to_owned)).collect();
        if !known.is_empty() {
            let _ = writeln!(words, "    {}) words='{}' ;;", command.name, known.join(" "));
        }
    }
    let options: Vec<_> = general().map(|option| format!("--{}", option.name)).collect();
    let commands: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
    format!(
        r#"# premain for bash: premain completions bash > /etc/bash_completion.d/premain
_premain() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command= words= i
  COMPREPLY=()
  # --option=value are three words to bash.
  if [[ $current == = ]]; then current=; fi
  if [[ $previous == = ]]; then previous=${{COMP_WORDS[COMP_CWORD - 2]}}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${{COMP_WORDS[i]}} in
    --) _premain_application $((i + 1)); return ;;
    {with_value})
      if [[ ${{COMP_WORDS[i + 1]}} == = ]]; then ((i += 2)); else ((i++)); fi ;;
    -* | =) ;;
    *)
      if [[ -z $command && " {commands} " == *" ${{COMP_WORDS[i]}} "* ]]; then
        command=${{COMP_WORDS[i]}}
      elif [[ -z $command || $command == run ]]; then
        _premain_application "$i"; return
      fi ;;
    esac
  done
  case $previous in
{values}  esac
  case $command in
    '') words='{commands}' ;;
{words}  esac
  COMPREPLY=($(compgen -W "$words {options} --help --version" -- "$current"))
  if [[ (-z $command || $command == run) && $current != -* ]]; then
    COMPREPLY+=($(compgen -c -- "$current"))
  fi
}}
_premain_application() {{
  if declare -F _command_offset > /dev/null; then _command_offset "$1"
  else COMPREPLY=($(compgen -f -- "$current")); fi
}}
complete -F _premain premain
"#,
        with_value = with_value.join(" | "),
        commands = commands.join(" "),
        options = options.join(" "),
    )
}

/// `text` within single quotes of zsh or fish.
fn quoted(text: &str) -> String {
    text.replace('\'', "’")
}

fn zsh() -> String {
    let entry = |option: &Completed| {
        // What ends or parts a description in _arguments.
        let help = quoted(&option.help).replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
        let repeated = if option.repeated { "*" } else { "" };
        match &option.value {
            None => format!("    '{repeated}--{}[{help}]'\n", option.name),
            Some(value) => {
                let action = match value {
                    Completion::Words(words) => format!("({})", words.join(" ")),
                    Completion::Directory(_) => "_files -/".to_owned(),
                    Completion::Nothing => String::new(),
                };
                format!("    '{repeated}--{}=[{help}]: :{action}'\n", option.name)
            }
        }
    };
    let options: String = general().map(|option| entry(&option)).collect();
    let mut commands = String::new();
    let mut own_options = String::new();
    for command in COMMANDS {
        let help = quoted(command.help).replace(':', "\\:");
        let _ = writeln!(commands, "    '{}:{help}'", command.name);
        let mut words: String = own(command.name).iter().map(entry).collect();
        if !arguments(command.name).is_empty() {
            let _ = writeln!(words, "    '1: :({})'", arguments(command.name).join(" "));
        }
        if !words.is_empty() {
            let _ = writeln!(own_options, "    {}) options+=(\n{words}    ) ;;", command.name);
        }
    }
    format!(
        r#"#compdef premain
# premain for zsh: premain completions zsh > "${{fpath[1]}}/_premain"
_premain() {{
  local context state state_descr line curcontext=$curcontext
  local -A opt_args
  local -a options=(
{options}  )
  local -a commands=(
{commands}  )
  _arguments -C -S $options '1: :->command' '*:: :->rest' && return
  case $state in
  command)
    _describe -t commands 'premain command' commands
    _command_names -e ;;
  rest)
    case $words[1] in
{own_options}    run) shift words; ((CURRENT--)); _normal; return ;;
    esac
    if (( $commands[(I)$words[1]:*] )); then _arguments $options; else _normal; fi ;;
  esac
}}
if [[ $funcstack[1] == _premain ]]; then _premain "$@"; else compdef _premain premain; fi
"#
    )
}

fn fish() -> String {
    let mut text = String::from(
        "# premain for fish: premain completions fish > ~/.config/fish/completions/premain.fish\n\
         complete -c premain -n __fish_use_subcommand -s h -l help -d 'the help'\n\
         complete -c premain -n __fish_use_subcommand -s V -l version -d 'the version'\n",
    );
    let mut option = |condition: &str, option: &Completed| {
        let value = match &option.value {
            None => String::new(),
            Some(Completion::Words(words)) => format!(" -x -a '{}'", words.join(" ")),
            Some(Completion::Directory(words)) => {
                format!(" -x -a '{} (__fish_complete_directories)'", words.join(" "))
            }
            Some(Completion::Nothing) => " -x".to_owned(),
        };
        let help = quoted(&option.help);
        let _ =
            writeln!(text, "complete -c premain{condition} -l {}{value} -d '{help}'", option.name);
    };
    for general in general() {
        option("", &general);
    }
    for command in COMMANDS {
        let condition = format!(" -n '__fish_seen_subcommand_from {}'", command.name);
        for own in own(command.name) {
            option(&condition, &own);
        }
    }
    for command in COMMANDS {
        let (name, help) = (command.name, quoted(command.help));
        let _ =
            writeln!(text, "complete -c premain -n __fish_use_subcommand -a {name} -d '{help}'");
        for word in arguments(name) {
            let _ = writeln!(
                text,
                "complete -c premain -f -n '__fish_seen_subcommand_from {name}' -a {word}"
            );
        }
    }
    text
}
