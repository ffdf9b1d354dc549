//! What must hold when a password file is changed, whatever is in it: the change is there, and all else is as it was.
//! Whatever does not hold panics.

use super::*;
use crate::gate::auth::Users;

const HASH: &str = "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=";
/// The users of a file that are looked at.
const MOST: usize = 6;

/// All that must hold of the commands that change or show the file `input`.
pub(crate) fn password_file(input: &[u8]) {
    let mut users: Vec<&[u8]> = everybody(input).into_iter().map(|(user, _)| user).collect();
    users.truncate(MOST);
    users.extend([&b"new"[..], b"new user", b"\xff"]);
    for user in users {
        if check_name(user).is_ok() {
            is_set_alone(input, user);
        }
        is_deleted_alone(input, user);
    }
    let table = list(input);
    let rows = lines(input).filter(|line| !matches!(line.content, Content::Nothing));
    assert_eq!(table.lines().count(), rows.count() + 1, "{table}");
    assert!(
        !table.chars().any(|c| c != '\n' && c.is_control()),
        "{table:?}"
    );
}

fn everybody(file: &[u8]) -> Vec<(&[u8], &[u8])> {
    lines(file)
        .filter_map(|line| match line.content {
            Content::User { user, hash } => Some((user, file.get(hash).unwrap_or_default())),
            _ => None,
        })
        .collect()
}

fn others<'a>(file: &'a [u8], user: &[u8]) -> Vec<(&'a [u8], &'a [u8])> {
    let mut all = everybody(file);
    all.retain(|(other, _)| *other != user);
    all
}

fn is_set_alone(before: &[u8], user: &[u8]) {
    let shown = || format!("{} in {}", user.escape_ascii(), before.escape_ascii());
    let count = everybody(before).len() - others(before, user).len();
    let Ok((after, did)) = set(before, user, HASH) else {
        assert!(count > 1, "{}", shown());
        return;
    };
    assert_eq!(did, ["added", "changed"][count], "{}", shown());
    let hash = only_hash(&after, user).ok().flatten();
    assert!(
        matches!(hash, Some(Secret::Hash(hash)) if hash.text() == HASH),
        "{}",
        shown()
    );
    assert_eq!(others(before, user), others(&after, user), "{}", shown());
    assert_eq!(
        set(&after, user, HASH),
        Ok((after.clone(), "changed")),
        "{}",
        shown()
    );
    if count == 0 {
        assert!(after.starts_with(before), "{}", shown());
        let (again, _) = delete(&after, user).unwrap_or_default();
        // The last line may have been given the end that it had not.
        assert!(
            again.starts_with(before) && again.len() <= before.len() + 2,
            "{}",
            shown()
        );
    }
    // What a gate would start with it still starts with.
    if let Ok(users) = Users::parse(before) {
        let length = Users::parse(&after).map(|users| users.len());
        assert_eq!(length, Ok(users.len() + 1 - count), "{}", shown());
    }
}

fn is_deleted_alone(before: &[u8], user: &[u8]) {
    let shown = || format!("{} in {}", user.escape_ascii(), before.escape_ascii());
    let rest = others(before, user);
    let Some((after, left)) = delete(before, user) else {
        assert_eq!(rest, everybody(before), "{}", shown());
        return;
    };
    assert!(rest.len() < everybody(before).len(), "{}", shown());
    assert_eq!(
        (&everybody(&after), left),
        (&rest, rest.len()),
        "{}",
        shown()
    );
    assert!(delete(&after, user).is_none(), "{}", shown());
}
