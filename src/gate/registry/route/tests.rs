use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn digest(text: &str) -> Digest<'_> {
    Digest(text)
}

#[test]
fn each_path_of_the_spec_leads_somewhere() {
    let blob = format!("/v2/team/app/blobs/{DIGEST}");
    let manifest = format!("/v2/a/manifests/{DIGEST}");
    let referrers = format!("/v2/a/referrers/{DIGEST}");
    for (path, route) in [
        ("/v2", Route::Base),
        ("/v2/", Route::Base),
        ("/v2/_catalog", Route::Catalog),
        ("/v2/a/tags/list", Route::Tags("a")),
        (
            "/v2/team/app/manifests/1.2",
            Route::Manifest("team/app", Reference::Tag("1.2")),
        ),
        (
            &manifest,
            Route::Manifest("a", Reference::Digest(digest(DIGEST))),
        ),
        (&blob, Route::Blob("team/app", digest(DIGEST))),
        ("/v2/a/blobs/uploads/", Route::Uploads("a")),
        ("/v2/a/blobs/uploads", Route::Uploads("a")),
        ("/v2/a/blobs/uploads/0-9_x=", Route::Upload("a", "0-9_x=")),
        (&referrers, Route::Referrers("a", digest(DIGEST))),
    ] {
        assert_eq!(Route::parse(path), Some(route), "{path}");
    }
}

#[test]
fn a_name_may_hold_the_words_of_other_paths() {
    for (path, name) in [
        ("/v2/manifests/manifests/x", "manifests"),
        ("/v2/a/blobs/uploads/manifests/x", "a/blobs/uploads"),
        ("/v2/tags/list/tags/list", "tags/list"),
        ("/v2/blobs/uploads/blobs/uploads/", "blobs/uploads"),
        ("/v2/a/manifests/blobs/uploads/x", "a/manifests"),
    ] {
        let route = Route::parse(path);
        assert_eq!(route.and_then(|route| route.repository()), Some(name));
    }
}

#[test]
fn what_does_not_match_to_its_end_leads_nowhere() {
    let long = format!("/v2/{}a/tags/list", "a/".repeat(127));
    let too_long = format!("/v2/{}ab/tags/list", "a/".repeat(127));
    assert!(Route::parse(&long).is_some());
    let tag = format!("/v2/a/manifests/{}", "t".repeat(129));
    for path in [
        "",
        "/",
        "/v1/",
        "/v2x",
        "/v2/x",
        "/v2/_catalog/",
        "/v2/a/tags/list/",
        "/v2/a/tags/lists",
        "/v2/tags/list",
        "/v2//tags/list",
        "/v2/A/tags/list",
        "/v2/a/tags",
        "/v2/a/manifests/",
        "/v2/manifests/x",
        "/v2/a/manifests/.x",
        "/v2/a/manifests/-x",
        "/v2/a/manifests/x%20y",
        "/v2/a/manifests/sha256:",
        "/v2/a/manifests/:abc",
        "/v2/a/manifests/SHA256:abc",
        "/v2/a/manifests/sha256:ab:c",
        "/v2/a/manifests/sha256%253Aabc",
        "/v2/a/blobs/latest",
        "/v2/a/blobs/uploads/x/y",
        "/v2/a/blobs/uploads/x%41",
        "/v2/uploads/x",
        "/v2/blobs/uploads/x",
        "/v2/a/uploads/x",
        "/v2/a./tags/list",
        "/v2/a..b/tags/list",
        "/v2/a___b/tags/list",
        "/v2/a._b/tags/list",
        "/v2/-a/tags/list",
        "/v2/a-/tags/list",
        "/v2/a%2Fb/tags/list",
        "/v2/ä/tags/list",
        "/v2/a/tags/list?n=1",
        &too_long,
        &tag,
    ] {
        assert_eq!(Route::parse(path), None, "{path}");
    }
}

#[test]
fn names_are_those_of_the_spec() {
    for good in ["a", "0", "a.b", "a_b", "a__b", "a---b", "a.b_c-d/e/f0"] {
        assert_eq!(name(good), Some(good));
    }
}

#[test]
fn an_escaped_colon_is_one() {
    for colon in ["%3A", "%3a"] {
        let escaped = DIGEST.replace(':', colon);
        let path = format!("/v2/a/blobs/{escaped}");
        let found = Route::parse(&path).and_then(|route| route.digest());
        assert_eq!(found.map(Digest::text), Some(DIGEST.into()));
    }
    assert_eq!(digest(DIGEST).text(), DIGEST);
}

#[test]
fn an_upload_says_in_its_query_what_it_becomes() {
    for query in ["digest=sha256:ab", "_state=x&digest=sha256%3Aab&digest=x:y"] {
        let found = Digest::of_query(query).map(Digest::text);
        assert_eq!(found, Some("sha256:ab".into()), "{query}");
    }
    for query in ["", "digest", "digest=", "xdigest=sha256:ab", "digest=%00:a"] {
        assert_eq!(Digest::of_query(query), None, "{query}");
    }
}

#[test]
fn methods_and_paths_make_actions() {
    let blob = format!("/v2/a/blobs/{DIGEST}");
    for (method, path, action) in [
        ("GET", "/v2/", Some(Action::Ping)),
        ("POST", "/v2/", None),
        ("GET", "/v2/_catalog", Some(Action::Catalog)),
        ("DELETE", "/v2/_catalog", None),
        ("GET", "/v2/a/tags/list", Some(Action::Pull)),
        ("HEAD", "/v2/a/manifests/x", Some(Action::Pull)),
        ("PUT", "/v2/a/manifests/x", Some(Action::Push)),
        ("DELETE", "/v2/a/manifests/x", Some(Action::Delete)),
        ("DELETE", &blob, Some(Action::Delete)),
        ("GET", &blob, Some(Action::Pull)),
        ("POST", "/v2/a/blobs/uploads/", Some(Action::Push)),
        ("GET", "/v2/a/blobs/uploads/x", Some(Action::Push)),
        ("HEAD", "/v2/a/blobs/uploads/x", None),
        ("PUT", &blob, None),
        ("POST", "/v2/a/manifests/x", None),
        ("DELETE", "/v2/a/tags/list", None),
        ("DELETE", "/v2/a/blobs/uploads/x", Some(Action::Push)),
        ("OPTIONS", "/v2/a/tags/list", None),
        ("get", "/v2/a/tags/list", None),
    ] {
        let route = Route::parse(path);
        assert_eq!(
            route.and_then(|route| route.action(method)),
            action,
            "{method} {path}"
        );
    }
}
