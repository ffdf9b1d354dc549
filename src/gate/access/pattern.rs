//! What the third word of a line matches: names of repositories, and paths, as a tree of components.
//!
//! Owns `*`, `**` and `${user}`. Must not know who asks, nor what the rights mean. A look-up follows what fits alone: lines that
//! begin otherwise cost nothing, however many there are. Names and paths are hostile, patterns are the operator's.

use std::collections::HashMap;

use super::rights::Rights;

/// Patterns of one subject, each with its rights and the line that it stands in.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

/// What a place in the tree leads to. Places are numbers of nodes; the first node is the root.
#[derive(Debug, Default)]
struct Node {
    literal: HashMap<Box<[u8]>, usize>,
    globs: Globs,
    /// `**`.
    any: Option<usize>,
    /// `${user}`.
    own: Option<usize>,
    /// Whether this is `**` itself, which takes one component after the other.
    repeats: bool,
    ends: Vec<(Rights, usize)>,
}

/// Components with `*`, by the lengths of what stands before the first and behind the last, and by these two texts: so that one
/// look-up finds those that fit, whatever others there are.
#[derive(Debug, Default)]
struct Globs {
    lengths: Vec<(usize, usize)>,
    by_ends: HashMap<Ends, Vec<Glob>>,
}

/// What stands before the first `*`, and behind the last.
type Ends = (Box<[u8]>, Box<[u8]>);

#[derive(Debug)]
struct Glob {
    /// What has to stand between, in this order.
    middle: Vec<Box<[u8]>>,
    place: usize,
}

/// One component of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component<'a> {
    Literal(&'a [u8]),
    /// With a `*` within it.
    Glob(&'a [u8]),
    /// `**`.
    Any,
    /// `${user}`.
    Own,
}

impl<'a> Component<'a> {
    /// Without a judgement of its characters.
    pub(super) fn of(text: &'a [u8]) -> Component<'a> {
        match text {
            b"**" => Component::Any,
            b"${user}" => Component::Own,
            _ if text.contains(&b'*') => Component::Glob(text),
            _ => Component::Literal(text),
        }
    }
}

/// Where a look-up is: a node, and whether it is a `**` that has taken nothing yet.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    place: usize,
    took_nothing: bool,
}

impl Tree {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn add<'c>(
        &mut self,
        components: impl IntoIterator<Item = Component<'c>>,
        rights: Rights,
        line: usize,
    ) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let place = components
            .into_iter()
            .fold(0, |place, component| self.child(place, component));
        if let Some(node) = self.nodes.get_mut(place) {
            node.ends.push((rights, line));
        }
    }

    fn child(&mut self, parent: usize, component: Component<'_>) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(parent) else {
            return parent;
        };
        let place = match component {
            Component::Literal(text) => *node.literal.entry(text.into()).or_insert(new),
            Component::Glob(text) => node.globs.child(text, new),
            Component::Any => *node.any.get_or_insert(new),
            Component::Own => *node.own.get_or_insert(new),
        };
        if place == new {
            self.nodes.push(Node {
                repeats: component == Component::Any,
                ..Node::default()
            });
        }
        place
    }

    /// Calls `found` with the rights and the line of each pattern that matches `name`, whose components slashes divide. `user` is
    /// whoever asks, if that is known.
    pub(super) fn matches(
        &self,
        name: &[u8],
        user: Option<&[u8]>,
        mut found: impl FnMut(Rights, usize),
    ) {
        if self.nodes.is_empty() {
            return;
        }
        let mut states = Vec::with_capacity(4);
        let mut next = Vec::with_capacity(4);
        self.enter(0, true, &mut states);
        for component in name.split(|byte| *byte == b'/') {
            for state in states.drain(..) {
                let Some(node) = self.nodes.get(state.place) else {
                    continue;
                };
                if node.repeats {
                    self.enter(state.place, false, &mut next);
                }
                if let Some(place) = node.literal.get(component) {
                    self.enter(*place, true, &mut next);
                }
                node.globs
                    .fitting(component, |place| self.enter(place, true, &mut next));
                if let Some(place) = node.own.filter(|_| user == Some(component)) {
                    self.enter(place, true, &mut next);
                }
            }
            std::mem::swap(&mut states, &mut next);
            if states.is_empty() {
                return;
            }
        }
        for state in states {
            match self.nodes.get(state.place) {
                Some(node) if !(node.repeats && state.took_nothing) => {
                    node.ends
                        .iter()
                        .for_each(|(rights, line)| found(*rights, *line));
                }
                _ => {}
            }
        }
    }

    /// Adds a place, and the `**` behind it, which may take nothing where something follows.
    fn enter(&self, place: usize, is_new: bool, states: &mut Vec<State>) {
        let Some(node) = self.nodes.get(place) else {
            return;
        };
        let state = State {
            place,
            took_nothing: node.repeats && is_new,
        };
        if states.contains(&state) {
            return;
        }
        states.push(state);
        if let Some(any) = node.any {
            self.enter(any, true, states);
        }
    }
}

impl Globs {
    fn child(&mut self, text: &[u8], new: usize) -> usize {
        let mut parts: Vec<&[u8]> = text.split(|byte| *byte == b'*').collect();
        let last = parts.pop().unwrap_or_default();
        let mut parts = parts.into_iter();
        let first = parts.next().unwrap_or_default();
        let middle: Vec<Box<[u8]>> = parts
            .filter(|part| !part.is_empty())
            .map(Into::into)
            .collect();
        let lengths = (first.len(), last.len());
        if !self.lengths.contains(&lengths) {
            self.lengths.push(lengths);
        }
        let same_ends = self.by_ends.entry((first.into(), last.into())).or_default();
        if let Some(glob) = same_ends.iter().find(|glob| glob.middle == middle) {
            return glob.place;
        }
        same_ends.push(Glob { middle, place: new });
        new
    }

    fn fitting(&self, component: &[u8], mut found: impl FnMut(usize)) {
        for &(first, last) in &self.lengths {
            let Some((start, rest)) = component.split_at_checked(first) else {
                continue;
            };
            let Some(cut) = rest.len().checked_sub(last) else {
                continue;
            };
            let (between, end) = rest.split_at(cut);
            // A key of borrowed halves cannot be had of a pair, and a component is short.
            let globs = self.by_ends.get(&(start.into(), end.into()));
            globs
                .into_iter()
                .flatten()
                .filter(|glob| holds_in_order(between, &glob.middle))
                .for_each(|glob| found(glob.place));
        }
    }
}

/// Whether the parts stand in a text one behind the other. The first place where each fits is the best.
fn holds_in_order(text: &[u8], parts: &[Box<[u8]>]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| {
        let at = rest.windows(part.len()).position(|here| here == &**part);
        match at {
            Some(at) => {
                rest = rest.get(at + part.len()..).unwrap_or_default();
                true
            }
            None => false,
        }
    })
}
