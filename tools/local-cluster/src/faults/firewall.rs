//! Packets that are lost or refused in a node, by rules of its own firewall. They are in tables and chains in which
//! kube-proxy has none, and go with the node's namespace.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::Result;

use host::command;

/// What the comment of every rule begins with.
pub const MARK: &str = "rates-fault-";
pub const CUT: &str = "rates-fault-cut";
pub const API_SERVER: &str = "rates-fault-from-api-server";
pub const AWAY: &str = "rates-fault-api-server-away";

const TABLES: [&str; 2] = ["mangle", "filter"];
/// Seconds to wait for whoever else changes rules.
const WAIT: &str = "20";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    table: &'static str,
    chain: &'static str,
    matches: Vec<String>,
    mark: String,
    target: &'static [&'static str],
}

const DROP: &[&str] = &["DROP"];
const REFUSE: &[&str] = &["REJECT", "--reject-with", "tcp-reset"];

fn lost(chain: &'static str, mark: &str, matches: &[&str]) -> Rule {
    Rule {
        table: "mangle",
        chain,
        matches: matches.iter().map(|&word| word.to_owned()).collect(),
        mark: mark.to_owned(),
        target: DROP,
    }
}

/// Between the node and everybody else.
pub fn everything() -> Vec<Rule> {
    vec![
        lost("PREROUTING", CUT, &["-i", "eth0"]),
        lost("POSTROUTING", CUT, &["-o", "eth0"]),
    ]
}

/// Between the node, its pods included, and the API server. A Service's address is replaced before the one chain and after
/// the other.
pub fn from_api_server(address: Ipv4Addr) -> Vec<Rule> {
    let address = address.to_string();
    vec![
        lost(
            "PREROUTING",
            API_SERVER,
            &["-i", "eth0", "-s", &address, "-p", "tcp", "--sport", "6443"],
        ),
        lost(
            "POSTROUTING",
            API_SERVER,
            &["-o", "eth0", "-d", &address, "-p", "tcp", "--dport", "6443"],
        ),
    ]
}

/// Between the node's pods and those of another node.
pub fn between(own: &str, others: &str, other: u8) -> Vec<Rule> {
    let mark = pods_mark(other);
    vec![
        lost("FORWARD", &mark, &["-s", own, "-d", others]),
        lost("FORWARD", &mark, &["-s", others, "-d", own]),
    ]
}

/// The mark of [`between`]'s rules.
pub fn pods_mark(other: u8) -> String {
    // The dot ends the number: the mark of node 1 is not the beginning of that of node 12.
    format!("{MARK}pods-{other}.")
}

/// To the API server from wherever, on its own node. It reaches itself through loopback.
pub fn refuse_api_server(address: Ipv4Addr) -> Rule {
    let matches = ["-d", &address.to_string(), "-p", "tcp", "--dport", "6443"].map(str::to_owned);
    Rule {
        table: "filter",
        chain: "INPUT",
        matches: matches.to_vec(),
        mark: AWAY.to_owned(),
        target: REFUSE,
    }
}

/// Puts the rules before all others. The calling thread is in the node.
pub fn add(rules: &[Rule]) -> Result<()> {
    for rule in rules {
        let mut command = iptables(rule.table);
        command
            .args(["-I", rule.chain])
            .args(&rule.matches)
            .args(["-m", "comment", "--comment", &rule.mark, "-j"])
            .args(rule.target);
        command::output(&mut command)?;
    }
    Ok(())
}

/// Removes every rule whose mark begins so. The calling thread is in the node.
pub fn remove(mark: &str) -> Result<()> {
    for table in TABLES {
        let listed = command::output(iptables(table).arg("-S"))?;
        for deletion in deletions(&listed, mark) {
            command::output(iptables(table).args(deletion))?;
        }
    }
    Ok(())
}

fn iptables(table: &str) -> Command {
    let mut command = Command::new("iptables");
    command.args(["-w", WAIT, "-t", table]);
    command
}

/// The arguments that delete the rules with this mark, from what `iptables -S` prints.
fn deletions(listed: &str, mark: &str) -> Vec<Vec<String>> {
    let rules = listed.lines().filter_map(|line| line.strip_prefix("-A "));
    rules
        .map(|rule| rule.split(' ').map(|word| word.trim_matches('"').to_owned()))
        .filter(|words| words.clone().any(|word| word.starts_with(mark)))
        .map(|words| std::iter::once("-D".to_owned()).chain(words).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "-P FORWARD ACCEPT\n\
        -N KUBE-FORWARD\n\
        -A FORWARD -s 198.19.65.0/24 -d 198.19.64.0/24 -m comment --comment \"rates-fault-pods-1.\" -j DROP\n\
        -A FORWARD -s 198.19.65.0/24 -d 198.19.75.0/24 -m comment --comment rates-fault-pods-12. -j DROP\n\
        -A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD\n";

    #[test]
    fn only_the_rules_of_a_fault_are_deleted() {
        let deleted = deletions(LISTED, &pods_mark(1));
        assert_eq!(deleted.len(), 1);
        assert_eq!(
            deleted[0].join(" "),
            "-D FORWARD -s 198.19.65.0/24 -d 198.19.64.0/24 -m comment --comment rates-fault-pods-1. -j DROP"
        );
        assert_eq!(deletions(LISTED, MARK).len(), 2);
        assert!(deletions(LISTED, CUT).is_empty());
    }

    #[test]
    fn every_mark_is_one_of_a_fault() {
        let rules = [
            everything(),
            from_api_server(Ipv4Addr::LOCALHOST),
            between("a", "b", 2),
            vec![refuse_api_server(Ipv4Addr::LOCALHOST)],
        ];
        for rule in rules.iter().flatten() {
            assert!(rule.mark.starts_with(MARK), "{rule:?}");
            assert!(TABLES.contains(&rule.table), "{rule:?}");
        }
    }
}
