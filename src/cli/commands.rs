//! The commands and their flags, as argh wants them. The flags of the settings come from the table of `config`.

use crate::config::{Flags, Id, Kind, settings_of_auth, with_settings, with_settings_of_auth};
use crate::{cert, doctor, passwd, readonly};
use argh::{ArgsInfo, CommandInfo, CommandInfoWithArgs, EarlyExit, FromArgs, SubCommand};
use std::{path::PathBuf, time::Duration};

#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(
    description = "An auth gate for container registries: it ends TLS, checks who is asking, and\n\
                   relays bytes.",
    help_triggers("-h", "--help"),
    example = "portreeve passwd users alice\n\
               portreeve serve --backend http://127.0.0.1:5000 --htpasswd users \\\n\
               \x20   --tls-cert cert.pem --tls-key key.pem",
    note = "`{command_name} COMMAND --help` lists the flags of a command.\n\
            Exit status: 0 well, 1 failed while running, 2 wrong usage, 78 wrong\n\
            configuration."
)]
pub(super) struct Top {
    /// print the version
    #[argh(switch, short = 'V')]
    pub(super) version: bool,

    #[argh(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(subcommand)]
pub(super) enum Command {
    Serve(Serve),
    Auth(Auth),
    Check(Check),
    Passwd(Passwd),
    Cert(Cert),
    Health(Health),
    Doctor(Doctor),
    May(May),
    Readonly(Readonly),
}

impl Command {
    /// What argh cannot know about the flags.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Command::Serve(args) => args.check(),
            Command::Auth(args) => args.check(),
            Command::Check(Check(args)) | Command::Health(Health(args)) => args.check(),
            Command::Passwd(args) => args.check(),
            Command::Cert(_) => Ok(()),
            Command::Doctor(args) => args.check(),
            Command::May(_) => Ok(()),
            Command::Readonly(args) => args.check(),
        }
    }
}

/// Makes the type of a command that takes settings; what follows its description is for argh.
macro_rules! command_with_settings {
    (
        { $Command:ident $name:tt $about:tt $($more:tt)* }
        $($field:ident $placeholder:tt $mark:tt $default:tt, $help:tt $(, $scope:ident)?;)*
    ) => {
        #[derive(Debug, FromArgs, ArgsInfo)]
        #[argh(
            subcommand,
            name = $name,
            description = $about,
            help_triggers("-h", "--help"),
            usage = "[--config FILE] [--SETTING VALUE]...",
            note = "A flag takes its value as --name value or --name=value. One whose value\n\
                    ends in ... may be repeated. One that takes yes or no means yes when it\n\
                    stands alone.",
            note = "Each flag is a variable too, and a line of the file that --config names:\n\
                    --tls-key FILE, PORTREEVE_TLS_KEY=FILE, `tls-key FILE`. A flag wins over\n\
                    a variable, and a variable over the file. Several values stand in a\n\
                    variable with blanks between them, in a file on a line each."
            $($more)*
        )]
        pub(super) struct $Command {
            $(
                #[doc = $help]
                #[doc = " ("]
                #[doc = $placeholder]
                #[doc = ", default: "]
                #[doc = $default]
                #[doc = ")"]
                #[argh(option)]
                $field: Vec<String>,
            )*
        }

        impl $Command {
            /// The values that were typed, with their settings.
            pub(super) fn flags(self) -> Flags {
                let typed = [$((Id::$field.setting(), self.$field)),*].into_iter();
                typed.flat_map(|(setting, values)| values.into_iter().map(move |value| (setting, value))).collect()
            }

            fn check(&self) -> Result<(), String> {
                let counts = [$((Id::$field.setting(), self.$field.len())),*];
                match counts.into_iter().find(|(setting, count)| *count > 1 && setting.kind != Kind::Many) {
                    Some((setting, count)) => Err(format!("--{} takes one value, but is given {count} times", setting.name)),
                    None => Ok(()),
                }
            }
        }
    };
}
with_settings!(command_with_settings! {
    Serve "serve" "be the gate",
    note = "BACKEND and AUTH_BACKEND count where PORTREEVE_BACKEND and\n\
            PORTREEVE_AUTH_BACKEND are not set."
});
with_settings_of_auth!(command_with_settings! {
    Auth "auth" "be only the auth service: 200 or 401 for nginx auth_request, Traefik, Caddy",
    note = "--htpasswd is required. Any path and method is answered by the Authorization\n\
            field alone: 200 with the user in X-Remote-User, or 401 with a challenge.\n\
            503 says that too many passwords wait to be checked: not yes, try again.",
    note = "Name the proxy with --trusted-proxy, so that its clients are told apart by\n\
            the X-Forwarded-For that it sets. One at a Unix socket is 127.0.0.1.",
    note = "The file and the variables may be those of serve: what only serve has a use\n\
            for is passed over.",
    example = "portreeve auth --listen http://127.0.0.1:8080 --htpasswd users \\\n\
               \x20   --trusted-proxy 127.0.0.1\n\
               portreeve auth --listen unix:/run/portreeve.sock --htpasswd users \\\n\
               \x20   --trusted-proxy 127.0.0.1"
});
/// What `serve` is for, where its help says it.
const BE_THE_GATE: &str = "be the gate";

/// Makes the type of a command that takes what `serve` takes, and reads it as that does: one more reader of all flags would be 15 KB of
/// the binary.
macro_rules! command_like_serve {
    ($Command:ident $name:tt $about:tt) => {
        #[derive(Debug)]
        pub(super) struct $Command(pub(super) Serve);

        impl FromArgs for $Command {
            fn from_args(command: &[&str], arguments: &[&str]) -> Result<Self, EarlyExit> {
                let read = Serve::from_args(command, arguments);
                read.map($Command).map_err(|exit| EarlyExit {
                    output: exit.output.replacen(BE_THE_GATE, $about, 1),
                    ..exit
                })
            }
        }

        impl SubCommand for $Command {
            const COMMAND: &'static CommandInfo = &CommandInfo {
                name: $name,
                short: &'\0',
                description: $about,
            };
        }

        impl ArgsInfo for $Command {
            fn get_args_info() -> CommandInfoWithArgs {
                CommandInfoWithArgs {
                    name: $name,
                    description: $about,
                    ..Serve::get_args_info()
                }
            }
        }
    };
}
command_like_serve!(Check "check" "read all that serve would read, report every fault, bind nothing");
command_like_serve!(Health "health" "ask the gate that runs with these settings whether it is well: exit 0 or 1");

/// add, change, remove, list or verify users of a password file
#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "passwd",
    help_triggers("-h", "--help"),
    usage = "[--delete|--list|--verify] [OPTION]... FILE [USER]",
    note = "Without --delete, --list or --verify the user is added, or gets a new\n\
            password, which is asked for twice on a terminal.",
    example = "portreeve passwd /etc/portreeve/htpasswd alice\n\
               portreeve passwd --stdin --cost=12 htpasswd alice < password"
)]
pub(super) struct Passwd {
    /// read the password from standard input, as one line
    #[argh(switch)]
    pub(super) stdin: bool,

    /// what a check of the new password costs, as the power of two that bcrypt has it, 4 to 16
    #[argh(option, from_str_fn(cost))]
    pub(super) cost: Option<u32>,

    /// remove the user
    #[argh(switch)]
    pub(super) delete: bool,

    /// list the users
    #[argh(switch)]
    pub(super) list: bool,

    /// say whether a password is the user's: exit 0 or 1
    #[argh(switch)]
    pub(super) verify: bool,

    /// the password file, as Apache's htpasswd writes it
    #[argh(positional, arg_name = "FILE")]
    pub(super) file: String,

    /// the user
    #[argh(positional, arg_name = "USER")]
    pub(super) user: Option<String>,
}

impl Passwd {
    fn check(&self) -> Result<(), String> {
        let jobs = [self.delete, self.list, self.verify];
        let wrong = if jobs.iter().filter(|job| **job).count() > 1 {
            "only one of --delete, --list and --verify is possible"
        } else if self.list && self.user.is_some() {
            "--list takes no user"
        } else if !self.list && self.user.is_none() {
            "the user is missing"
        } else if self.stdin && (self.list || self.delete) {
            "--stdin reads a password, and none is needed here"
        } else if self.cost.is_some() && jobs.contains(&true) {
            "--cost is for a new password, and there is none here"
        } else {
            return Ok(());
        };
        Err(wrong.to_owned())
    }
}

/// The costs that the gate accepts in a password file: a lower one is no bcrypt, a higher one takes seconds.
fn cost(text: &str) -> Result<u32, String> {
    let number = text
        .parse()
        .ok()
        .filter(|cost| passwd::COSTS.contains(cost));
    let (least, most) = (passwd::COSTS.start(), passwd::COSTS.end());
    number.ok_or_else(|| format!("not a number between {least} and {most}"))
}

/// make a private CA and a server certificate, for trials and closed networks
#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "cert",
    help_triggers("-h", "--help"),
    usage = "DIR [NAME]...",
    note = "DIR gets ca.crt, ca.key, server.crt and server.key. Run again, it makes a new\n\
            server certificate and keeps the CA, which clients trust: for the names\n\
            given, or else for those of the present certificate. localhost, this\n\
            machine's name and its addresses are always among them.",
    note = "`serve --tls-self-signed DIR` takes the directory over and renews by itself;\n\
            give it the same names by --tls-name.",
    example = "portreeve cert /var/lib/portreeve registry.lan 10.0.0.5"
)]
pub(super) struct Cert {
    /// where the CA and the certificate are kept
    #[argh(positional, arg_name = "DIR")]
    pub(super) directory: String,

    /// a name or an address by which clients call the gate
    #[argh(positional, arg_name = "NAME", from_str_fn(cert::name))]
    pub(super) names: Vec<String>,
}

/// play docker, containerd and podman against a running gate, name what is wrong
#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "doctor",
    help_triggers("-h", "--help"),
    usage = "[--user USER] [OPTION]... URL",
    note = "Looks at name, connection, certificate and challenge; as USER it also pushes a\n\
            few bytes, pulls them and removes them. The password is asked for on a\n\
            terminal, and is sent only if the certificate is good.",
    note = "Each step has a tick, or says what is wrong and how to mend it. Exit status 0\n\
            if nothing is wrong, else 1.",
    example = "portreeve doctor https://registry.lan:5443 --user alice \\\n\
               \x20   --ca /var/lib/portreeve/ca.crt"
)]
pub(super) struct Doctor {
    /// whose password to try, and to push and pull as
    #[argh(option, arg_name = "user")]
    pub(super) user: Option<String>,

    /// read the password from standard input, as one line
    #[argh(switch)]
    pub(super) password_stdin: bool,

    /// PEM certificates to trust instead of the system's
    #[argh(option, arg_name = "file")]
    pub(super) ca: Option<String>,

    /// where to push (default: portreeve-doctor/probe)
    #[argh(
        option,
        arg_name = "name",
        default = "doctor::REPOSITORY.to_owned()",
        from_str_fn(doctor::repository)
    )]
    pub(super) repository: String,

    /// one JSON object a step, for programs
    #[argh(switch)]
    pub(super) json: bool,

    /// https://HOST:PORT, as clients write it
    #[argh(positional, arg_name = "URL", from_str_fn(doctor::url))]
    pub(super) url: String,
}

impl Doctor {
    fn check(&self) -> Result<(), String> {
        let wrong = match &self.user {
            None if self.password_stdin => "--password-stdin is of no use without --user",
            Some(user) if user.is_empty() => "--user is empty",
            Some(user) if user.contains(':') => "--user is a name alone, which has no colon",
            _ => return Ok(()),
        };
        Err(wrong.to_owned())
    }
}

/// say what a user may do under an access file, and which line says so
#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "may",
    help_triggers("-h", "--help"),
    usage = "--access FILE [--group NAME]... USER RIGHT REPOSITORY",
    note = "RIGHT is pull, push, create or delete; or path, and then a path stands in place\n\
            of the repository. USER anonymous is somebody without credentials.",
    note = "Exit status 0 if the user may, 1 if not, 78 if the file is faulty.",
    example = "portreeve may --access /etc/portreeve/access alice push team/app\n\
               portreeve may --access access anonymous path /ui/index.html"
)]
pub(super) struct May {
    /// the access file
    #[argh(option, arg_name = "file")]
    pub(super) access: String,

    /// a group that the API of --auth-backend names for the user; may be repeated
    #[argh(option, arg_name = "name")]
    pub(super) group: Vec<String>,

    /// the user
    #[argh(positional, arg_name = "USER")]
    pub(super) user: String,

    /// the right
    #[argh(positional, arg_name = "RIGHT")]
    pub(super) right: String,

    /// the repository, or the path
    #[argh(positional, arg_name = "REPOSITORY")]
    pub(super) place: String,
}

/// hold pushes back while a command runs, such as a registry's garbage collection
#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "readonly",
    help_triggers("-h", "--help"),
    usage = "--admin unix:PATH... [--for SECONDS] [--wait SECONDS] -- COMMAND...",
    note = "New uploads, mounts and deletes are refused at once. Uploads that were begun, and\n\
            the manifests of their users, may end within --wait; then every write is\n\
            refused, and COMMAND is run. Pulls go on all the time. Writes pass again when\n\
            COMMAND has ended, when this command is killed, and after --for in any case:\n\
            COMMAND is ended before.",
    note = "Name every gate before the registry. Run it as root or as the user of the gate.",
    note = "Exit status: that of COMMAND; 1 if it was not run, or not to its end.",
    example = "portreeve readonly --admin unix:/run/portreeve/admin.sock -- \\\n\
               \x20   docker-registry garbage-collect /etc/docker/registry/config.yml"
)]
pub(super) struct Readonly {
    /// the admin socket of a gate, unix:PATH; may be repeated
    #[argh(option, arg_name = "url", from_str_fn(readonly::socket))]
    pub(super) admin: Vec<PathBuf>,

    /// seconds after which writes pass again, whatever COMMAND does (default: 3600)
    #[argh(
        option,
        long = "for",
        arg_name = "seconds",
        default = "readonly::HOLD",
        from_str_fn(readonly::seconds)
    )]
    pub(super) hold: Duration,

    /// seconds in which uploads that were begun may end (default: 60)
    #[argh(
        option,
        arg_name = "seconds",
        default = "readonly::WAIT",
        from_str_fn(readonly::seconds)
    )]
    pub(super) wait: Duration,

    /// what to run, with its arguments
    #[argh(positional, arg_name = "COMMAND")]
    pub(super) command: Vec<String>,
}

impl Readonly {
    fn check(&self) -> Result<(), String> {
        let wrong = if self.admin.is_empty() {
            "--admin unix:PATH is missing: the gates before the registry"
        } else if self.command.is_empty() {
            "the command is missing: write it behind --"
        } else if self.hold.is_zero() {
            "--for 0 leaves no time"
        } else {
            return Ok(());
        };
        Err(wrong.to_owned())
    }
}
