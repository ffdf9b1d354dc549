//! One object of JSON (RFC 8259), written member by member.

use super::escape;

/// An object under way. What is written last is [`end`](Self::end).
pub(crate) struct Object<'a> {
    out: &'a mut String,
    before: char,
}

impl<'a> Object<'a> {
    /// Behind what `out` has already.
    pub(crate) fn new(out: &'a mut String) -> Object<'a> {
        Object { out, before: '{' }
    }

    /// A member whose value `write` appends, in JSON.
    pub(crate) fn member(&mut self, name: &str, write: impl FnOnce(&mut String)) -> &mut Self {
        self.out.push(self.before);
        self.before = ',';
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
        write(self.out);
        self
    }

    /// A string that `write` appends, which has escaped what has to be.
    pub(crate) fn escaped(&mut self, name: &str, write: impl FnOnce(&mut String)) -> &mut Self {
        self.member(name, |out| {
            out.push('"');
            write(out);
            out.push('"');
        })
    }

    /// A string of any bytes.
    pub(crate) fn text(&mut self, name: &str, text: impl AsRef<[u8]>) -> &mut Self {
        self.escaped(name, |out| escape::json(out, text.as_ref()))
    }

    /// The same, if there is one.
    pub(crate) fn maybe(&mut self, name: &str, text: Option<impl AsRef<[u8]>>) -> &mut Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// A number.
    pub(crate) fn number(&mut self, name: &str, number: u64) -> &mut Self {
        self.member(name, |out| out.push_str(itoa::Buffer::new().format(number)))
    }

    /// Closes it.
    pub(crate) fn end(&mut self) {
        if self.before == '{' {
            self.out.push('{');
        }
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_their_order_and_are_escaped() {
        let mut out = "[".to_owned();
        Object::new(&mut out)
            .text("a", "b\"\n")
            .number("n", 7)
            .maybe("none", None::<&str>)
            .maybe("some", Some(b"\xff"))
            .member("inner", |out| Object::new(out).end())
            .end();
        assert_eq!(out, r#"[{"a":"b\"\n","n":7,"some":"\\xff","inner":{}}"#);
    }
}
