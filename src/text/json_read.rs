//! JSON that somebody else wrote (RFC 8259): a list of strings in an object, without keeping all else, or the whole.
//!
//! Strict, and bounded in depth: what is no JSON has nothing in it. All of it is hostile.

/// Deeper than anything that is asked for.
const DEEPEST: usize = 32;

/// The strings of the list that is the value of `member`. `null` is an empty one: programs in Go write it so.
pub(crate) fn strings_of(json: &[u8], member: &str) -> Option<Vec<String>> {
    let mut reader = Reader(std::str::from_utf8(json).ok()?);
    let mut found = None;
    reader.object(&mut |key, reader| match key == member {
        true => {
            found = Some(reader.strings()?);
            Some(())
        }
        false => reader.skip(DEEPEST),
    })?;
    reader.blanks();
    found.filter(|_| reader.0.is_empty())
}

/// A value. Numbers are of no use to anybody here but as what they are not: a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// `null`, a number, `true` or `false`.
    Other,
    Text(String),
    List(Vec<Json>),
    /// Its members, in their order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The value of a whole text.
    pub(crate) fn parse(json: &[u8]) -> Option<Json> {
        let mut reader = Reader(std::str::from_utf8(json).ok()?);
        let value = reader.value(DEEPEST)?;
        reader.blanks();
        reader.0.is_empty().then_some(value)
    }

    /// A member of an object; of two by one name the last.
    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else {
            return None;
        };
        let mut named = members.iter().rev().filter(|(key, _)| key == name);
        named.next().map(|(_, value)| value)
    }

    /// A member that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a member that is a list; none of anything else.
    pub(crate) fn list(&self, name: &str) -> &[Json] {
        match self.get(name) {
            Some(Json::List(elements)) => elements,
            _ => &[],
        }
    }
}

/// What is still to be read.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    /// What stands next, blanks before it left out of account.
    fn takes(&mut self, text: &str) -> bool {
        self.blanks();
        match self.0.strip_prefix(text) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, text: &str) -> Option<()> {
        self.takes(text).then_some(())
    }

    /// Elements with commas between, up to `end`, its beginning being read already.
    fn elements(&mut self, end: &str, each: &mut dyn FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.takes(end) {
            return Some(());
        }
        loop {
            each(self)?;
            if self.takes(end) {
                return Some(());
            }
            self.expect(",")?;
        }
    }

    fn object(&mut self, member: &mut dyn FnMut(&str, &mut Self) -> Option<()>) -> Option<()> {
        self.expect("{")?;
        self.elements("}", &mut |reader| {
            reader.blanks();
            let key = reader.string()?;
            reader.expect(":")?;
            member(&key, reader)
        })
    }

    fn strings(&mut self) -> Option<Vec<String>> {
        let mut strings = Vec::new();
        if self.takes("null") {
            return Some(strings);
        }
        self.expect("[")?;
        self.elements("]", &mut |reader| {
            reader.blanks();
            strings.push(reader.string()?);
            Some(())
        })?;
        Some(strings)
    }

    fn string(&mut self) -> Option<String> {
        let mut rest = self.0.strip_prefix('"')?.chars();
        let mut units: Vec<u16> = Vec::new();
        loop {
            let c = match rest.next()? {
                '"' => break,
                '\\' => match rest.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'u' => {
                        let digits = rest.as_str().get(..4)?;
                        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                            return None;
                        }
                        units.push(u16::from_str_radix(digits, 16).ok()?);
                        rest = rest.as_str().get(4..)?.chars();
                        continue;
                    }
                    c @ ('"' | '\\' | '/') => c,
                    _ => return None,
                },
                c if c < ' ' => return None,
                c => c,
            };
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        }
        self.0 = rest.as_str();
        String::from_utf16(&units).ok()
    }

    /// Any value, kept.
    fn value(&mut self, depth: usize) -> Option<Json> {
        let below = depth.checked_sub(1)?;
        self.blanks();
        Some(match self.0.as_bytes().first()? {
            b'"' => Json::Text(self.string()?),
            b'{' => {
                let mut members = Vec::new();
                self.object(&mut |key, reader| {
                    members.push((key.to_owned(), reader.value(below)?));
                    Some(())
                })?;
                Json::Object(members)
            }
            b'[' => {
                let mut elements = Vec::new();
                self.expect("[")?;
                self.elements("]", &mut |reader| {
                    elements.push(reader.value(below)?);
                    Some(())
                })?;
                Json::List(elements)
            }
            _ => {
                self.skip(depth)?;
                Json::Other
            }
        })
    }

    /// Any value.
    fn skip(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.blanks();
        match self.0.as_bytes().first()? {
            b'"' => self.string().map(drop),
            b'{' => self.object(&mut |_, reader| reader.skip(depth)),
            b'[' => {
                self.expect("[")?;
                self.elements("]", &mut |reader| reader.skip(depth))
            }
            _ => {
                let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.');
                let rest = self.0.trim_start_matches(is_word);
                let is_one = rest.len() < self.0.len();
                self.0 = rest;
                is_one.then_some(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<Vec<String>> {
        strings_of(json.as_bytes(), "repositories")
    }

    #[test]
    fn the_list_is_found_wherever_it_stands() {
        let names = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        for (json, expected) in [
            (r#"{"repositories":["a","b/c"]}"#, names(&["a", "b/c"])),
            (" { \"repositories\" : [ \"a\" ] } \n", names(&["a"])),
            (r#"{"repositories":[]}"#, names(&[])),
            (r#"{"repositories":null}"#, names(&[])),
            (
                r#"{"x":{"repositories":["no"]},"n":-1.5e3,"repositories":["a\/b","\u0061"]}"#,
                names(&["a/b", "a"]),
            ),
            (
                r#"{"x":[true,false,null,"],"],"repositories":["a"],"y":{}}"#,
                names(&["a"]),
            ),
            ("{}", None),
            ("", None),
            ("[]", None),
            (r#"{"repositories":["a"}"#, None),
            (r#"{"repositories":["a",]}"#, None),
            (r#"{"repositories":["a"]}x"#, None),
            (r#"{"repositories":["a"#, None),
            (r#"{"repositories":[1]}"#, None),
            (r#"{"repositories":["\ud800"]}"#, None),
            ("{\"repositories\":[\"a\nb\"]}", None),
        ] {
            assert_eq!(of(json), expected, "{json}");
        }
        let deep = format!(
            "{{\"x\":{}{},\"repositories\":[]}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert_eq!(of(&deep), None);
        assert_eq!(Json::parse(deep.as_bytes()), None);
    }

    #[test]
    fn a_whole_value_is_kept() {
        let json = Json::parse(br#" {"a":"b","n":1,"l":["x",{"y":null}],"a":"c"} "#);
        let json = json.as_ref();
        assert_eq!(json.and_then(|json| json.text("a")), Some("c"));
        assert_eq!(json.and_then(|json| json.text("n")), None);
        let list = json.map_or(&[][..], |json| json.list("l"));
        assert_eq!(list.first(), Some(&Json::Text("x".to_owned())));
        let inner = list.get(1).and_then(|inner| inner.get("y"));
        assert_eq!(inner, Some(&Json::Other));
        for odd in ["", "{", "[1,]", "{} x", "\"a"] {
            assert_eq!(Json::parse(odd.as_bytes()), None, "{odd}");
        }
    }
}
