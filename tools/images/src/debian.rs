//! Debian's packages as this machine gets them: its own mirror and proxy, with only the suite changed.

use std::process::Command;

use anyhow::{Context as _, Result};

use host::command;

/// The keys of all of Debian's releases; package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where this machine takes Debian's packages from.
pub struct Mirror {
    main: String,
    security: Option<String>,
}

impl Mirror {
    /// Asks apt, so that every way to write a source is understood.
    pub fn of_this_machine() -> Result<Self> {
        let listed = command::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(LABEL)|$(REPO_URI)|$(COMPONENT)",
            "Created-By: Packages",
            "Origin: Debian",
        ]))?;
        Self::parse(&listed).context(
            "apt knows no mirror of Debian: run `apt-get update`, \
             or add a source of Debian's `main` to /etc/apt/sources.list.d",
        )
    }

    fn parse(listed: &str) -> Option<Self> {
        let find = |wanted: &str| {
            listed.lines().find_map(|line| {
                let mut fields = line.split('|');
                let (label, uri) = (fields.next()?, fields.next()?);
                (label == wanted && fields.next()? == "main" && uri.starts_with("http"))
                    .then(|| uri.to_owned())
            })
        };
        Some(Self {
            main: find("Debian")?,
            security: find("Debian-Security"),
        })
    }

    /// One-line apt sources of a suite, with its security updates where this machine has a mirror of them.
    pub fn sources(&self, suite: &str) -> Vec<String> {
        let line = |uri: &str, suite: &str| format!("deb [signed-by={KEYRING}] {uri} {suite} main");
        let mut sources = vec![line(&self.main, suite)];
        if let Some(uri) = &self.security {
            sources.push(line(uri, &format!("{suite}-security")));
        }
        sources
    }
}

/// The machine's settings for how apt reaches a mirror, as options for another apt.
pub fn transport_options() -> Result<Vec<String>> {
    let settings = command::output(Command::new("apt-config").arg("dump"))?;
    Ok(settings
        .lines()
        .filter(|line| {
            ["Acquire::http::", "Acquire::https::", "Acquire::Retries "]
                .iter()
                .any(|prefix| line.starts_with(prefix))
        })
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::Mirror;

    #[test]
    fn the_mirror_is_the_machines_with_the_suite_changed() {
        let listed = "Other|http://other.example/|main\n\
                      Debian|cdrom://disk/|main\n\
                      Debian|http://mirror.example/debian/|contrib\n\
                      Debian|http://mirror.example/debian/|main\n\
                      Debian-Security|http://mirror.example/security/|main\n";
        let sources = Mirror::parse(listed).unwrap().sources("trixie");
        assert_eq!(sources.len(), 2);
        assert!(sources[0].ends_with("] http://mirror.example/debian/ trixie main"));
        assert!(sources[1].ends_with("] http://mirror.example/security/ trixie-security main"));
    }

    #[test]
    fn without_a_security_mirror_only_the_suite_itself_is_used() {
        let mirror = Mirror::parse("Debian|http://mirror.example/debian/|main\n").unwrap();
        assert_eq!(mirror.sources("trixie").len(), 1);
    }

    #[test]
    fn a_machine_without_debian_has_no_mirror() {
        assert!(Mirror::parse("Ubuntu|http://mirror.example/ubuntu/|main\n").is_none());
    }
}
