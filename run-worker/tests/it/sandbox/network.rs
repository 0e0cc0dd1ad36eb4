//! S3: no socket reaches anything outside.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use run_worker::sandbox::Interpreter;

use super::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn s3_no_socket_leads_out() {
    let lab = Lab::open().await;
    let (tcp, name) = (TcpListener::bind("127.0.0.1:0").unwrap(), format!("capi-lab-{}", std::process::id()));
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
attempt("dns", lambda: socket.getaddrinfo("example.com", 80))
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
    let script = script.replace("PORT", &tcp.local_addr().unwrap().port().to_string()).replace("NAME", &name);
    let seen = lab.printed(Interpreter::Python, &script).await;
    assert!(!seen.contains("REACHED"), "{seen}");
    assert_eq!(seen.matches("denied").count(), 26, "{seen}");
    assert!(seen.contains("host denied 1\n"), "{seen}");
    for call in ["io_uring", "bpf", "mount", "ptrace", "memfd", "x32"] {
        assert!(seen.contains(&format!("{call} denied 38\n")), "{call}: {seen}");
    }
    assert!(seen.contains("between processes b'x'"), "{seen}");
    tcp.set_nonblocking(true).unwrap();
    abstract_socket.set_nonblocking(true).unwrap();
    assert!(tcp.accept().is_err() && abstract_socket.accept().is_err(), "no connection arrived");
}
