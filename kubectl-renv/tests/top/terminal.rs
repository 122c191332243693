//! What the command shows on a terminal, which `script` of util-linux plays.

use std::fs;
use std::process::{Command, Stdio};

use crate::stage::{Prometheus, command, until};

const RULES: &str = r"
groups:
  - {name: ladder, interval: 1s, rules: [{record: 'rates:saturation:log', expr: test_log}]}
";

#[test]
fn a_terminal_shows_the_ladder_anew_until_it_is_ended() {
    let prometheus = Prometheus::start(RULES);
    let set = |value: &str| {
        prometheus.set(&format!(
            "test_log{{namespace=\"team-a\",environment=\"shop\"}} {value}\n"
        ));
    };
    set("0.25");
    until("the ladder is recorded", || {
        let arguments = ["top", "shop", "-n", "team-a", "--prometheus", &prometheus.address];
        command(None).args(arguments).output().unwrap().status.success()
    });

    let folder = tempfile::tempdir().unwrap();
    let typescript = folder.path().join("typescript");
    let line = format!(
        "stty columns 60 rows 20; exec {} top shop -n team-a --prometheus {}",
        env!("CARGO_BIN_EXE_kubectl-renv"),
        prometheus.address
    );
    let mut terminal = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &line])
        .arg(&typescript)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let shown = || fs::read_to_string(&typescript).unwrap_or_default();
    until("the first picture", || shown().contains("25 %"));
    set("0.75");
    until("the second picture", || shown().contains("75 %"));
    // It goes on where Prometheus does not.
    drop(prometheus);
    until("the failure", || shown().contains("cannot reach Prometheus"));
    terminal.kill().unwrap();
    terminal.wait().unwrap();

    let text = shown();
    assert!(
        text.contains("\u{1b}[H") && text.contains("\u{1b}[32m"),
        "no colours or places: {text:?}"
    );
    let widest = text.lines().filter(|line| line.contains('░')).map(printed).max();
    assert!(
        widest.is_some_and(|columns| columns <= 60),
        "{widest:?} columns: {text}"
    );
}

/// How many columns a line takes: escapes take none.
fn printed(line: &str) -> usize {
    let mut columns = 0;
    let mut escape = false;
    for character in line.chars() {
        if escape {
            escape = !character.is_ascii_alphabetic();
        } else if character == '\u{1b}' {
            escape = true;
        } else if !character.is_control() {
            columns += 1;
        }
    }
    columns
}
