use std::sync::Arc;

use super::*;

fn faults_of(text: &str, others: OtherGroups) -> Vec<(usize, String)> {
    let faults = Access::parse(text.as_bytes(), others).err();
    let faults = faults.unwrap_or_default().into_iter();
    faults.map(|fault| (fault.line, fault.message)).collect()
}

fn fault_of(text: &str) -> String {
    match faults_of(text, OtherGroups::None).as_slice() {
        [(1, message)] => message.clone(),
        other => panic!("{text}: {other:?}"),
    }
}

fn asker(user: &str) -> Asker<'_> {
    Asker {
        user: Some(user.as_bytes()),
        is_known: true,
        groups: &[],
    }
}

#[test]
fn each_fault_says_what_is_wrong() {
    for (line, part) in [
        ("alice", "three words"),
        ("alice pull", "three words"),
        ("alice pull a b", "three words"),
        ("alice pull, push a", "three words"),
        ("alice pull #a", "three words"),
        ("alice read a", "no list of rights: they are pull"),
        ("alice pull,write a", "no list of rights"),
        ("alice pull,,push a", "no list of rights"),
        ("alice PULL a", "no list of rights"),
        ("alice p\u{1b}[2J a", "no list of rights"),
        ("alice pull,path /a", "path stands alone"),
        ("alice path ui", "begins with a slash"),
        ("alice path /ui?x", "no query"),
        ("alice path /a/../b", "in two ways"),
        ("alice path /%2e/b", "in two ways"),
        ("alice path //a", "in two ways"),
        ("alice path /a**", "whole components"),
        ("alice path /v2/**", "only extensions"),
        ("alice path /v2/team/**", "only extensions"),
        ("alice path /v2", "only extensions"),
        ("alice path /v2/", "only extensions"),
        ("alice path /v2/_catalog", "only extensions"),
        ("alice path /${user}/x", "in two ways"),
        ("alice pull /team", "no slash at its beginning"),
        ("alice pull Team/**", "no repository"),
        ("alice pull team/", "no repository"),
        ("alice pull team//app", "no repository"),
        ("alice pull team/a..b", "no repository"),
        ("alice pull team:v1", "no repository"),
        ("alice pull team/A*", "no repository"),
        ("alice pull team**", "whole components"),
        ("alice pull a..b*", "no repository"),
        ("alice pull -*", "no repository"),
        ("alice pull *_", "no repository"),
        ("alice pull _*/**", "no repository"),
        ("alice path /V2/**", "could be taken for"),
        ("alice path /v2;x/*", "could be taken for"),
        ("@devs =", "a group without users"),
        ("@devs = # alice", "a group without users"),
        ("alice pull ***", "whole components"),
        ("alice pull x-${user}/a", "a whole component"),
        ("alice pull ${group}/a", "a whole component"),
        ("anonymous pull ${user}/a", "of anonymous is nobody"),
        ("\"anonymous\" pull a", "no user can be granted anything"),
        ("@devs = anonymous", "no user can be granted anything"),
        ("@devs = @ops", "users alone"),
        ("@devs = *", "users alone"),
        ("@devs = a,b", "in double quotes"),
        ("devs = alice", "only a group"),
        ("@ = alice", "an empty name"),
        ("\"\" pull a", "an empty name"),
        ("a@b pull a", "in double quotes"),
        ("a=b pull a", "only a group"),
        ("*x pull a", "in double quotes"),
        ("\"a pull b", "not closed"),
        ("\"a\"b pull c", "directly behind"),
        ("\"a\u{7}\" pull c", "a control character"),
        (
            "@devs pull a",
            "no line says who is in @devs: add \"@devs = USER...\"",
        ),
        (
            "alice:$2y$10$Rv1V/zQaiFUIGfTtte8ROu",
            "a line of a password file",
        ),
        (
            "alice:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
            "a line of a password file",
        ),
    ] {
        let message = fault_of(line);
        assert!(message.contains(part), "{line}: {message}");
        assert!(
            !message.contains('\u{1b}') && !message.contains("Rv1V"),
            "{message}"
        );
    }
}

#[test]
fn all_faults_are_named_at_once_and_in_their_order() {
    let text = "alice pull a\n@devs pull a\n\n@x = a\n@x = b\nbob\n# fine\n@devs push b\n";
    let lines: Vec<usize> = faults_of(text, OtherGroups::None)
        .into_iter()
        .map(|(line, _)| line)
        .collect();
    assert_eq!(lines, [2, 5, 6]);
    // A faulty group is one all the same, and what was meant for another file is repeated nowhere.
    let faults = faults_of(
        "@devs = *\n@devs pull a\nbob secretpw team\n",
        OtherGroups::None,
    );
    assert_eq!(
        faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [1, 3]
    );
    assert!(
        faults
            .iter()
            .all(|(_, message)| !message.contains("secretpw"))
    );
    for text in ["", "# nothing\n", "@devs = alice\n"] {
        let faults = faults_of(text, OtherGroups::None);
        assert!(matches!(&*faults, [(0, message)] if message.contains("no line in it grants")));
    }
    assert_eq!(faults_of("@devs pull a", OtherGroups::OfApi), []);
    let utf16: Vec<u8> = "alice pull a"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(Access::parse(&utf16, OtherGroups::None).is_err());
}

#[test]
fn comments_blanks_crlf_and_a_bom_are_accepted() {
    let text = "\u{feff}# who\r\n\r\n  alice \t pull,push   team/**  # all of it\r\n@devs=bob \"c d\" # two\r\n@devs pull x#\n";
    let without = text.replace("@devs pull x#\n", "@devs pull x #\n");
    assert!(fault_in_last(text));
    let access = Access::parse(without.as_bytes(), OtherGroups::None).unwrap();
    assert!(access.rights(asker("alice"), "team/app").have(Right::Push));
    for user in ["bob", "c d"] {
        assert!(access.rights(asker(user), "x").have(Right::Pull), "{user}");
    }
    assert_eq!(access.len(), 2);
    let users: Vec<_> = access.users();
    assert_eq!(users, [(&b"alice"[..], 3), (b"bob", 4), (b"c d", 4)]);
}

fn fault_in_last(text: &str) -> bool {
    let faults = faults_of(text, OtherGroups::None);
    matches!(&*faults, [(5, message)] if message.contains("no repository"))
}

#[test]
fn groups_of_an_api_count_beside_those_of_the_file() {
    let access = Access::parse(
        b"@devs pull a\n@ops pull b\n@ops = alice\n",
        OtherGroups::OfApi,
    )
    .unwrap();
    let groups: [Arc<[u8]>; 1] = [b"devs"[..].into()];
    let with = Asker {
        groups: &groups,
        ..asker("alice")
    };
    for (asker, name, may) in [
        (with, "a", true),
        (with, "b", true),
        (asker("alice"), "a", false),
        (asker("bob"), "b", false),
        (Asker { user: None, ..with }, "a", true),
    ] {
        assert_eq!(
            access.rights(asker, name).have(Right::Pull),
            may,
            "{asker:?} {name}"
        );
    }
}

#[test]
fn the_first_line_that_grants_is_named() {
    let text = b"# x\nalice pull **\n* push team/**\nalice push team/app\nalice path /ui/**\n";
    let access = Access::parse(text, OtherGroups::None).unwrap();
    let line = |wish| access.granting_line(asker("alice"), wish);
    assert_eq!(line(Wish::Repository(Right::Pull, "team/app")), Some(2));
    assert_eq!(line(Wish::Repository(Right::Push, "team/app")), Some(3));
    assert_eq!(line(Wish::Repository(Right::Delete, "team/app")), None);
    assert_eq!(line(Wish::Path(b"/ui/x")), Some(5));
    assert_eq!(line(Wish::Path(b"*")), None);
}

/// A pattern with many `**` would take for ever where each is tried against each.
#[test]
fn a_long_name_against_many_stars_takes_no_time() {
    let pattern = "**/a/".repeat(40);
    let glob = "*a".repeat(40);
    let text = format!("alice pull {pattern}b\nalice pull {glob}b\n");
    let access = Access::parse(text.as_bytes(), OtherGroups::None).unwrap();
    let name = "a/".repeat(120);
    assert_eq!(
        access.rights(asker("alice"), &format!("{name}c")),
        Rights::default()
    );
    assert_eq!(
        access.rights(asker("alice"), &"a".repeat(200)),
        Rights::default()
    );
    assert_ne!(
        access.rights(asker("alice"), &format!("{name}b")),
        Rights::default()
    );
}

/// What a line matches by the meaning of its words, slowly: `**/` is any number of components, none included, and a last `**` one or
/// more.
fn plainly(pattern: &[&str], name: &[&str], user: &str) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (["**"], name) => !name.is_empty(),
        (["**", rest @ ..], name) => {
            (0..=name.len()).any(|taken| plainly(rest, name.get(taken..).unwrap(), user))
        }
        ([first, rest @ ..], [component, more @ ..]) => {
            let fits = match *first {
                "${user}" => *component == user,
                glob => fits_plainly(glob.as_bytes(), component.as_bytes()),
            };
            fits && plainly(rest, more, user)
        }
        _ => false,
    }
}

fn fits_plainly(glob: &[u8], text: &[u8]) -> bool {
    match glob {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|at| fits_plainly(rest, text.get(at..).unwrap())),
        [byte, rest @ ..] => text
            .split_first()
            .is_some_and(|(first, text)| first == byte && fits_plainly(rest, text)),
    }
}

#[test]
fn the_tree_matches_what_the_words_mean() {
    let parts = [
        "a", "b", "ab", "*", "a*", "*b", "a*b", "*a*", "**", "${user}",
    ];
    let names = ["a", "b", "ab", "aab", "ba"];
    let mut patterns: Vec<Vec<&str>> = Vec::new();
    for first in parts {
        patterns.push(vec![first]);
        for second in parts {
            patterns.push(vec![first, second]);
            patterns.extend(parts.iter().map(|third| vec![first, second, third]));
        }
    }
    let lines: Vec<_> = patterns
        .iter()
        .map(|pattern| format!("* pull {}\n", pattern.join("/")))
        .collect();
    let mut wanted: Vec<Vec<&str>> = names.iter().map(|name| vec![*name]).collect();
    for first in names {
        for second in names {
            wanted.push(vec![first, second]);
            wanted.extend(names.iter().map(|third| vec![first, second, third]));
        }
    }
    let all = Access::parse(lines.concat().as_bytes(), OtherGroups::None).unwrap();
    for name in &wanted {
        let joined = name.join("/");
        let first = patterns
            .iter()
            .position(|pattern| plainly(pattern, name, "ab"));
        let found = all.granting_line(asker("ab"), Wish::Repository(Right::Pull, &joined));
        assert_eq!(found, first.map(|at| at + 1), "{joined}");
    }
    for (pattern, line) in patterns.iter().zip(&lines) {
        let one = Access::parse(line.as_bytes(), OtherGroups::None).unwrap();
        for name in &wanted {
            let joined = name.join("/");
            let found = one.rights(asker("ab"), &joined).have(Right::Pull);
            assert_eq!(found, plainly(pattern, name, "ab"), "{line} {joined}");
        }
    }
}
