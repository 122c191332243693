//! A Service as its callers find it.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::http::Client;
use crate::kubectl::Kubectl;
use crate::wait::{Look, until};

/// For the slowest proxy to learn of a Service, and for one attempt to connect.
const KNOWN: Duration = Duration::from_secs(30);
const ATTEMPT: Duration = Duration::from_secs(2);

/// A client of a Service's address, as [`address`] has it.
pub fn client(kubectl: &Kubectl, service: &str) -> Result<Client> {
    Ok(Client::new(format!("http://{}", address(kubectl, service)?)))
}

/// The address of a Service, once it takes connections: the nodes' proxies learn of its pods a moment after these are
/// ready, and no object says when.
pub fn address(kubectl: &Kubectl, service: &str) -> Result<SocketAddr> {
    address_of_port(kubectl, service, 80)
}

/// As [`address`], of a Service with another port.
pub fn address_of_port(kubectl: &Kubectl, service: &str, port: u16) -> Result<SocketAddr> {
    let object = kubectl
        .get("service", service)?
        .with_context(|| format!("Service {service} does not exist"))?;
    let address: IpAddr = object["spec"]["clusterIP"]
        .as_str()
        .context("a Service without clusterIP")?
        .parse()
        .with_context(|| format!("the address of Service {service}"))?;
    let address = SocketAddr::new(address, port);
    until(format_args!("Service {service} takes connections"), KNOWN, || {
        Ok(match TcpStream::connect_timeout(&address, ATTEMPT) {
            Ok(_) => Look::Holds(address),
            Err(error) => Look::NotYet(error.to_string()),
        })
    })
}
