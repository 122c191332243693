//! What a machine must have before anything is begun. Each message is one line: what is missing, and what to do.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{packages, workspace};

const FREE_DISK: u64 = 20 * 1024 * 1024 * 1024;

/// Checks everything that every command with a local cluster needs.
pub fn machine() -> Result<()> {
    root()?;
    go()?;
    builder()
}

/// Checks what compiling and building images needs.
pub fn builder() -> Result<()> {
    root()?;
    linker()?;
    for folder in [workspace::machine_state(), workspace::root()] {
        disk(&folder, free_disk(&folder)?)?;
    }
    Ok(())
}

/// Checks that the command may do what clusters need.
pub fn root() -> Result<()> {
    may(nix::unistd::geteuid().is_root())
}

fn may(is_root: bool) -> Result<()> {
    if !is_root {
        bail!(
            "root is needed, for network namespaces, mounts and Debian packages: \
             run the command as root, for example with `sudo -E env PATH=$PATH cargo xtask …`"
        );
    }
    Ok(())
}

fn go() -> Result<()> {
    let module = workspace::root().join("tools/local-cluster/programs/go.mod");
    let text = fs::read_to_string(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let wanted = text
        .lines()
        .find_map(|line| line.strip_prefix("go "))
        .unwrap_or_default();
    if packages::find("go").is_none() {
        bail!(
            "no Go compiler is on PATH, and the local cluster's Kubernetes is compiled: \
             install Go {wanted} or later and put its bin folder on PATH"
        );
    }
    let found = Command::new("go")
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .output();
    let found = found.context("cannot start go")?;
    let found = String::from_utf8_lossy(&found.stdout);
    let found = found.trim().trim_start_matches("go");
    if numbers(found) < numbers(wanted) {
        bail!("Go {found} is too old for tools/local-cluster/programs/go.mod: install Go {wanted} or later");
    }
    Ok(())
}

/// The numbers of a version: `1.26.4` or `1.26rc1`.
fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map(|part| part.chars().take_while(char::is_ascii_digit).collect::<String>())
        .map_while(|digits| digits.parse().ok())
        .collect()
}

fn linker() -> Result<()> {
    if packages::find("cc").is_none() {
        bail!(
            "no C linker (`cc`) is on PATH, and Rust needs one: install it with `apt-get install gcc libc6-dev`"
        );
    }
    Ok(())
}

/// The bytes that the file system of a folder takes, which may not be there yet.
pub fn free_disk(folder: &Path) -> Result<u64> {
    let existing = folder
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"));
    let found = nix::sys::statvfs::statvfs(existing)
        .with_context(|| format!("cannot ask for the free disk of {}", existing.display()))?;
    Ok(found.blocks_available() * found.fragment_size())
}

fn disk(folder: &Path, free: u64) -> Result<()> {
    if free < FREE_DISK {
        let gib = |bytes: u64| bytes / (1024 * 1024 * 1024);
        bail!(
            "{} has {} GiB of free disk, and {} are needed for what is compiled and the images: \
             free some, or `cargo xtask down --purge` if this is left from earlier versions",
            folder.display(),
            gib(free),
            gib(FREE_DISK)
        );
    }
    Ok(())
}

/// Checks that the port is free, or held by this forwarder; the flag chooses another one.
pub fn port(address: SocketAddr, forwarder: Option<i32>, flag: &str) -> Result<()> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let holder = holder(address.port());
            if holder.is_some() && holder == forwarder {
                return Ok(());
            }
            let who = holder.map_or_else(|| "a process that cannot be seen".to_owned(), describe);
            bail!(
                "port {} is taken by {who}: end it, or choose another port with `{flag}`",
                address.port()
            );
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}")),
    }
}

fn describe(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    let line: String = line.trim().chars().take(80).collect();
    format!("process {pid} (`{line}`)")
}

/// The process that listens on the port.
fn holder(port: u16) -> Option<i32> {
    let sockets: Vec<String> = ["tcp", "tcp6"]
        .iter()
        .filter_map(|file| fs::read_to_string(format!("/proc/net/{file}")).ok())
        .flat_map(|text| listening(&text, port))
        .collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(entry.path().join("fd"))
            .ok()?
            .flatten()
            .any(|descriptor| {
                fs::read_link(descriptor.path())
                    .is_ok_and(|target| sockets.iter().any(|socket| target == Path::new(socket)))
            });
        holds.then_some(pid)
    })
}

/// The sockets in `/proc/net/tcp` that listen on the port, as `/proc/PID/fd` names them.
fn listening(text: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    text.lines()
        .filter_map(|line| {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            let is_it = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == "0A";
            is_it
                .then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))
                .flatten()
        })
        .collect()
}

/// The address of this machine that leads to the environment.
#[must_use]
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_root_one_line_says_so() {
        let message = may(false).unwrap_err().to_string();
        assert!(message.contains("root") && !message.contains('\n'), "{message}");
        may(true).unwrap();
    }

    #[test]
    fn less_than_twenty_gib_is_too_little() {
        let message = disk(Path::new("/x"), FREE_DISK - 1).unwrap_err().to_string();
        assert!(message.contains("19 GiB") && message.contains("20"), "{message}");
        disk(Path::new("/x"), FREE_DISK).unwrap();
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(numbers("1.26.10") > numbers("1.26.4"));
        assert!(numbers("1.9") < numbers("1.26"));
        assert_eq!(numbers("1.27rc1"), [1, 27]);
    }

    #[test]
    fn a_listening_socket_is_found_by_its_port_alone() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0\n\
            1: 0100007F:0BB8 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4343 1 0 100 0 0 10 0\n";
        assert_eq!(listening(text, 3000), ["socket:[4242]"]);
        assert!(listening(text, 3001).is_empty());
    }

    #[test]
    fn a_taken_port_is_named_with_its_holder() {
        let listener = TcpListener::bind(local(0)).unwrap();
        let address = listener.local_addr().unwrap();
        let message = port(address, None, "--port").unwrap_err().to_string();
        assert!(
            message.contains(&format!("process {}", std::process::id())),
            "{message}"
        );
    }
}
