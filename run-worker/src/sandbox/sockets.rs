//! The sockets of a command, and the memory that they hold where no process shows it.
//!
//! A Unix or UDP socket holds at most the kernel's usual buffer, because a command cannot ask for a larger
//! one (`syscalls`). A TCP socket gets up to 4 MB to send and 32 MB to receive by itself. The kernel shows
//! the bytes of its queues, but not the memory: queues of 930 KB took 880 MB, one byte in each buffer. It
//! counts the memory (less at most 1 MB for each processor), but for all sockets of the machine together. So
//! the smaller of two bounds counts: what the command's queues could hold at most, and what the machine's TCP
//! holds.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Bytes that a Unix or UDP socket holds, where the kernel does not say it.
const USUAL_SOCKET: u64 = 212_992;
/// Bytes that a TCP socket sends and receives at most, where the kernel does not say it.
const USUAL_TCP: u64 = 36 << 20;
/// A buffer needs this much memory even for one byte.
const BUFFER: u64 = 2 << 10;
/// The kernel remembers a closed connection for a minute, with its port.
const TIME_WAIT: u64 = 512;
/// Of a list of TCP sockets: 7000 lines.
const MAX_LIST: u64 = 1 << 20;
const PAGE: u64 = 4096;
/// The kernel slows all TCP of the machine down once it holds a certain size (`tcp_mem`). A command whose
/// sockets hold half of that counts as if it had this many more sockets: all that a command can have.
const SOCKETS_OF_THE_HALF: u64 = 512;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sockets {
    pub(super) count: u64,
    /// Bytes, if all Unix and UDP sockets are full.
    pub(super) memory: u64,
}

/// The sockets of the process's network namespace, of all kinds. A sandbox has its own namespace.
pub(super) fn sockets_of(pid: u32) -> Option<Sockets> {
    let net = format!("/proc/{pid}/net");
    let net = Path::new(&net);
    let counts = Counts::read(&fs::read_to_string(net.join("sockstat")).ok()?)?;
    let of_ipv6 = fs::read_to_string(net.join("sockstat6")).unwrap_or_default();
    let udp = counts.udp + field(&of_ipv6, "UDP6:", "inuse").unwrap_or_default();
    let has_tcp = counts.tcp + field(&of_ipv6, "TCP6:", "inuse").unwrap_or_default() > 0;
    let tcp = if has_tcp {
        let own: u64 = ["tcp", "tcp6"].into_iter().map(|name| most_in(&net.join(name))).sum();
        own.min(counts.of_tcp())
    } else {
        0
    };
    // A UDP socket holds what it sends and what it received.
    let buffers = (counts.all + udp) * usual_socket();
    Some(Sockets {
        count: counts.all + tcp / tcp_of_a_socket(),
        memory: buffers + tcp + counts.time_wait * TIME_WAIT,
    })
}

/// /proc/net/sockstat.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    all: u64,
    /// IPv4 only.
    udp: u64,
    /// IPv4 only.
    tcp: u64,
    time_wait: u64,
    /// Of all TCP sockets of the machine.
    tcp_pages: u64,
}

impl Counts {
    fn read(text: &str) -> Option<Self> {
        Some(Self {
            all: field(text, "sockets:", "used")?,
            udp: field(text, "UDP:", "inuse").unwrap_or_default(),
            tcp: field(text, "TCP:", "inuse").unwrap_or_default(),
            time_wait: field(text, "TCP:", "tw").unwrap_or_default(),
            tcp_pages: field(text, "TCP:", "mem").unwrap_or(u64::MAX),
        })
    }

    /// Bytes of all TCP sockets of the machine. The kernel counts what it asks for. Its allocator rounds up:
    /// 672 MB of small buffers took 884 MB.
    const fn of_tcp(&self) -> u64 {
        self.tcp_pages.saturating_mul(PAGE).saturating_mul(4) / 3
    }
}

/// `LINE: NAME VALUE NAME VALUE…`
fn field(text: &str, line: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|found| found.strip_prefix(line))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == name)?;
    words.next()?.parse().ok()
}

/// What the queues of a list of TCP sockets hold at most.
fn most_in(list: &Path) -> u64 {
    let mut text = Vec::new();
    // Without IPv6 there is no list.
    let Ok(read) = File::open(list).and_then(|list| list.take(MAX_LIST).read_to_end(&mut text)) else {
        return 0;
    };
    if read as u64 == MAX_LIST {
        // A list that is not read to its end may hold anything.
        return u64::MAX / 4;
    }
    let most = most_of_a_tcp_socket();
    let text = String::from_utf8_lossy(&text);
    let queues = text.lines().skip(1).filter_map(queued);
    queues.map(|bytes| bytes.saturating_mul(BUFFER).min(most)).sum()
}

/// `N: ADDRESS ADDRESS STATE SEND:RECEIVE …`, in hexadecimal: the bytes in both queues. The queue of a server
/// holds connections instead, which are sockets of their own.
fn queued(line: &str) -> Option<u64> {
    const LISTENS: &str = "0A";
    let mut words = line.split_ascii_whitespace().skip(3);
    let (state, queues) = (words.next()?, words.next()?);
    let (send, receive) = queues.split_once(':')?;
    let bytes = |text| u64::from_str_radix(text, 16).ok();
    if state == LISTENS { None } else { Some(bytes(send)? + bytes(receive)?) }
}

/// The buffer that the kernel gives a Unix or UDP socket.
fn usual_socket() -> u64 {
    let usual = |name: &str| numbers(&format!("/proc/sys/net/core/{name}")).first().copied();
    ["wmem_default", "rmem_default"].into_iter().filter_map(usual).max().unwrap_or(USUAL_SOCKET)
}

/// The largest buffers that the kernel gives a TCP socket. A worker in a container reads the container's
/// values, and the sandbox has the machine's.
fn most_of_a_tcp_socket() -> u64 {
    let largest = |name: &str| numbers(&format!("/proc/sys/net/ipv4/{name}")).last().copied();
    let both = largest("tcp_wmem").zip(largest("tcp_rmem"));
    both.map_or(USUAL_TCP, |(send, receive)| USUAL_TCP.max(send + receive))
}

/// Data in TCP that counts as one socket.
fn tcp_of_a_socket() -> u64 {
    let pressure = numbers("/proc/sys/net/ipv4/tcp_mem").get(1).map(|pages| pages.saturating_mul(PAGE));
    (pressure.unwrap_or(u64::MAX) / 2 / SOCKETS_OF_THE_HALF).max(1)
}

fn numbers(path: &str) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const SOCKSTAT: &str = "sockets: used 201\nTCP: inuse 201 orphan 0 tw 7 alloc 202 mem 194536\n\
        UDP: inuse 3 mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n";

    #[test]
    fn the_counts_of_a_namespace_are_read() {
        let expected = Counts { all: 201, udp: 3, tcp: 201, time_wait: 7, tcp_pages: 194_536 };
        assert_eq!(Counts::read(SOCKSTAT), Some(expected));
        assert_eq!(Counts::read(SOCKSTAT).unwrap().of_tcp(), 1_062_425_941);
        assert_eq!(Counts::read("TCP: inuse 1\n"), None);
        assert_eq!(field("TCP6: inuse 5\nUDP6: inuse 2\n", "UDP6:", "inuse"), Some(2));
    }

    #[test]
    fn the_queues_of_a_connection_count_and_those_of_a_server_do_not() {
        let line =
            |state| format!("   1: 0100007F:9C40 0100007F:1F90 {state} 00000010:00000001 01:00000000 0 0");
        assert_eq!(queued(&line("01")), Some(17));
        assert_eq!(queued(&line("0A")), None);
        assert_eq!(queued("sl local_address"), None);
    }

    #[test]
    fn a_full_connection_is_measured() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let _accepted = server.accept().unwrap();
        client.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(bytes) = client.write(&vec![0; 1 << 16]) {
            sent += bytes as u64;
        }
        let found = sockets_of(std::process::id()).unwrap();
        assert!(sent > 1 << 16 && found.memory > sent / 2, "{sent} {found:?}");
        assert!(found.count >= 3, "{found:?}");
    }
}
