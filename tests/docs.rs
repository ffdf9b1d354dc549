//! What the documents say is what the program says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use portreeve::config::settings_table;

const README: &str = include_str!("../README.md");

#[test]
fn the_readme_lists_the_settings_as_the_help_does() {
    let (_, rest) = README
        .split_once("<!-- settings -->")
        .expect("the beginning of the table");
    let (table, _) = rest
        .split_once("<!-- /settings -->")
        .expect("the end of the table");
    // Backquotes are for the reader's eye.
    let plain = table.replace(['`', '\\'], "");
    let listed: Vec<&str> = plain.trim().lines().skip(2).collect();
    let known: Vec<String> = settings_table()
        .iter()
        .map(|setting| {
            let more = if setting.repeatable() { " …" } else { "" };
            let (name, placeholder) = (&setting.name, &setting.placeholder);
            format!(
                "| --{name} {placeholder}{more} | {} | {} |",
                setting.default,
                setting.help.replace('`', "")
            )
        })
        .collect();
    assert_eq!(listed, known, "the table should be\n{}", known.join("\n"));
}

#[test]
fn the_changelog_knows_the_version() {
    let changelog = include_str!("../CHANGELOG.md");
    let version = concat!("## [", env!("CARGO_PKG_VERSION"), "]");
    assert!(changelog.contains("## [Unreleased]") || changelog.contains(version));
}
