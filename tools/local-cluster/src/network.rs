//! Which addresses and link names a cluster uses. All of them come from 198.18.0.0/15,
//! which RFC 2544 sets aside for tests: no private or public range is touched.

use std::fmt;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Result, bail};

use super::state::{DEV, TEST};
use host::command;

/// More nodes than a person needs on one machine; the address plan would hold 63.
pub const MAX_NODES: u8 = 16;

/// A range of addresses, printed as `198.18.64.0/18`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub address: Ipv4Addr,
    pub bits: u8,
}

impl Cidr {
    /// The range that an address with a prefix length is in.
    fn network(self) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
        Self {
            address: Ipv4Addr::from_bits(self.address.to_bits() & mask),
            ..self
        }
    }
}

/// The first of the listed routes that is more than a way for everything else.
fn other_route(listed: &str) -> Option<&str> {
    listed
        .lines()
        .map(str::trim)
        .find(|route| !route.is_empty() && !route.starts_with("default ") && !route.starts_with("0.0.0.0/0 "))
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The addresses of one cluster, a /16 of its own. Nodes are counted from 1.
#[derive(Clone, Debug)]
pub struct Network {
    cluster: String,
    second: u8,
}

impl Network {
    /// The plan of the cluster with this name.
    pub fn of(cluster: &str) -> Result<Self> {
        let second = match cluster {
            DEV => 18,
            TEST => 19,
            other => bail!("there is no cluster named {other}: the local clusters are dev and test"),
        };
        Ok(Self {
            cluster: cluster.to_owned(),
            second,
        })
    }

    fn address(&self, third: u8, fourth: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, self.second, third, fourth)
    }

    /// The host's end of the link to a node.
    pub fn host(&self, node: u8) -> Cidr {
        Cidr {
            address: self.address(node - 1, 1),
            bits: 24,
        }
    }

    /// The node's end of its link; the node's only address.
    pub fn node(&self, node: u8) -> Cidr {
        Cidr {
            address: self.address(node - 1, 2),
            bits: 24,
        }
    }

    /// Refuses to take over addresses that this machine reaches some other way: a route that is there, such as a VPN's,
    /// would lose them.
    pub fn is_free(&self, nodes: u8) -> Result<()> {
        let mut ranges = vec![self.services()];
        for node in 1..=nodes {
            ranges.extend([self.host(node).network(), self.node_pods(node)]);
        }
        for range in ranges {
            for which in ["match", "root"] {
                let range = range.to_string();
                let routes = ["-4", "route", "show", "to", which, &range];
                let found = command::output(Command::new("ip").args(routes))?;
                if let Some(route) = other_route(&found) {
                    bail!(
                        "this machine has a route to addresses of {range}, which cluster {} needs: {route}; remove it \
                         (`ip route delete …`, or end the VPN that made it) while the cluster runs",
                        self.cluster
                    );
                }
            }
        }
        Ok(())
    }

    /// The name of the host's end of the link, at most 15 characters, as the kernel asks.
    pub fn link(&self, node: u8) -> String {
        format!("{}{node}", link_prefix(&self.cluster))
    }

    /// All pods of the cluster.
    pub fn pods(&self) -> Cidr {
        Cidr {
            address: self.address(64, 0),
            bits: 18,
        }
    }

    /// The pods of one node.
    pub fn node_pods(&self, node: u8) -> Cidr {
        Cidr {
            address: self.address(64 + node - 1, 0),
            bits: 24,
        }
    }

    pub fn services(&self) -> Cidr {
        Cidr {
            address: self.address(128, 0),
            bits: 20,
        }
    }

    /// The Service `kubernetes` in namespace `default`: the first of the range.
    pub fn api_service(&self) -> Ipv4Addr {
        self.address(128, 1)
    }

    /// Where the API server is reached from the host and from every node.
    pub fn api_server(&self) -> String {
        format!("https://{}:6443", self.node(1).address)
    }
}

/// What the host's links of a cluster start with.
pub fn link_prefix(cluster: &str) -> String {
    format!("rates-{cluster}-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clusters_share_no_address() {
        let dev = Network::of("dev").unwrap();
        let test = Network::of("test").unwrap();
        assert_eq!(dev.api_server(), "https://198.18.0.2:6443");
        assert_eq!(test.api_server(), "https://198.19.0.2:6443");
    }

    #[test]
    fn each_node_has_a_link_and_pods_of_its_own() {
        let dev = Network::of("dev").unwrap();
        assert_eq!(dev.host(3).to_string(), "198.18.2.1/24");
        assert_eq!(dev.node(3).to_string(), "198.18.2.2/24");
        assert_eq!(dev.node_pods(1).to_string(), "198.18.64.0/24");
        assert_eq!(dev.node_pods(3).to_string(), "198.18.66.0/24");
        assert_eq!(dev.pods().to_string(), "198.18.64.0/18");
        assert_eq!(dev.services().to_string(), "198.18.128.0/20");
    }

    #[test]
    fn link_names_fit_the_kernels_limit() {
        let test = Network::of("test").unwrap();
        assert!(test.link(MAX_NODES).len() <= 15);
    }

    #[test]
    fn the_nodes_pods_stay_inside_the_pods_range() {
        let dev = Network::of("dev").unwrap();
        let last = dev.node_pods(MAX_NODES).address.octets()[2];
        assert!(
            last < 128,
            "the services begin at 128, the last node's pods are at {last}"
        );
    }

    /// In a network of its own, which ends with the thread that is in it.
    #[test]
    fn a_route_that_is_there_is_named_and_not_taken_over() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let test = Network::of("test").unwrap();
        let attempts = ["198.19.64.0/24", "198.19.128.0/25", "198.18.0.0/15", "default"].map(|range| {
            let test = test.clone();
            let attempt = std::thread::spawn(move || {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                for line in [
                    "link add elsewhere type veth peer name other",
                    "link set elsewhere up",
                    &format!("route add {range} dev elsewhere"),
                ] {
                    command::output(Command::new("ip").args(line.split(' '))).unwrap();
                }
                test.is_free(1).map_err(|error| error.to_string())
            });
            attempt.join().unwrap()
        });
        for refused in &attempts[..3] {
            let message = refused.as_ref().unwrap_err();
            assert!(
                message.contains("dev elsewhere") && message.contains("cluster test"),
                "{message}"
            );
        }
        assert_eq!(attempts[3], Ok(()), "everybody has a default route");
    }

    #[test]
    fn another_name_is_refused_with_the_names_there_are() {
        assert!(
            Network::of("prod")
                .unwrap_err()
                .to_string()
                .contains("dev and test")
        );
    }
}
