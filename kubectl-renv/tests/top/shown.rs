//! What the command shows where it is no terminal.

use serde_json::Value;

use crate::stage::{command, free_port, kubeconfig, run, shared, top};

#[test]
fn one_environment_has_its_ladder_and_the_first_saturated_rung_with_its_remedy() {
    let address = &shared().address;
    let output = top(&["shop", "-n", "team-a", "--prometheus", address]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let text = output.stdout;
    assert!(text.starts_with("team-a/shop\n"), "{text}");
    let rungs = text
        .lines()
        .filter(|line| line.contains(" %") && line.contains('█') || line.contains("no data"));
    assert_eq!(rungs.count(), 9, "{text}");
    // Locks have a higher value; connections come first.
    assert!(
        text.contains("The first saturated rung is 2, connections: raise spec.api.config.readConnections"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn several_environments_have_a_line_each_with_the_worst_rung() {
    let address = &shared().address;
    let namespace = top(&["-n", "team-a", "--prometheus", address]).stdout;
    let lines: Vec<&str> = namespace.lines().collect();
    assert_eq!(lines.len(), 3, "{namespace}");
    assert!(
        lines[1].starts_with("shop ") && lines[1].contains("2 connections"),
        "{namespace}"
    );
    assert!(
        lines[2].starts_with("quiet ") && lines[2].contains("1 API processors"),
        "{namespace}"
    );

    let all = top(&["--all-namespaces", "--prometheus", address]).stdout;
    assert!(all.starts_with("NAMESPACE"), "{all}");
    assert_eq!(all.matches("team-a").count(), 2, "{all}");
    assert_eq!(all.matches("team-b").count(), 1, "{all}");
}

#[test]
fn programs_get_one_document() {
    let address = &shared().address;
    let output = top(&["shop", "-n", "team-a", "-o", "json", "--prometheus", address]);
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    let shop = &document["environments"][0];
    assert_eq!(shop["saturated"], "connections");
    assert_eq!(shop["rungs"][1]["saturation"], 0.95);
    assert_eq!(shop["rungs"][8]["saturation"], Value::Null);
}

/// 0 of 0 bytes is no saturation.
#[test]
fn a_value_that_is_no_number_counts_as_no_data() {
    let address = &shared().address;
    let output = top(&["shop", "-n", "team-b", "--prometheus", address]);
    let volume = output
        .stdout
        .lines()
        .find(|line| line.contains("volume"))
        .unwrap();
    assert!(volume.ends_with("no data"), "{volume}");
}

#[test]
fn the_address_may_come_from_the_environment() {
    let output = run(command(None)
        .args(["top", "shop", "-n", "team-a"])
        .env("RATES_PROMETHEUS", format!("{}/", shared().address)));
    assert_eq!(output.code, 0, "{}", output.stderr);
}

#[test]
fn the_namespace_is_that_of_the_kubeconfigs_context() {
    let folder = tempfile::tempdir().unwrap();
    let server = format!("http://127.0.0.1:{}", free_port());
    let config = kubeconfig(&folder, &server, "team-b");
    let address = &shared().address;
    let here = run(command(Some(&config)).args(["top", "shop", "--prometheus", address]));
    assert!(
        here.stdout.starts_with("team-b/shop\n"),
        "{}{}",
        here.stdout,
        here.stderr
    );
    // A context without a namespace has kubectl's.
    let there = run(command(Some(&config)).args(["top", "shop", "--context=there", "--prometheus", address]));
    assert!(there.stderr.contains("default/shop"), "{}", there.stderr);
    let other =
        run(command(Some(&config)).args(["top", "shop", "--context=nowhere", "--prometheus", address]));
    assert!(
        other.stderr.contains("no context \"nowhere\""),
        "{}",
        other.stderr
    );
}

#[test]
fn a_shell_completes_the_command() {
    let output = run(command(None).args(["completion", "bash"]));
    assert!(output.stdout.contains("--all-namespaces"), "{}", output.stdout);
}
