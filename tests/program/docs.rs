//! What the documents say is what the program says.

use portreeve::config::{Purpose, Settings, by_name, settings_table};
use std::{collections::BTreeSet, net::TcpListener, process::Command};

const README: &str = include_str!("../../README.md");

const CONF: &str = include_str!("../../packaging/portreeve.conf");
const MAN: &str = include_str!("../../packaging/man/portreeve.8");
const CONF_MAN: &str = include_str!("../../packaging/man/portreeve.conf.5");
const BASH: &str = include_str!("../../packaging/completions/portreeve.bash");
const ZSH: &str = include_str!("../../packaging/completions/_portreeve");
const FISH: &str = include_str!("../../packaging/completions/portreeve.fish");

#[test]
fn the_readme_lists_the_settings_as_the_help_does() {
    let (_, rest) = README
        .split_once("<!-- settings -->")
        .expect("the beginning of the table");
    let (table, _) = rest
        .split_once("<!-- /settings -->")
        .expect("the end of the table");
    // Backquotes are for the reader's eye.
    let plain = table.replace(['`', '\\'], "");
    let listed: Vec<&str> = plain.trim().lines().skip(2).collect();
    let known: Vec<String> = settings_table()
        .iter()
        .map(|setting| {
            let more = if setting.repeatable() { " …" } else { "" };
            let (name, placeholder) = (&setting.name, &setting.placeholder);
            format!(
                "| --{name} {placeholder}{more} | {} | {} |",
                setting.default,
                setting.help.replace('`', "")
            )
        })
        .collect();
    assert_eq!(listed, known, "the table should be\n{}", known.join("\n"));
}

#[test]
fn the_changelog_knows_the_version() {
    let changelog = include_str!("../../CHANGELOG.md");
    let version = concat!("## [", env!("CARGO_PKG_VERSION"), "]");
    assert!(changelog.contains("## [Unreleased]") || changelog.contains(version));
}

/// What the built program says of itself.
fn help(command: &str) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    let output = program
        .args(command.split_whitespace())
        .arg("--help")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn commands() -> Vec<String> {
    let help = help("");
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let (listed, _) = listed.split_once("\n\n").unwrap();
    let name = |line: &str| {
        let first = line.strip_prefix("  ")?;
        let name = first.split_whitespace().next()?;
        (!first.starts_with(' ')).then(|| name.to_owned())
    };
    listed.lines().filter_map(name).collect()
}

/// Every `--word` of a text, without the dashes.
fn flags(text: &str) -> BTreeSet<String> {
    let word = |text: &str| {
        let end = text.find(|c: char| c != '-' && !c.is_ascii_lowercase());
        text.split_at(end.unwrap_or(text.len())).0.to_owned()
    };
    let found = text.split("--").skip(1).map(word);
    found.filter(|word| !word.is_empty()).collect()
}

/// The flags that the help of a command lists, without those that it mentions.
fn flags_of(command: &str) -> BTreeSet<String> {
    let help = help(command);
    let (_, options) = help.split_once("Options:\n").unwrap();
    let options = options.split("\n\n").next().unwrap();
    let first = |line: &str| {
        let line = line.strip_prefix("  ")?;
        line.starts_with('-').then(|| {
            let until = line.find("  ").unwrap_or(line.len());
            flags(line.split_at(until).0)
        })
    };
    options.lines().filter_map(first).flatten().collect()
}

/// The arguments without a flag that the help of a command lists.
fn arguments_of(command: &str) -> Vec<String> {
    let help = help(command);
    let Some((_, listed)) = help.split_once("Positional Arguments:\n") else {
        return Vec::new();
    };
    let listed = listed.split("\n\n").next().unwrap();
    let name = |line: &str| {
        line.strip_prefix("  ")?
            .split(' ')
            .next()
            .map(str::to_owned)
    };
    let names = listed.lines().filter_map(name);
    names.filter(|name| !name.is_empty()).collect()
}

fn all_flags() -> BTreeSet<String> {
    let of_each = commands()
        .into_iter()
        .flat_map(|command| flags_of(&command));
    of_each.chain(flags_of("")).collect()
}

/// One block of text for each `.It` at the outermost level of a list that begins after `section`.
fn items<'a>(page: &'a str, section: &str) -> Vec<&'a str> {
    let (_, rest) = page.split_once(&format!(".Sh {section}\n")).unwrap();
    let section = rest.split("\n.Sh ").next().unwrap();
    section.split("\n.It ").skip(1).collect()
}

/// What a person reads of mdoc text, as far as these pages go.
fn plain(mdoc: &str) -> String {
    let lines = mdoc.lines().filter(|line| !line.starts_with('.'));
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_man_page_of_the_settings_has_each_as_the_help_does() {
    let items = items(CONF_MAN, "SETTINGS");
    assert_eq!(items.len(), settings_table().len());
    for (item, setting) in items.iter().zip(settings_table()) {
        let (head, text) = item.split_once('\n').unwrap();
        let head: Vec<&str> = head
            .split_whitespace()
            .filter(|word| !["Ic", "Ar", "Cm", "|"].contains(word))
            .collect();
        let mut wanted = vec![setting.name.as_str()];
        wanted.extend(setting.placeholder.split('|'));
        wanted.extend(setting.repeatable().then_some("..."));
        assert_eq!(head, wanted);
        let begin = format!("{}. Default: {}.", sentence(setting.help), setting.default);
        assert!(
            plain(text).starts_with(&begin),
            "{}: wanted {begin:?}, found {:?}",
            setting.name,
            plain(text)
        );
    }
}

#[test]
fn the_man_page_has_each_command_with_its_own_flags() {
    let (_, after) = MAN.split_once(".Sh SYNOPSIS\n").unwrap();
    let synopsis = after.split("\n.Sh ").next().unwrap();
    let settings: BTreeSet<String> = settings_table().iter().map(|s| s.name.clone()).collect();
    for command in commands() {
        let begin = format!(".Cm {command}\n");
        let used = synopsis
            .split(".Nm\n")
            .find(|used| used.starts_with(&begin))
            .unwrap_or_else(|| panic!("{command} is not in the synopsis"));
        for argument in arguments_of(&command) {
            assert!(
                used.contains(&format!("Ar {argument}")),
                "{command} {argument} is not in the synopsis"
            );
        }
        let head = format!("\n.It Cm {command}\n");
        let (_, text) = MAN.split_once(&head).unwrap_or_else(|| panic!("{command}"));
        let text = text.split("\n.It Cm ").next().unwrap();
        let text = text.split("\n.Sh ").next().unwrap();
        for flag in flags_of(&command).difference(&settings) {
            assert!(
                flag == "help" || text.contains(&format!("\n.It Fl -{flag}")),
                "{command} --{flag} is not in the man page"
            );
            assert!(
                flag == "help" || used.contains(&format!(" -{flag}")),
                "{command} --{flag} is not in the synopsis"
            );
        }
    }
}

#[test]
fn the_man_page_names_the_steps_of_the_doctor_in_their_order() {
    // Nobody listens there: the steps are told all the same.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let mut program = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    let output = program.args(["doctor", "--json", &url]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let steps: Vec<&str> = told
        .lines()
        .map(|line| line.strip_prefix("{\"step\":\"").unwrap())
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let (_, named) = MAN.split_once("The steps are\n").unwrap();
    let named: Vec<&str> = named
        .split("Each has a mark")
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix(".Ql "))
        .map(|line| line.trim_end_matches([',', '.', ' ']))
        .collect();
    assert_eq!(steps, named);
}

#[test]
fn the_completions_have_every_command_and_every_flag_and_no_other() {
    let known = all_flags();
    assert_eq!(flags(BASH), known, "bash");
    // A flag that a text mentions is one of ours too.
    assert_eq!(flags(ZSH), known, "zsh");
    let fish: BTreeSet<String> = FISH
        .lines()
        .filter(|line| line.starts_with("complete "))
        .filter_map(|line| line.split_once(" -l "))
        .map(|(_, rest)| rest.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(fish, known, "fish");
    let commands = commands();
    let bash = format!("local commands=\"{}\"\n", commands.join(" "));
    assert!(BASH.contains(&bash), "bash should have {bash}");
    let fish = format!("set -l all {}\n", commands.join(" "));
    assert!(FISH.contains(&fish), "fish should have {fish}");
    for command in &commands {
        assert!(
            ZSH.contains(&format!("        '{command}:")),
            "zsh: {command}"
        );
        assert!(
            FISH.contains(&format!(" -a {command} -d ")),
            "fish: {command}"
        );
    }
}

#[test]
fn the_completions_offer_auth_what_auth_takes() {
    let everywhere = flags_of("auth");
    let settings: BTreeSet<String> = settings_table().iter().map(|s| s.name.clone()).collect();
    let between = |text: &str, begin: &str, end: &str| {
        let (_, rest) = text.split_once(begin).unwrap();
        flags(rest.split_once(end).unwrap().0)
    };
    assert_eq!(
        between(BASH, "local everywhere=\"", "\"\n"),
        everywhere,
        "bash"
    );
    let zsh: BTreeSet<String> = ZSH
        .split_once("everywhere=(\n")
        .and_then(|(_, rest)| rest.split_once("\n    )"))
        .map(|(lines, _)| lines)
        .unwrap()
        .lines()
        .filter_map(|line| flags(line.split('[').next()?).into_iter().next_back())
        .collect();
    assert_eq!(zsh, everywhere, "zsh");
    let fish: BTreeSet<String> = FISH
        .lines()
        .filter(|line| line.contains("from $settings\" -l "))
        .filter_map(|line| line.split_once(" -l "))
        .map(|(_, rest)| rest.split(' ').next().unwrap().to_owned())
        .collect();
    let wanted: BTreeSet<String> = everywhere.intersection(&settings).cloned().collect();
    assert_eq!(fish, wanted, "fish");
}

/// The settings that are switched off in a part of the shipped file: `#name value`.
fn switched_off(part: &str) -> Vec<(&str, &str)> {
    let lines = part.lines().filter_map(|line| line.strip_prefix('#'));
    lines
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .map(|line| line.split_once(' ').expect(line))
        .map(|(name, value)| (name, value.trim()))
        .collect()
}

#[test]
fn the_shipped_file_has_every_setting_with_its_default_and_none_is_on() {
    assert!(
        CONF.lines()
            .all(|line| line.is_empty() || line.starts_with('#'))
    );
    let (_, all) = CONF.split_once("# ---- all settings").unwrap();
    // The file does not name itself.
    let known: Vec<_> = settings_table()
        .iter()
        .filter(|s| s.name != "config")
        .collect();
    let found = switched_off(all);
    let names: Vec<_> = found.iter().map(|(name, _)| *name).collect();
    let wanted: Vec<_> = known.iter().map(|setting| setting.name.as_str()).collect();
    assert_eq!(names, wanted);
    for ((name, value), setting) in found.iter().zip(known) {
        if setting.default_is_value {
            assert_eq!(*value, setting.default, "{name}");
        }
        // The words of the help may go on, but are there.
        let comment = all.replace("\n# ", " ");
        let words = sentence(setting.help).replace("--", "");
        assert!(comment.contains(&words), "{name}: wanted {words:?}");
    }
}

#[test]
fn each_of_the_four_cases_of_the_shipped_file_is_whole() {
    let (cases, _) = CONF.split_once("# ---- all settings").unwrap();
    let cases: Vec<&str> = cases.split("\n# ---- ").skip(1).collect();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let typed = switched_off(case)
            .into_iter()
            .map(|(name, value)| (by_name(name).expect(name), value.to_owned()))
            .collect();
        let read = Settings::load(typed, std::iter::empty(), Purpose::Serve);
        assert!(read.is_ok(), "{case}\n{read:?}");
        // Each line has a comment above it.
        let lines: Vec<&str> = case.lines().collect();
        for pair in lines.windows(2) {
            let is_setting =
                |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
            assert!(
                !is_setting(pair[1]) || pair[0].starts_with("# "),
                "{}",
                pair[1]
            );
        }
    }
}

#[test]
fn the_examples_of_containers_are_closed_and_say_where_the_image_comes_from() {
    let kubernetes = include_str!("../../packaging/examples/kubernetes.yaml");
    let stack = include_str!("../../packaging/examples/stack.yaml");
    let compose = include_str!("../../packaging/examples/compose.yaml");
    let containers = kubernetes.matches(" image: ").count();
    assert_eq!(containers, 2);
    for wanted in [
        "readinessProbe:",
        "livenessProbe:",
        "resources:\n            requests:",
        "limits: {memory:",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "capabilities: {drop: [ALL]}",
    ] {
        assert_eq!(kubernetes.matches(wanted).count(), containers, "{wanted}");
    }
    assert!(kubernetes.contains("\n      automountServiceAccountToken: false\n"));
    assert!(kubernetes.contains("\n        runAsNonRoot: true\n"));
    // A registry that moves leaves its volume behind; a network that anybody attaches to leads around the gates.
    assert!(stack.contains("\n        constraints:\n"));
    assert!(!stack.contains("attachable: true"));
    let load = concat!(
        "docker load --input portreeve-",
        env!("CARGO_PKG_VERSION"),
        "-image-amd64.tar"
    );
    for (name, example) in [("stack", stack), ("compose", compose)] {
        assert!(example.contains(load), "{name}");
        assert!(example.contains(" passwd /work/htpasswd"), "{name}");
    }
    let run = README.split("docker run -d --name gate").nth(1).unwrap();
    assert!(run.starts_with(" --network gated "), "names need a network");
}

/// The first letter large, as a text begins, and no backquotes.
fn sentence(help: &str) -> String {
    let mut letters = help.chars().filter(|letter| *letter != '`');
    let first = letters.next().unwrap().to_ascii_uppercase();
    std::iter::once(first).chain(letters).collect()
}

#[test]
fn the_package_is_of_this_version() {
    let first = include_str!("../../packaging/deb/changelog")
        .lines()
        .next()
        .unwrap();
    let wanted = concat!("portreeve (", env!("CARGO_PKG_VERSION"), "-");
    assert!(first.starts_with(wanted), "{first}");
}
