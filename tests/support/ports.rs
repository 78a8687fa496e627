//! Free loopback ports.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};
use tokio::net::TcpSocket;

// Below the range from which the kernel takes ports for outgoing connections, so that none of
// those can sit on a port between its choice here and the child's bind.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_999;

/// A TCP port on 127.0.0.1 that no other suite on this machine uses, until this is dropped.
///
/// The TCP port itself is left free for the child that shall bind it, again and again when it is
/// restarted. The claim is the UDP port of the same number, held by this process: the kernel
/// releases it however the process ends.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _claim: UdpSocket,
}

impl Port {
    /// Claims a free port.
    ///
    /// # Errors
    /// When every port of the range is taken.
    pub fn free() -> Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let span = LAST - FIRST + 1;
        // Processes start at different places to spare each other the search.
        let start = u16::try_from(std::process::id() % u32::from(span))?.wrapping_mul(7);
        for _ in 0..span {
            let step = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let number = FIRST + step % span;
            let address = (Ipv4Addr::LOCALHOST, number);
            if let Ok(claim) = UdpSocket::bind(address)
                && unbound(address.into()).is_ok()
            {
                return Ok(Self {
                    number,
                    _claim: claim,
                });
            }
        }
        bail!("no free port on 127.0.0.1 between {FIRST} and {LAST}")
    }

    /// The number alone.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:number`.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.number))
    }
}

// Never listens: a child that is forked in this moment has a copy of the socket until its program
// begins, and a copy that listened would keep the port from whom it is for.
fn unbound(address: SocketAddr) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    // A child that another suite starts holds copies of all that is open until it has become its program.
    #[test]
    fn a_port_can_be_bound_while_children_are_started() {
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Who sets PATH gets a fork, not the faster way that shows nothing.
                    let child = std::process::Command::new("true")
                        .env("PATH", "/bin")
                        .status();
                    assert!(child.unwrap().success());
                }
            });
            let refused: Vec<_> = (0..3000)
                .filter_map(|_| {
                    let port = Port::free().map_err(|e| e.to_string());
                    port.and_then(|p| TcpListener::bind(p.address()).map_err(|e| e.to_string()))
                        .err()
                })
                .collect();
            over.store(true, Ordering::Relaxed);
            assert!(refused.is_empty(), "{} of 3000: {refused:?}", refused.len());
        });
    }

    #[test]
    fn ports_in_use_are_not_given_twice_and_can_be_bound() {
        let ports: Vec<_> = (0..50).map(|_| Port::free().unwrap()).collect();
        let mut numbers: Vec<_> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
        for port in &ports {
            TcpListener::bind(port.address()).unwrap();
        }
    }
}
