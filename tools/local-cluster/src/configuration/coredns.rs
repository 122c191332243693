//! CoreDNS's Corefile.

use std::fmt;
use std::path::PathBuf;

/// Answers for the cluster's names and nothing else: there is no upstream resolver, by design.
#[derive(Debug)]
pub struct Corefile {
    pub kubeconfig: PathBuf,
    /// The context in that file.
    pub context: String,
}

impl fmt::Display for Corefile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, ".:53 {{")?;
        writeln!(f, "  errors")?;
        writeln!(f, "  ready 127.0.0.1:8181")?;
        writeln!(f, "  kubernetes cluster.local in-addr.arpa ip6.arpa {{")?;
        writeln!(f, "    kubeconfig {} {}", self.kubeconfig.display(), self.context)?;
        writeln!(f, "    pods insecure")?;
        writeln!(f, "    ttl 5")?;
        writeln!(f, "  }}")?;
        // A name that is asked for before it is there must not stay unknown for long.
        writeln!(f, "  cache 5 {{")?;
        writeln!(f, "    denial 9984 1")?;
        writeln!(f, "  }}")?;
        writeln!(f, "}}")
    }
}
