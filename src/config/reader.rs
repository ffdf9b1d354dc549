//! From what was given to values, setting by setting.
//!
//! It knows the rules for every value, whatever the setting: not empty, no control character, not what is in a key or
//! password file, and the default where nothing was given. What a value means is the business of the functions it is handed.

use super::{
    fault::{Fault, Origin, Place, Placed, is_content},
    file::{self, Given},
    source::Sources,
    table::Id,
};

/// Turns what was given into values, and collects what cannot be.
pub(super) struct Reader {
    pub(super) sources: Sources,
    pub(super) faults: Vec<Fault>,
}

impl Reader {
    pub(super) fn new(sources: Sources) -> Reader {
        Reader {
            sources,
            faults: Vec::new(),
        }
    }

    pub(super) fn many<T>(
        &mut self,
        id: Id,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<Placed<T>> {
        let mut values = Vec::new();
        for (origin, text) in self.given(id) {
            match parse(&text) {
                Ok(value) => values.push(Placed { value, origin }),
                Err(reason) => self.faults.push(origin.fault(reason)),
            }
        }
        values
    }

    /// What was given for a setting, or its default, as far as that could be a value. Apart from [`many`](Self::many), which there is
    /// once for each kind of value.
    #[inline(never)]
    fn given(&mut self, id: Id) -> Vec<(Origin, String)> {
        let setting = id.setting();
        let mut given = self.sources.take(id);
        if given.is_empty() {
            given.extend(setting.default_is_value.then(|| Given {
                text: setting.default.to_owned(),
                place: Place::Default,
            }));
        }
        let mut fit = Vec::new();
        for Given { text, place } in given {
            let origin = Origin::new(place, &setting.name, &text);
            let reason = if text.is_empty() {
                "empty"
            } else if is_content(&text) {
                "this is what is in a file: write the name of the file"
            } else if text.chars().any(char::is_control) {
                "a control character is in it"
            } else {
                fit.push((origin, text));
                continue;
            };
            self.faults.push(origin.fault(reason));
        }
        fit
    }

    /// Names that have no setting of their own, each once.
    pub(super) fn names(
        &mut self,
        given: Vec<Given>,
        parse: impl Fn(&str) -> Result<String, String>,
    ) -> Vec<Placed<String>> {
        let mut names: Vec<Placed<String>> = Vec::new();
        for Given { text, place } in given {
            let origin = Origin::new(place, file::HOST, &text);
            match parse(&text) {
                Ok(value) if names.iter().any(|name| name.value == value) => {
                    self.faults.push(origin.fault("twice"));
                }
                Ok(value) => names.push(Placed { value, origin }),
                Err(reason) => self.faults.push(origin.fault(reason)),
            }
        }
        names
    }

    pub(super) fn optional<T>(
        &mut self,
        id: Id,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Placed<T>> {
        // A repeated flag was refused as wrong usage, a repeated line as a fault.
        self.many(id, parse).pop()
    }

    /// What this returns in place of a value that could not be read is never used, because there is a fault then.
    pub(super) fn optional_with_default<T: Default>(
        &mut self,
        id: Id,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Placed<T> {
        self.optional(id, parse).unwrap_or_else(|| Placed {
            value: T::default(),
            origin: Origin::without_value(Place::Default, ""),
        })
    }

    pub(super) fn one<T: Default>(
        &mut self,
        id: Id,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        self.optional_with_default(id, parse).value
    }
}
