//! What was given, and where: flags win over variables, variables over lines of the file, all of them over the default.
//!
//! It must not know what a value means. The environment may hold anything, also what is not UTF-8 and what others put
//! there under our prefix.

use super::file::Given;
use super::{
    fault::{Fault, Origin, Place, is_content},
    file,
    table::{Id, Kind, Setting, nearest, settings_table},
};
use std::{collections::HashMap, ffi::OsString};

/// The prefix of our variables.
const PREFIX: &str = "PORTREEVE_";

/// The values of flags, in the order in which they were typed.
pub type Flags = Vec<(&'static Setting, String)>;

/// The winning values of all settings, and what is wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(super) values: Vec<(Id, Vec<Given>)>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) warnings: Vec<String>,
    /// The settings that misspelt lines of the file were probably meant for.
    pub(crate) meant: Vec<&'static str>,
    /// Whether there is a file that could not be read, so that nothing is known of what it gives.
    pub(crate) is_file_lost: bool,
}

impl Sources {
    /// Gathers what all sources say.
    pub(crate) fn gather(
        flags: Flags,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Sources {
        let mut sources = Sources::default();
        let mut variables = sources.variables(environment);
        let mut typed: Vec<(Id, Given)> = flags
            .into_iter()
            .map(|(setting, text)| {
                (
                    setting.id,
                    Given {
                        text,
                        place: Place::Flag,
                    },
                )
            })
            .collect();
        let mut lines = None;
        // `config` is the first row of the table, so that the file is read before the others are looked up in it.
        for setting in settings_table() {
            let mut found = take(&mut typed, setting.id);
            if found.is_empty() {
                found = sources.variable(setting, &mut variables);
            }
            if found.is_empty() {
                found = lines
                    .as_mut()
                    .map(|lines| take(lines, setting.id))
                    .unwrap_or_default();
            }
            if setting.id == Id::config {
                lines = found.first().map(|path| sources.lines(path));
            }
            sources.values.push((setting.id, found));
        }
        sources
    }

    /// Takes what was given for a setting; nothing means that the default holds.
    pub(crate) fn take(&mut self, id: Id) -> Vec<Given> {
        self.values
            .iter_mut()
            .find(|(of, _)| *of == id)
            .map(|(_, values)| std::mem::take(values))
            .unwrap_or_default()
    }

    /// Passes over what was given for such settings.
    pub(crate) fn set_aside(&mut self, of_no_use: impl Fn(&Setting) -> bool) {
        self.values.retain(|(id, _)| !of_no_use(id.setting()));
    }

    fn lines(&mut self, path: &Given) -> Vec<(Id, Given)> {
        match file::read(&path.text) {
            Ok(bytes) => {
                let lines = file::parse(&path.text, &bytes);
                self.faults.extend(lines.faults);
                self.meant.extend(lines.meant);
                lines.values
            }
            Err(reason) => {
                self.is_file_lost = true;
                self.faults
                    .push(Origin::new(path.place.clone(), "config", &path.text).fault(reason));
                Vec::new()
            }
        }
    }

    /// Keeps the variables that are ours, and warns of those that look like it.
    fn variables(
        &mut self,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> HashMap<String, OsString> {
        let mut ours = HashMap::new();
        for (name, value) in environment {
            let Some(name) = name.to_str() else { continue };
            let known = |setting: &Setting| setting.variable == name || setting.alias == Some(name);
            if settings_table().iter().any(known) {
                ours.insert(name.to_owned(), value);
            } else if name.starts_with(PREFIX) && !is_service_link(name) && !value.is_empty() {
                self.warnings.push(unknown(name));
            }
        }
        self.warnings.sort();
        ours
    }

    fn variable(
        &mut self,
        setting: &Setting,
        variables: &mut HashMap<String, OsString>,
    ) -> Vec<Given> {
        for name in [Some(setting.variable.as_str()), setting.alias]
            .into_iter()
            .flatten()
        {
            let place = Place::Variable(name.to_owned());
            match variables.remove(name).map(OsString::into_string) {
                None => {}
                // A file of variables, as docker reads it, has no quotes and no comments behind values either.
                Some(Ok(text)) if file::dressed(setting.id, text.trim()).is_some() => {
                    let origin = Origin::new(place, &setting.name, text.trim());
                    let reason = file::dressed(setting.id, text.trim()).unwrap_or_default();
                    self.faults.push(origin.fault(reason));
                }
                Some(Ok(text)) => {
                    let given = |text: &str| Given {
                        text: text.to_owned(),
                        place: place.clone(),
                    };
                    let found: Vec<Given> = match setting.kind {
                        // The lines of a key are not several values.
                        Kind::Many if !is_content(&text) => {
                            text.split_ascii_whitespace().map(given).collect()
                        }
                        _ => Some(text.trim())
                            .filter(|text| !text.is_empty())
                            .map(given)
                            .into_iter()
                            .collect(),
                    };
                    if !found.is_empty() {
                        return found;
                    }
                }
                Some(Err(_)) => self
                    .faults
                    .push(Origin::without_value(place, &setting.name).fault("not valid UTF-8")),
            }
        }
        Vec::new()
    }
}

fn take(from: &mut Vec<(Id, Given)>, id: Id) -> Vec<Given> {
    from.extract_if(.., |(of, _)| *of == id)
        .map(|(_, given)| given)
        .collect()
}

/// Kubernetes gives every container variables about every service, so that one for a service called `portreeve` has our
/// prefix.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

fn unknown(name: &str) -> String {
    // The prefix is the same for all, and would make any two names look alike.
    let bare = |name: &'static Setting| name.variable.trim_start_matches(PREFIX);
    match nearest(
        name.trim_start_matches(PREFIX),
        settings_table().iter().map(bare),
    ) {
        Some(meant) => format!("{name:?}: no such variable; did you mean {PREFIX}{meant}?"),
        None => format!("{name:?}: no such variable, so it changes nothing"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::config::table::by_name;
    use std::{io::Write, os::unix::ffi::OsStringExt};

    fn environment(pairs: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        pairs.into_iter()
    }

    fn flag(name: &str, value: &str) -> (&'static Setting, String) {
        (by_name(name).unwrap(), value.to_owned())
    }

    fn texts(sources: &mut Sources, id: Id) -> Vec<String> {
        sources
            .take(id)
            .into_iter()
            .map(|given| given.text)
            .collect()
    }

    struct Conf(std::path::PathBuf);

    impl Conf {
        fn new(name: &str, text: &str) -> Conf {
            let path = std::env::temp_dir()
                .join(format!("portreeve-source-{}-{name}", std::process::id()));
            std::fs::File::create(&path)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
            Conf(path)
        }

        fn path(&self) -> &str {
            self.0.to_str().unwrap()
        }
    }

    impl Drop for Conf {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_flag_wins_over_a_variable_over_its_alias_over_a_line_over_nothing() {
        let conf = Conf::new("precedence", "backend http://line\nbackend http://line2\n");
        let found = |flags: &[(&str, &str)], variables: &[(&str, &str)]| {
            let flags = flags
                .iter()
                .map(|(name, value)| flag(name, value))
                .collect();
            let mut sources = Sources::gather(flags, environment(variables));
            assert_eq!(sources.faults, []);
            texts(&mut sources, Id::backend)
        };
        let file = ("config", conf.path());
        let alias = ("BACKEND", "http://alias");
        let variables = [
            ("PORTREEVE_BACKEND", "http://variable http://variable2"),
            alias,
        ];
        // Each step takes away the strongest source.
        assert_eq!(
            found(&[file, ("backend", "http://flag")], &variables),
            ["http://flag"]
        );
        assert_eq!(
            found(&[file], &variables),
            ["http://variable", "http://variable2"]
        );
        assert_eq!(
            found(&[file], &[("PORTREEVE_BACKEND", " "), alias]),
            ["http://alias"]
        );
        assert_eq!(
            found(&[file], &[("BACKEND", "")]),
            ["http://line", "http://line2"]
        );
        assert_eq!(found(&[], &[("PORTREEVE_CONFIG", "")]), [""; 0]);
    }

    #[test]
    fn the_file_may_be_named_by_a_variable() {
        let conf = Conf::new("variable", "realm x\n");
        let mut sources =
            Sources::gather(vec![], environment(&[("PORTREEVE_CONFIG", conf.path())]));
        assert_eq!(texts(&mut sources, Id::realm), ["x"]);
    }

    #[test]
    fn a_file_that_is_not_there_is_a_fault_at_the_one_who_named_it() {
        let sources = Sources::gather(vec![], environment(&[("PORTREEVE_CONFIG", "/nonexistent")]));
        let found: Vec<_> = sources.faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            ["PORTREEVE_CONFIG \"/nonexistent\": no such file or directory"]
        );
    }

    #[test]
    fn a_variable_is_trimmed_and_only_a_repeatable_one_is_split() {
        let variables = [
            ("PORTREEVE_REALM", " My Registry\r"),
            ("PORTREEVE_LISTEN", "\tunix:/a \n unix:/b"),
        ];
        let mut sources = Sources::gather(vec![], environment(&variables));
        assert_eq!(texts(&mut sources, Id::realm), ["My Registry"]);
        assert_eq!(texts(&mut sources, Id::listen), ["unix:/a", "unix:/b"]);
    }

    #[test]
    fn quotes_around_a_variable_and_a_comment_behind_it_are_faults() {
        for value in ["\"My Registry\"", "'x'", "a # b"] {
            let sources = Sources::gather(vec![], environment(&[("PORTREEVE_REALM", value)]));
            let found: Vec<_> = sources.faults.iter().map(ToString::to_string).collect();
            let start = format!("PORTREEVE_REALM {value:?}: ");
            assert!(
                matches!(&found[..], [only] if only.starts_with(&start)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_variable_that_is_not_utf8_is_a_fault() {
        let pairs = [(
            OsString::from("PORTREEVE_REALM"),
            OsString::from_vec(vec![0xff]),
        )];
        let sources = Sources::gather(vec![], pairs.into_iter());
        let found: Vec<_> = sources.faults.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["PORTREEVE_REALM: not valid UTF-8"]);
    }

    #[test]
    fn an_unknown_variable_is_a_warning_and_a_service_of_kubernetes_is_not() {
        let variables = [
            ("PORTREEVE_LISEN", "x"),
            ("PORTREEVE_COLOUR", "x"),
            ("PORTREEVE_TLS-CERT", "x"),
            ("PORTREEVE_EMPTY", ""),
            ("PORTREEVE_PORT", "tcp://10.0.0.1:443"),
            ("PORTREEVE_SERVICE_HOST", "10.0.0.1"),
            ("PORTREEVE_SERVICE_PORT_HTTPS", "443"),
            ("PORTREEVE_PORT_443_TCP_ADDR", "10.0.0.1"),
            ("PATH", "/bin"),
        ];
        let sources = Sources::gather(vec![], environment(&variables));
        assert_eq!(
            sources.warnings,
            [
                "\"PORTREEVE_COLOUR\": no such variable, so it changes nothing",
                "\"PORTREEVE_LISEN\": no such variable; did you mean PORTREEVE_LISTEN?",
                "\"PORTREEVE_TLS-CERT\": no such variable; did you mean PORTREEVE_TLS_CERT?",
            ]
        );
    }
}
