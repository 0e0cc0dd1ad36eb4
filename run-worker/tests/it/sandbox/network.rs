//! S3: no socket reaches anything outside. The loopback is the command's own.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use run_worker::sandbox::{EndReason, Interpreter};

use super::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn s3_no_socket_leads_out() {
    let lab = Lab::open().await;
    let (tcp, name) = (TcpListener::bind("127.0.0.1:0").unwrap(), format!("capi-lab-{}", std::process::id()));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let abstract_socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let script = r#"
import socket, ctypes, os
def attempt(what, work):
    try: print(what, "REACHED", work())
    except OSError as error: print(what, "denied", error.errno)
def connect(family, kind, address):
    s = socket.socket(family, kind); s.settimeout(2); s.connect(address); return s
for what, address in [("metadata", ("169.254.169.254", 80)), ("host", ("127.0.0.1", PORT)),
                      ("postgres", ("127.0.0.1", 5432)), ("broker", ("127.0.0.1", 5672))]:
    attempt(what, lambda: connect(socket.AF_INET, socket.SOCK_STREAM, address))
attempt("udp", lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("8.8.8.8", 53)))
attempt("ipv6", lambda: connect(socket.AF_INET6, socket.SOCK_STREAM, ("::1", PORT)))
# It goes to the command's own loopback, where no program listens.
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", UDP))
attempt("dns", lambda: socket.getaddrinfo("example.com", 80))
attempt("ping", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1))
attempt("mptcp", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))
attempt("sctp", lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 132))
attempt("seqpacket", lambda: socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
attempt("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
attempt("abstract", lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0NAME"))
libc = ctypes.CDLL(None, use_errno=True)
for what, number in [("io_uring", 425), ("bpf", 321), ("userfaultfd", 323), ("perf", 298), ("keyctl", 250),
                     ("mount", 165), ("unshare", 272), ("setns", 308), ("ptrace", 101), ("memfd", 319),
                     ("shmget", 29), ("open_by_handle", 304), ("clone3", 435)]:
    ctypes.set_errno(0)
    result = libc.syscall(number, 0, 0, 0, 0, 0)
    print(what, "REACHED" if result >= 0 else "denied", ctypes.get_errno())
result = libc.syscall(41 + 0x40000000, 2, 1, 0)
print("x32", "REACHED" if result >= 0 else "denied", ctypes.get_errno())
a, b = socket.socketpair(); a.send(b"x"); print("between processes", b.recv(1))
"#;
    let port = |address: std::io::Result<std::net::SocketAddr>| address.unwrap().port().to_string();
    let script = script.replace("PORT", &port(tcp.local_addr())).replace("UDP", &port(udp.local_addr()));
    let script = script.replace("NAME", &name);
    let seen = lab.printed(Interpreter::Python, &script).await;
    assert!(!seen.contains("REACHED"), "{seen}");
    assert_eq!(seen.matches("denied").count(), 30, "{seen}");
    // There is no way to other machines, and nothing listens on the command's own loopback.
    for (what, error) in [("metadata", 101), ("udp", 101), ("host", 111), ("postgres", 111), ("ipv6", 111)] {
        assert!(seen.contains(&format!("{what} denied {error}\n")), "{what}: {seen}");
    }
    for what in ["ping", "mptcp", "sctp", "seqpacket", "raw", "packet", "netlink", "vsock"] {
        assert!(seen.contains(&format!("\n{what} denied 1\n")), "{what}: {seen}");
    }
    for call in ["io_uring", "bpf", "mount", "ptrace", "memfd", "x32"] {
        assert!(seen.contains(&format!("{call} denied 38\n")), "{call}: {seen}");
    }
    assert!(seen.contains("between processes b'x'"), "{seen}");
    tcp.set_nonblocking(true).unwrap();
    udp.set_nonblocking(true).unwrap();
    abstract_socket.set_nonblocking(true).unwrap();
    assert!(tcp.accept().is_err() && abstract_socket.accept().is_err(), "no connection arrived");
    assert!(udp.recv(&mut [0]).is_err(), "no datagram arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_can_start_a_server() {
    let lab = Lab::open().await;
    let script = r#"
import http.server, socket, threading, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"x" * 1_000_000)
    def log_message(self, *_): pass
class Server6(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6
for server, host in [(http.server.ThreadingHTTPServer, "127.0.0.1"), (Server6, "::1")]:
    server = server((host, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name = {"127.0.0.1": "localhost", "::1": "[::1]"}[host]
    for _ in range(50): read = urllib.request.urlopen(f"http://{name}:{server.server_port}/").read()
    print(host, len(read))
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); receiver.bind(("127.0.0.1", 0))
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"datagram", receiver.getsockname())
print(receiver.recv(100))
one = socket.socket()
one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
for level, option in [(0, 35), (6, 31), (1, 60), (17, 103)]:
    try: one.setsockopt(level, option, bytes(8)); print("REACHED")
    except OSError as error: print(error.errno, end=" ")
"#;
    let workspace = lab.workspace();
    let execution = lab.run(Lab::job(&workspace, Interpreter::Python, script)).await;
    let expected = "127.0.0.1 1000000\n::1 1000000\nb'datagram'\n92 92 92 92 ".to_owned();
    assert_eq!((execution.end, execution.output.shown("")), (EndReason::Exited(0), expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_each_command_has_its_own_loopback() {
    const PORT: u16 = 47_001;
    let lab = Lab::open().await;
    let (left, right) = (lab.workspace(), lab.workspace());
    let serves = format!(
        "import socket, time
server = socket.create_server(('127.0.0.1', {PORT}))
open('ready', 'w').close()
server.settimeout(3)
try: server.accept(); print('REACHED')
except TimeoutError: print('alone')"
    );
    let connects = format!(
        "import socket, time
for _ in range(20):
    time.sleep(0.1)
    try: socket.create_connection(('127.0.0.1', {PORT})); print('REACHED')
    except ConnectionRefusedError: pass
print('alone')"
    );
    let (left, right) = tokio::join!(
        lab.run(Lab::job(&left, Interpreter::Python, &serves)),
        lab.run(Lab::job(&right, Interpreter::Python, &connects)),
    );
    assert_eq!((left.output.shown(""), right.output.shown("")), ("alone\n".to_owned(), "alone\n".to_owned()));
}
