//! The command line: what was typed becomes a call of one command and an exit status.
//!
//! It must not know how a command does its work. The arguments come from whoever starts the program, and may hold a
//! password that no message repeats.

mod commands;
mod split;

use self::{
    commands::{Cert, Check, Command, Doctor, Health, May, Passwd, Readonly, Top},
    split::split,
};
use crate::exit::{FAILED, WRONG_CONFIGURATION, WRONG_USAGE};
use crate::{
    cert::{self, CertRequest},
    config::{Flags, Purpose, Settings, in_order, redact},
    doctor::{self, DoctorRequest, Form},
    health,
    may::{self, MayRequest},
    passwd::{self, Action, PasswdRequest, Source},
    readonly::{self, ReadonlyRequest},
    server,
    terminal::{Output, complain},
};
use argh::FromArgs;
use split::Stop;
use std::{ffi::OsString, io::Write, process::ExitCode};

/// Does what the arguments say; the first one is the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter().peekable();
    if arguments.peek().is_some_and(|own| own == readonly::CHILD) {
        return readonly::become_command(arguments.skip(1));
    }
    match understand(arguments) {
        Ok((command, notes)) => {
            for note in notes {
                complain(&format!("portreeve: {note}"));
            }
            dispatch(command)
        }
        Err(Stop::Tell(text)) => tell(&text),
        Err(Stop::Nothing(help)) => {
            complain(help.trim_end());
            ExitCode::from(WRONG_USAGE)
        }
        Err(Stop::Wrong { message, see }) => {
            complain(&format!(
                "portreeve: {message}\n`{see} --help` says what is possible"
            ));
            ExitCode::from(WRONG_USAGE)
        }
    }
}

/// The command, and what is odd about the way it was written.
fn understand(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(Command, Vec<String>), Stop> {
    let mut given = Vec::new();
    for (at, argument) in arguments.into_iter().enumerate().skip(1) {
        let message = || format!("argument {at} is not valid UTF-8");
        given.push(argument.into_string().map_err(|_| Stop::Wrong {
            message: message(),
            see: "portreeve".into(),
        })?);
    }
    let split = split(&given)?;
    let arguments: Vec<&str> = split.arguments.iter().map(String::as_str).collect();
    let see = || {
        ["portreeve", arguments.first().copied().unwrap_or_default()]
            .join(" ")
            .trim_end()
            .to_owned()
    };
    match parse(&arguments) {
        Ok(Top { version: true, .. }) => Err(Stop::Tell(format!(
            "portreeve {}\n",
            env!("CARGO_PKG_VERSION")
        ))),
        Ok(Top {
            command: Some(command),
            ..
        }) => {
            command.check().map_err(|message| Stop::Wrong {
                message,
                see: see(),
            })?;
            Ok((command, split.notes))
        }
        Ok(Top { command: None, .. }) => match parse(&["--help"]) {
            Err(exit) => Err(Stop::Nothing(exit.output)),
            Ok(_) => Err(Stop::Nothing(String::new())),
        },
        Err(exit) if exit.status.is_ok() => Err(Stop::Tell(exit.output)),
        Err(exit) => Err(Stop::Wrong {
            message: in_our_words(&exit.output),
            see: see(),
        }),
    }
}

fn parse(arguments: &[&str]) -> Result<Top, argh::EarlyExit> {
    Top::from_args(&["portreeve"], arguments)
}

/// What argh says, on one line, in lower case, and without what may be a password: one in a URL, or one that was typed
/// behind the name of its user.
fn in_our_words(output: &str) -> String {
    const VALUE: &str = " with value '";
    let mut line = output.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.starts_with("Unrecognized argument:") {
        return "there is an argument too many".to_owned();
    }
    if let Some((before, rest)) = line.split_once(VALUE)
        && let Some((value, reason)) = rest.rsplit_once("': ")
    {
        line = format!("{before}{VALUE}{}': {reason}", redact(value));
    }
    let mut letters = line.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

fn dispatch(command: Command) -> ExitCode {
    match command {
        Command::Serve(flags) => with_settings(flags.flags(), Purpose::Serve, server::serve),
        Command::Auth(flags) => with_settings(flags.flags(), Purpose::Auth, server::auth),
        Command::Check(Check(flags)) => with_settings(flags.flags(), Purpose::Serve, server::check),
        Command::Health(Health(flags)) => {
            match Settings::load(flags.flags(), std::env::vars_os(), Purpose::Health) {
                Ok(settings) => health::run(settings),
                Err(faults) => {
                    server::report(&faults);
                    // Whoever probes knows two answers.
                    ExitCode::from(FAILED)
                }
            }
        }
        Command::Passwd(args) => change_passwords(&args.into()),
        Command::Cert(args) => make_certificate(&args.into()),
        Command::Doctor(args) => examine(&args.into()),
        Command::May(args) => say_what_may(&args.into()),
        Command::Readonly(args) => readonly::run(&args.into()),
    }
}

fn with_settings(flags: Flags, purpose: Purpose, run: fn(Settings) -> ExitCode) -> ExitCode {
    let (mut settings, mut faults) = Settings::read(flags, std::env::vars_os(), purpose);
    for warning in &settings.warnings {
        complain(&format!("portreeve: warning: {warning}"));
    }
    if faults.is_empty() {
        return run(settings);
    }
    // All that is wrong is said at once: a slip in one line hides nothing in the files that others name.
    faults.extend(server::faults(&mut settings));
    server::report(&in_order(faults));
    ExitCode::from(WRONG_CONFIGURATION)
}

fn change_passwords(request: &PasswdRequest) -> ExitCode {
    match passwd::run(request, &mut Output) {
        Ok(passwd::Outcome::Done) => ExitCode::SUCCESS,
        Ok(passwd::Outcome::WrongPassword) => ExitCode::from(FAILED),
        Err(reason) => {
            complain(&format!("portreeve: {reason}"));
            ExitCode::from(FAILED)
        }
    }
}

fn make_certificate(request: &CertRequest) -> ExitCode {
    match cert::run(request, &mut Output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            complain(&format!("portreeve: {reason}"));
            ExitCode::from(FAILED)
        }
    }
}

fn examine(request: &DoctorRequest) -> ExitCode {
    match doctor::run(request, &mut Output) {
        Ok(doctor::Health::Well) => ExitCode::SUCCESS,
        Ok(doctor::Health::Unwell) => ExitCode::from(FAILED),
        Err(reason) => {
            complain(&format!("portreeve: {reason}"));
            ExitCode::from(FAILED)
        }
    }
}

fn say_what_may(request: &MayRequest) -> ExitCode {
    match may::run(request, &mut Output) {
        Ok(may::Answer::Yes) => ExitCode::SUCCESS,
        Ok(may::Answer::No) => ExitCode::from(FAILED),
        Err(may::Unanswered::Usage(message)) => {
            complain(&format!(
                "portreeve: {message}\n`portreeve may --help` says what is possible"
            ));
            ExitCode::from(WRONG_USAGE)
        }
        Err(may::Unanswered::Faults(faults)) => {
            server::report(&faults);
            ExitCode::from(WRONG_CONFIGURATION)
        }
        Err(may::Unanswered::Output(_)) => ExitCode::from(FAILED),
    }
}

impl From<May> for MayRequest {
    fn from(args: May) -> MayRequest {
        MayRequest {
            access: args.access.into(),
            user: args.user,
            groups: args.group,
            right: args.right,
            place: args.place,
        }
    }
}

impl From<Readonly> for ReadonlyRequest {
    fn from(args: Readonly) -> ReadonlyRequest {
        ReadonlyRequest {
            gates: args.admin,
            hold: args.hold,
            // There has to be time for the command too.
            wait: args.wait.min(args.hold / 2),
            command: args.command.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Doctor> for DoctorRequest {
    fn from(args: Doctor) -> DoctorRequest {
        DoctorRequest {
            url: args.url,
            user: args.user,
            password_stdin: args.password_stdin,
            ca: args.ca.map(Into::into),
            repository: args.repository,
            form: if args.json { Form::Json } else { Form::Text },
        }
    }
}

impl From<Cert> for CertRequest {
    fn from(args: Cert) -> CertRequest {
        CertRequest {
            directory: args.directory.into(),
            names: args.names,
        }
    }
}

impl From<Passwd> for PasswdRequest {
    fn from(args: Passwd) -> PasswdRequest {
        let user = args.user.unwrap_or_default().into_bytes();
        let action = if args.list {
            Action::List
        } else if args.delete {
            Action::Delete { user }
        } else if args.verify {
            Action::Verify { user }
        } else {
            let cost = args.cost.unwrap_or(passwd::DEFAULT_COST);
            Action::Set { user, cost }
        };
        let source = if args.stdin {
            Source::Stdin
        } else {
            Source::Terminal
        };
        PasswdRequest {
            file: args.file.into(),
            action,
            source,
        }
    }
}

/// Standard output, for what was asked.
fn tell(text: &str) -> ExitCode {
    match Output
        .write_all(text.as_bytes())
        .and_then(|()| Output.flush())
    {
        Err(_) => ExitCode::from(FAILED),
        Ok(()) => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests;
