//! Where metrics are served, if anywhere.

use std::net::SocketAddr;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAddress {
    Off,
    At(SocketAddr),
}

impl FromStr for MetricsAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse()
            .map(Self::At)
            .map_err(|_| "expected an address and a port, such as 0.0.0.0:9090, or `off`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_address_or_off() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!("127.0.0.1:0".parse(), Ok(MetricsAddress::At(address)));
        assert_eq!("off".parse(), Ok(MetricsAddress::Off));
        for text in ["", "on", "9090", "localhost:9090", "0.0.0.0"] {
            assert!(text.parse::<MetricsAddress>().is_err(), "{text}");
        }
    }
}
