//! Arguments made ready for argh, which knows `--name value` alone: `--name=value` is split, a switch gets its value,
//! and what argh would misread is refused in words of our own.
//!
//! It knows which flags there are and whether they take a value, from argh's own tables, and not what they mean.

use super::commands::Top;
use crate::config::{Kind, by_name, nearest, redact, switch};
use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind};

/// Why there is no command to run.
#[derive(Debug)]
pub(super) enum Stop {
    /// Something was asked that has its answer right here.
    Tell(String),
    /// Nothing was asked; here is the help.
    Nothing(String),
    /// Wrong usage, and the command whose help says more.
    Wrong { message: String, see: String },
}

/// What argh is given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) arguments: Vec<String>,
    /// What is allowed, but may not be meant.
    pub(super) notes: Vec<String>,
}

/// Makes the arguments behind the program's name ready.
pub(super) fn split(given: &[String]) -> Result<Split, Stop> {
    let top = Top::get_args_info();
    let Some((first, rest)) = given.split_first() else {
        return Ok(Split::default());
    };
    let command = |name: &str| top.commands.iter().find(|command| command.name == name);
    match first.as_str() {
        "-h" | "--help" | "help" => Ok(match rest.first().and_then(|name| command(name)) {
            Some(command) => Split::of(&[command.name, "--help"]),
            None => Split::of(&["--help"]),
        }),
        "-V" | "--version" => Ok(Split::of(&["--version"])),
        name => match command(name) {
            Some(command) => Splitter {
                command: &command.command,
                out: Split::of(&[command.name]),
            }
            .run(rest),
            None => Err(wrong("portreeve", no_command(&top, name))),
        },
    }
}

impl Split {
    fn of(arguments: &[&str]) -> Split {
        Split {
            arguments: arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .collect(),
            notes: Vec::new(),
        }
    }
}

struct Splitter<'a> {
    command: &'a CommandInfoWithArgs,
    out: Split,
}

impl Splitter<'_> {
    fn run(mut self, given: &[String]) -> Result<Split, Stop> {
        let mut given = given.iter().map(String::as_str).peekable();
        let mut after_switch = None;
        while let Some(argument) = given.next() {
            match argument {
                // Wherever it stands, what else was typed no longer matters.
                "-h" | "--help" => return Ok(Split::of(&[self.command.name, "--help"])),
                "--" => {
                    self.push(argument);
                    given
                        .by_ref()
                        .for_each(|rest| self.out.arguments.push(rest.to_owned()));
                }
                // A dash of another width is what becomes of -- in a text processor.
                _ if argument.starts_with(['-', '–', '—']) => {
                    let (name, value) = match argument.split_once('=') {
                        Some((name, value)) => (name, Some(value)),
                        None => (argument, None),
                    };
                    let flag = self.flag(name)?;
                    after_switch = (flag != Takes::Value && value.is_none()).then_some(name);
                    match flag {
                        Takes::Value => {
                            let value = match value {
                                Some(value) => value,
                                None => self.next_value(name, given.next())?,
                            };
                            self.push(name);
                            self.push(value);
                        }
                        Takes::Switch => {
                            self.push(name);
                            self.push(value.unwrap_or("yes"));
                        }
                        Takes::Nothing => match value.map_or(Ok(true), switch) {
                            Ok(true) => self.push(name),
                            Ok(false) => {}
                            Err(_) => {
                                return Err(
                                    self.wrong(format!("{name} takes yes or no, if anything"))
                                );
                            }
                        },
                    }
                    continue;
                }
                _ => self.positional(argument, after_switch)?,
            }
            after_switch = None;
        }
        Ok(self.out)
    }

    /// The value that stands apart from its flag. Whoever forgot it should not see the next flag swallowed.
    fn next_value<'v>(&mut self, name: &str, value: Option<&'v str>) -> Result<&'v str, Stop> {
        let Some(value) = value else {
            return Err(self.wrong(format!("{name} needs a value")));
        };
        if value.starts_with("--") || value == "-h" {
            let bare = value.split('=').next().unwrap_or_default();
            if bare == "-h" || bare == "--help" || self.takes(bare).is_some() {
                let remedy = format!("write {name}={bare} if that is its value");
                return Err(self.wrong(format!(
                    "{name} needs a value, but the flag {bare} follows; {remedy}"
                )));
            }
            self.out.notes.push(format!(
                "note: {name} takes {:?} as its value",
                redact(value)
            ));
        }
        Ok(value)
    }

    fn positional(&mut self, argument: &str, after_switch: Option<&str>) -> Result<(), Stop> {
        match after_switch {
            Some(name) if switch(argument).is_ok() => Err(self.wrong(format!(
                "a switch has its value behind an =, as in {name}={argument}"
            ))),
            _ if self.command.positionals.is_empty() => {
                Err(self.wrong(format!("{:?} belongs to no flag", redact(argument))))
            }
            _ => {
                self.push(argument);
                Ok(())
            }
        }
    }

    fn flag(&self, name: &str) -> Result<Takes, Stop> {
        self.takes(name).ok_or_else(|| {
            let bare = name.trim_start_matches(['-', '–', '—']);
            if by_name(bare).is_some() && self.takes(&format!("--{bare}")).is_none() {
                let command = self.command.name;
                return self.wrong(format!(
                    "{name} is a flag of serve, and of no use to {command}"
                ));
            }
            let names = self.command.flags.iter().map(|flag| flag.long);
            // However many dashes, and whichever: the name tells what was meant. A single letter tells nothing.
            let typed = format!("--{bare}");
            let meant = nearest(&typed, names).filter(|_| bare.chars().count() > 1);
            self.wrong(match meant {
                Some(meant) => format!("no such flag {:?}; did you mean {meant}?", redact(name)),
                None => format!("no such flag {:?}", redact(name)),
            })
        })
    }

    fn takes(&self, name: &str) -> Option<Takes> {
        self.command
            .flags
            .iter()
            .find(|flag| flag.long == name)
            .map(Takes::of)
    }

    fn push(&mut self, argument: &str) {
        self.out.arguments.push(argument.to_owned());
    }

    fn wrong(&self, message: String) -> Stop {
        wrong(&format!("portreeve {}", self.command.name), message)
    }
}

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// A value, behind `=` or in the next argument.
    Value,
    /// Yes or no behind `=`, or nothing, which is yes: a setting that the other sources may have set.
    Switch,
    /// The same, for a switch of argh's own.
    Nothing,
}

impl Takes {
    fn of(flag: &FlagInfo<'_>) -> Takes {
        let setting = by_name(flag.long.trim_start_matches('-'));
        match flag.kind {
            FlagInfoKind::Switch => Takes::Nothing,
            FlagInfoKind::Option { .. }
                if setting.is_some_and(|setting| setting.kind == Kind::Switch) =>
            {
                Takes::Switch
            }
            FlagInfoKind::Option { .. } => Takes::Value,
        }
    }
}

fn no_command(top: &CommandInfoWithArgs, name: &str) -> String {
    let flag = name.split('=').next().unwrap_or_default();
    let bare = flag.trim_start_matches(['-', '–', '—']);
    if bare != flag && by_name(bare).is_some() {
        return format!("a flag stands behind its command, as in portreeve serve --{bare} ...");
    }
    match nearest(name, top.commands.iter().map(|command| command.name)) {
        Some(meant) => format!("no such command {:?}; did you mean {meant}?", redact(name)),
        None => format!("no such command {:?}", redact(name)),
    }
}

fn wrong(see: &str, message: String) -> Stop {
    Stop::Wrong {
        message,
        see: see.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ')
            .filter(|word| !word.is_empty())
            .map(|word| word.replace('_', " "))
            .collect()
    }

    #[test]
    fn arguments_are_made_ready() {
        let cases = [
            ("", ""),
            ("serve", "serve"),
            ("serve --realm x", "serve --realm x"),
            ("serve --realm=x", "serve --realm x"),
            ("serve --realm=a=b", "serve --realm a=b"),
            ("serve --realm=--backend", "serve --realm --backend"),
            ("serve --realm=-h", "serve --realm -h"),
            ("serve --realm -x", "serve --realm -x"),
            ("serve --realm a_b", "serve --realm a_b"),
            ("serve --realm --a=b", "serve --realm --a=b"),
            ("serve --insecure-http", "serve --insecure-http yes"),
            ("serve --insecure-http=no", "serve --insecure-http no"),
            ("serve --insecure-http=maybe", "serve --insecure-http maybe"),
            (
                "serve --insecure-http --realm x",
                "serve --insecure-http yes --realm x",
            ),
            (
                "serve --backend=a --backend b",
                "serve --backend a --backend b",
            ),
            ("serve --realm x -h", "serve --help"),
            ("serve --help --realm x --nonsense", "serve --help"),
            ("check --log=json", "check --log json"),
            ("health --listen=unix:/x", "health --listen unix:/x"),
            ("passwd --stdin f u", "passwd --stdin f u"),
            ("passwd --stdin=yes f u", "passwd --stdin f u"),
            ("passwd --stdin=no f u", "passwd f u"),
            ("passwd --stdin=ON f u", "passwd --stdin f u"),
            ("passwd --stdin=Off f u", "passwd f u"),
            ("passwd --cost=5 f u", "passwd --cost 5 f u"),
            ("passwd f -- -u", "passwd f -- -u"),
            ("passwd -- f --stdin=yes", "passwd -- f --stdin=yes"),
            ("-h", "--help"),
            ("help", "--help"),
            ("help serve", "serve --help"),
            ("--help passwd", "passwd --help"),
            ("--help nonsense", "--help"),
            ("-V", "--version"),
            ("--version serve", "--version"),
        ];
        for (given, expected) in cases {
            match split(&words(given)) {
                Ok(split) => assert_eq!(split.arguments, words(expected), "{given}"),
                Err(stop) => panic!("{given}: {stop:?}"),
            }
        }
    }

    #[test]
    fn an_empty_value_is_a_value() {
        for given in [vec!["serve", "--realm="], vec!["serve", "--realm", ""]] {
            let given: Vec<String> = given.into_iter().map(str::to_owned).collect();
            assert_eq!(
                split(&given).ok().map(|split| split.arguments),
                Some(vec!["serve".into(), "--realm".into(), "".into()])
            );
        }
    }

    #[test]
    fn a_value_that_looks_like_a_flag_is_noted() {
        let notes = split(&words("serve --realm --a=b"))
            .ok()
            .map(|split| split.notes);
        assert_eq!(
            notes,
            Some(vec![
                "note: --realm takes \"--a=b\" as its value".to_owned()
            ])
        );
    }

    #[test]
    fn wrong_usage_is_refused_in_our_words() {
        let cases = [
            ("srve", "no such command \"srve\"; did you mean serve?"),
            ("frobnicate", "no such command \"frobnicate\""),
            (
                "--listen=x",
                "a flag stands behind its command, as in portreeve serve --listen ...",
            ),
            ("-x", "no such command \"-x\""),
            (
                "serve --lisen x",
                "no such flag \"--lisen\"; did you mean --listen?",
            ),
            ("serve --frobnicate=x", "no such flag \"--frobnicate\""),
            (
                "auth --backend=http://u:pa55@h",
                "--backend is a flag of serve, and of no use to auth",
            ),
            ("serve -l x", "no such flag \"-l\""),
            (
                "serve -listen x",
                "no such flag \"-listen\"; did you mean --listen?",
            ),
            (
                "serve -lisen=x",
                "no such flag \"-lisen\"; did you mean --listen?",
            ),
            (
                "serve —listen x",
                "no such flag \"—listen\"; did you mean --listen?",
            ),
            (
                "serve --TLS-CERT x",
                "no such flag \"--TLS-CERT\"; did you mean --tls-cert?",
            ),
            (
                "auth -backend x",
                "-backend is a flag of serve, and of no use to auth",
            ),
            (
                "-listen x",
                "a flag stands behind its command, as in portreeve serve --listen ...",
            ),
            ("Serve", "no such command \"Serve\"; did you mean serve?"),
            (
                "serve --insecure-http OFF",
                "a switch has its value behind an =, as in --insecure-http=OFF",
            ),
            ("serve --realm", "--realm needs a value"),
            (
                "serve --realm --backend x",
                "--realm needs a value, but the flag --backend follows; write --realm=--backend if that is its value",
            ),
            (
                "serve --realm --backend=http://u:pa55@h",
                "--realm needs a value, but the flag --backend follows; write --realm=--backend if that is its value",
            ),
            (
                "serve --realm --help",
                "--realm needs a value, but the flag --help follows; write --realm=--help if that is its value",
            ),
            (
                "serve --insecure-http no",
                "a switch has its value behind an =, as in --insecure-http=no",
            ),
            ("serve http://u:pa55@h", "\"http://…@h\" belongs to no flag"),
            ("serve -- x", ""),
            (
                "passwd --stdin=maybe f u",
                "--stdin takes yes or no, if anything",
            ),
        ];
        for (given, expected) in cases {
            match split(&words(given)) {
                Err(Stop::Wrong { message, .. }) => assert_eq!(message, expected, "{given}"),
                other => assert!(expected.is_empty(), "{given}: {other:?}"),
            }
        }
    }
}
