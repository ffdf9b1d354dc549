//! Hosts by their names.
//!
//! Owns what counts as the same name: case, a port and the dot at the end of a name make no difference. The names that are
//! looked up are hostile.

/// No name in DNS is longer (RFC 1035, 2.3.4).
const LONGEST: usize = 255;

/// Something for each name. `*.example.com` stands for all names below `example.com`, where none of them has an entry of its
/// own, and the longest such entry counts.
#[derive(Clone, Debug)]
pub struct NameTable<T> {
    /// In order. What stands for all names below another begins with a dot.
    entries: Vec<(Box<str>, T)>,
}

impl<T> Default for NameTable<T> {
    fn default() -> NameTable<T> {
        NameTable {
            entries: Vec::new(),
        }
    }
}

impl<T> NameTable<T> {
    /// Adds a name, in lower case. Says whether it is new.
    pub fn insert(&mut self, name: &str, entry: T) -> bool {
        let key = name.strip_prefix('*').unwrap_or(name);
        match self.place_of(key) {
            Ok(_) => false,
            Err(place) => {
                self.entries.insert(place, (key.into(), entry));
                true
            }
        }
    }

    /// What a name leads to, as a client has it: in any case, with or without a port.
    pub fn find(&self, host: &str) -> Option<&T> {
        if self.entries.is_empty() {
            return None;
        }
        let name = bare(host);
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() || name.starts_with('.') || name.len() > LONGEST {
            return None;
        }
        match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => self.find_lower(&name.to_ascii_lowercase()),
            false => self.find_lower(name),
        }
    }

    fn find_lower(&self, name: &str) -> Option<&T> {
        let mut below = name
            .match_indices('.')
            .filter_map(|(dot, _)| self.get(name.get(dot..)?));
        self.get(name).or_else(|| below.next())
    }

    fn get(&self, key: &str) -> Option<&T> {
        let place = self.place_of(key).ok()?;
        self.entries.get(place).map(|(_, entry)| entry)
    }

    fn place_of(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(own, _)| (**own).cmp(key))
    }
}

/// A host without its port.
pub fn bare(host: &str) -> &str {
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    host.get(..end).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_its_own_entry_and_else_to_that_of_all_below_the_longest() {
        let mut table = NameTable::default();
        for (entry, name) in ["wiki.example.com", "*.example.com", "*.b.example.com", "a"]
            .into_iter()
            .enumerate()
        {
            assert!(table.insert(name, entry));
        }
        assert!(!table.insert("wiki.example.com", 9) && !table.insert("*.example.com", 9));
        for (host, entry) in [
            ("wiki.example.com", Some(0)),
            ("WIKI.Example.COM", Some(0)),
            ("wiki.example.com.", Some(0)),
            ("wiki.example.com:8443", Some(0)),
            ("wiki.example.com.:8443", Some(0)),
            ("x.example.com", Some(1)),
            ("y.x.example.com", Some(1)),
            ("b.example.com", Some(1)),
            ("x.b.example.com", Some(2)),
            ("x.wiki.example.com", Some(1)),
            ("a", Some(3)),
            ("a:80", Some(3)),
            ("b", None),
            ("example.com", None),
            (".example.com", None),
            ("..example.com", None),
            ("wiki.example.com..", None),
            ("example.com.evil", None),
            ("wiki.example.comx", None),
            ("*.example.com", Some(1)),
            ("10.0.0.1", None),
            ("[::1]:443", None),
            ("", None),
            (".", None),
            (":", None),
        ] {
            assert_eq!(table.find(host).copied(), entry, "{host}");
        }
        assert_eq!(table.find(&"x.".repeat(200)), None);
    }

    #[test]
    fn a_host_is_bare_without_its_port() {
        for (host, name) in [
            ("a.example", "a.example"),
            ("a.example:80", "a.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(bare(host), name);
        }
    }
}
