use super::*;

const SECOND: Duration = Duration::from_secs(1);
const OPENING: &str = "POST /v2/a/blobs/uploads/";
const MOUNT: &str = "POST /v2/a/blobs/uploads/?mount=sha256:00&from=b";
const PIECE: &str = "PATCH /v2/a/blobs/uploads/1";
const LAST: &str = "PUT /v2/a/blobs/uploads/1?digest=sha256:00";
const STATUS: &str = "GET /v2/a/blobs/uploads/1";
const MANIFEST: &str = "PUT /v2/a/manifests/latest";
const DELETE: &str = "DELETE /v2/a/manifests/latest";
const OTHER: &str = "POST /api/things";
const ALL: [&str; 8] = [OPENING, MOUNT, PIECE, LAST, STATUS, MANIFEST, DELETE, OTHER];

fn head(line: &str) -> RequestHead {
    let text = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
    RequestHead::parse(text.as_bytes()).unwrap().unwrap().0
}

fn term(now: Instant) -> Term {
    Term {
        closes: now + 60 * SECOND,
        until: now + 3600 * SECOND,
        ends: SystemTime::UNIX_EPOCH + 3600 * SECOND,
    }
}

/// Without waiting for what was begun.
fn close(hold: &Hold, now: Instant) {
    let closes = now;
    hold.begin(Term {
        closes,
        ..term(now)
    });
    assert_eq!(hold.go_on(now).0, Phase::Closed);
}

fn ask(hold: &Arc<Hold>, line: &str, user: &str, now: Instant) -> Result<Option<Permit>, Refusal> {
    hold.permit(&head(line), Some(user.as_bytes().into()), now)
}

/// Which of all requests of a user may pass.
fn passing(hold: &Arc<Hold>, user: &str, now: Instant) -> Vec<&'static str> {
    let passes = |line: &&str| ask(hold, line, user, now).is_ok();
    ALL.into_iter().filter(passes).collect()
}

#[test]
fn what_was_begun_may_end_and_nothing_else_and_then_nothing() {
    let (hold, now) = (Arc::new(Hold::default()), Instant::now());
    drop(ask(&hold, OPENING, "alice", now).unwrap());
    hold.begin(term(now));
    assert_eq!(passing(&hold, "bob", now), [PIECE, LAST, STATUS, MANIFEST]);
    let fresh = Arc::new(Hold::default());
    fresh.begin(term(now));
    assert!(ask(&fresh, MANIFEST, "bob", now).is_err());
    assert!(ask(&hold, MANIFEST, "alice", now).is_ok());
    let late = now + RECENT + SECOND;
    assert!(ask(&hold, MANIFEST, "carol", now).is_err());
    close(&hold, now);
    assert_eq!(passing(&hold, "alice", now), [STATUS]);
    hold.end();
    assert_eq!(passing(&hold, "alice", late), ALL);
}

#[test]
fn it_closes_when_all_has_ended_or_its_time_is_over() {
    let (hold, begun) = (Arc::new(Hold::default()), Instant::now());
    let piece = ask(&hold, PIECE, "alice", begun).unwrap();
    hold.begin(term(begun));
    assert_eq!(hold.go_on(begun + 10 * SECOND), (Phase::Closing, 1));
    drop(piece);
    // The end of a write is taken from the clock.
    let ended = Instant::now();
    assert_eq!(hold.go_on(ended + 2 * SECOND), (Phase::Closing, 0));
    drop(ask(&hold, MANIFEST, "alice", ended).unwrap());
    let named = Instant::now();
    assert_eq!(hold.go_on(named + SECOND / 2), (Phase::Closing, 0));
    assert_eq!(hold.go_on(named + SECOND), (Phase::Closed, 0));
    // Whoever has still something on its way is told that it is late.
    hold.end();
    let piece = ask(&hold, PIECE, "alice", named).unwrap().unwrap();
    hold.begin(term(begun));
    assert!(!piece.is_late());
    assert_eq!(hold.go_on(begun + 60 * SECOND), (Phase::Closed, 1));
    assert!(piece.is_late());
    assert_eq!(piece.refusal().status(), 405);
}

#[test]
fn its_end_is_kept_whoever_looks() {
    let (hold, now) = (Arc::new(Hold::default()), Instant::now());
    close(&hold, now);
    let end = now + 3600 * SECOND;
    assert!(ask(&hold, OPENING, "alice", end - SECOND).is_err());
    assert!(ask(&hold, OPENING, "alice", end).is_ok());
    assert_eq!(hold.go_on(end).0, Phase::Open);
}

#[test]
fn the_refusal_says_until_when() {
    let (hold, now) = (Arc::new(Hold::default()), Instant::now());
    hold.begin(term(now));
    let refusal = ask(&hold, OPENING, "alice", now).unwrap_err();
    assert_eq!((refusal.status(), refusal.code()), (405, "UNSUPPORTED"));
    let said = refusal.message();
    assert!(
        said.starts_with("read-only until 1970-01-01T01:00:00Z"),
        "{said}"
    );
    assert!(!refusal.breaks_framing());
}
