//! A node: a network and a mount namespace of its own, joined to the host by one link.
//!
//! Nothing has a name outside: the namespaces live as long as a process in them, or the
//! supervisor, which holds them open. When those have ended, the kernel removes every mount,
//! link, route and firewall rule of the node by itself, however they ended.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::plan::NodePlan;
use super::process::Identity;
use super::state::{self, OpenNamespaces, State};

/// Kernel settings of the whole machine that the kubelet insists on. It only reads them here:
/// in a node's view, each is a file with the value it wants, and the machine's own stay as they are.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("/proc/sys/vm/overcommit_memory", "1"),
    ("/proc/sys/vm/panic_on_oom", "0"),
    ("/proc/sys/kernel/panic", "10"),
    ("/proc/sys/kernel/panic_on_oops", "1"),
    ("/proc/sys/kernel/keys/root_maxkeys", "1000000"),
    ("/proc/sys/kernel/keys/root_maxbytes", "25000000"),
];

/// A node's namespaces, held open.
#[derive(Debug)]
pub struct Namespaces {
    network: File,
    mounts: File,
}

impl Namespaces {
    /// Makes the namespaces, with the mounts that keep a node's traces off the host.
    pub fn create() -> Result<Self> {
        // Namespaces belong to a thread: this one is given up with the views it has entered.
        on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
                .context("cannot make a node's namespaces")?;
            private_mounts()?;
            run(Command::new("ip").args(["link", "set", "lo", "up"]), None)?;
            write_setting("net/ipv4/ip_forward", "1")?;
            // Refusals would otherwise be told to the host once a second only, and look like lost packets.
            write_setting("net/ipv4/icmp_ratelimit", "0")?;
            let open = |kind: &str| {
                let path = format!("/proc/thread-self/ns/{kind}");
                File::open(&path).with_context(|| format!("cannot open {path}"))
            };
            Ok(Self {
                network: open("net")?,
                mounts: open("mnt")?,
            })
        })
    }

    /// The namespaces that the supervisor of a cluster holds open.
    pub fn of(state: &State, node: u8) -> Result<Self> {
        let supervisor = state.supervisor().filter(Identity::is_alive);
        let supervisor = supervisor.with_context(|| format!("cluster {} does not run", state.name))?;
        let open = state.namespaces();
        let open = open
            .get(&node)
            .with_context(|| format!("cluster {} has no node {node}", state.name))?;
        let file = |descriptor: i32| {
            let path = format!("/proc/{}/fd/{descriptor}", supervisor.pid);
            File::open(&path).with_context(|| format!("cannot open a namespace of node {node}, {path}"))
        };
        Ok(Self {
            network: file(open.network)?,
            mounts: file(open.mounts)?,
        })
    }

    /// Where this process holds them open.
    pub fn descriptors(&self) -> OpenNamespaces {
        OpenNamespaces {
            network: self.network.as_raw_fd(),
            mounts: self.mounts.as_raw_fd(),
        }
    }

    /// Does something in the node, on a thread that ends with it.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_thread(|| {
            self.enter()?;
            work()
        })
    }

    /// Moves the calling thread, and what it will start, into the node.
    pub fn enter(&self) -> Result<()> {
        // A thread may only change its mounts when it shares its root and working folder with no other.
        unshare(CloneFlags::CLONE_FS).context("cannot leave the other threads' folder")?;
        setns(&self.mounts, CloneFlags::CLONE_NEWNS).context("cannot enter the node's mounts")?;
        setns(&self.network, CloneFlags::CLONE_NEWNET).context("cannot enter the node's network")
    }

    /// Joins the node to the host and gives both ends their addresses and routes.
    pub fn connect(&self, plan: &NodePlan, several: bool) -> Result<()> {
        let namespace = format!("/proc/{}/fd/{}", std::process::id(), self.network.as_raw_fd());
        let mut host = vec![
            format!(
                "link add {} type veth peer name eth0 netns {namespace}",
                plan.link
            ),
            format!("addr add {} dev {}", plan.host, plan.link),
            format!("link set {} up", plan.link),
        ];
        host.extend(
            plan.routes
                .iter()
                .map(|range| format!("route add {range} via {}", plan.via)),
        );
        // Named namespaces are looked up through the file system, which `ip -batch` shares with us.
        batch(&host).with_context(|| format!("cannot make the link {}", plan.link))?;
        if several {
            // Lets packets from this link through to other nodes. The machine's own forwarding stays as it is.
            write_setting(&format!("net/ipv4/conf/{}/forwarding", plan.link), "1")?;
        }
        let node = [
            format!("addr add {} dev eth0", plan.address),
            "link set eth0 up".to_owned(),
            format!("route add default via {}", plan.gateway),
            // A Service's address is replaced before the route is chosen, except in what the node itself sends.
            // What still has one then belongs to no Service: say so at once, instead of sending it round.
            format!("rule add priority 100 to {} iif lo lookup main", plan.services),
            format!("rule add priority 101 to {} unreachable", plan.services),
        ];
        self.within(|| {
            batch(&node).with_context(|| format!("cannot set the addresses of node {}", plan.index))
        })
    }
}

/// Runs on a thread of its own and gives its result.
fn on_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| join(scope.spawn(work)))
}

fn join<T>(handle: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle
        .join()
        .map_err(|_| anyhow!("a thread of the supervisor ended unexpectedly"))?
}

/// Covers the folders where container programs leave traces (sockets, caches, links to logs) with
/// file systems in memory, except for the clusters' own folder.
fn private_mounts() -> Result<()> {
    let nothing: Option<&str> = None;
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_SLAVE,
        nothing,
    )
    .context("cannot separate the node's mounts from the host's")?;
    in_memory("/run")?;
    in_memory("/var/log")?;
    let aside = "/run/clusters";
    make(aside)?;
    // With what is mounted in it: a node's volumes may be a file system of their own.
    let all = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(state::ROOT), aside, nothing, all, nothing)
        .with_context(|| format!("cannot bind {}", state::ROOT))?;
    in_memory("/var/lib")?;
    make(state::ROOT)?;
    mount(Some(aside), state::ROOT, nothing, all, nothing)
        .with_context(|| format!("cannot bind {}", state::ROOT))?;
    umount2(aside, MntFlags::MNT_DETACH).with_context(|| format!("cannot unmount {aside}"))?;
    for (index, (setting, value)) in KERNEL_SETTINGS.iter().enumerate() {
        if !Path::new(setting).exists() {
            continue;
        }
        let stand_in = format!("/run/kernel-setting-{index}");
        fs::write(&stand_in, format!("{value}\n")).with_context(|| format!("cannot write {stand_in}"))?;
        mount(
            Some(stand_in.as_str()),
            *setting,
            nothing,
            MsFlags::MS_BIND,
            nothing,
        )
        .with_context(|| format!("cannot cover {setting}"))?;
    }
    // The kubelet and containerd pass their mounts on to each other's children.
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_SHARED,
        nothing,
    )
    .context("cannot share the node's mounts among its processes")
}

fn in_memory(target: &str) -> Result<()> {
    mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=755"),
    )
    .with_context(|| format!("cannot mount a file system in memory on {target}"))
}

fn make(folder: &str) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {folder}"))
}

fn write_setting(name: &str, value: &str) -> Result<()> {
    let path = Path::new("/proc/sys").join(name);
    fs::write(&path, value).with_context(|| format!("cannot write {}", path.display()))
}

/// Runs several commands of `ip` at once.
fn batch(lines: &[String]) -> Result<()> {
    run(Command::new("ip").args(["-batch", "-"]), Some(&lines.join("\n")))
}

fn run(command: &mut Command, input: Option<&str>) -> Result<()> {
    let line = host::command::describe(command);
    let mut child = command
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(input.as_bytes())
            .with_context(|| format!("cannot write to `{line}`"))?;
    }
    let output = child
        .wait_with_output()
        .with_context(|| format!("cannot wait for `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}`: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
