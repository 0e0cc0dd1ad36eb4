//! Names whose addresses change or are mixed. 127.0.0.2 stands for the outside, and 127.0.0.1 is inside.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::{Message, OpCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use public_client::{PublicClient, Surroundings};
use shared::net::failure::RequestFailure;
use shared::net::ip_policy::IpPolicy;
use shared::testing::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::{LIMITS, get};

/// Answers the queries of a name with each of its lists of addresses in turn; the last one stays.
async fn name_server(answers: &'static [(&'static str, &'static [&'static [&'static str]])]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked: Vec<AtomicUsize> = answers.iter().map(|_| AtomicUsize::new(0)).collect();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let question = query.queries[0].clone();
            let mut answer = Message::response(query.metadata.id, OpCode::Query);
            answer.add_query(question.clone());
            let name = question.name().to_string();
            let known = answers.iter().position(|(known, _)| format!("{known}.") == name);
            // AAAA queries get an empty answer, and do not count.
            if let Some(index) = known.filter(|_| question.query_type() == RecordType::A) {
                let turn = asked[index].fetch_add(1, Ordering::SeqCst);
                let lists = answers[index].1;
                for text in lists[turn.min(lists.len() - 1)] {
                    let IpAddr::V4(ip) = text.parse().unwrap() else { panic!("{text}") };
                    answer.add_answer(Record::from_rdata(question.name().clone(), 0, RData::A(ip.into())));
                }
            }
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

/// Two listeners on one port: outside and inside.
async fn bound() -> (u16, [TcpListener; 2]) {
    for _ in 0..100 {
        let outside = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = outside.local_addr().unwrap().port();
        // Another process may have the port on this address.
        if let Ok(inside) = TcpListener::bind(("127.0.0.1", port)).await {
            return (port, [outside, inside]);
        }
    }
    panic!("no port is free on both addresses")
}

/// The port of two listeners that count their connections: outside and inside.
async fn listeners() -> (u16, [Arc<AtomicUsize>; 2]) {
    let counts = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let (port, both) = bound().await;
    for (listener, count) in both.into_iter().zip(counts.clone()) {
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        });
    }
    (port, counts)
}

#[tokio::test]
async fn rebinding_and_mixed_answers_reach_nothing_inside() {
    let names = name_server(&[
        ("rebinds.test", &[&["127.0.0.2"], &["127.0.0.1"]]),
        ("mixed.test", &[&["8.8.8.8", "127.0.0.1"]]),
        ("opened.test", &[&["127.0.0.1", "127.0.0.2"]]),
        ("inside.test", &[&["127.0.0.1", "169.254.169.254"]]),
        ("empty.test", &[&[]]),
    ])
    .await;
    let (port, [outside, inside]) = listeners().await;
    let policy = IpPolicy::new(vec!["127.0.0.2/32".parse().unwrap()]);
    let tls = shared::tls::client_config().unwrap();
    let surroundings = Surroundings { tls, name_server: Some(names) };
    let client = PublicClient::within("test/1", policy, LIMITS, surroundings).unwrap();
    let ask = async |name: &str| match get(&client, &format!("http://{name}:{port}/")).await {
        Ok(response) => Ok(response.status()),
        Err(failure) => Err(failure),
    };
    assert_eq!(ask("rebinds.test").await, Ok(204));
    assert_eq!(ask("rebinds.test").await, Err(RequestFailure::AddressNotAllowed), "its second address");
    assert_eq!(ask("mixed.test").await, Err(RequestFailure::AddressesMixed));
    assert_eq!(ask("opened.test").await, Ok(204), "the operator opened the network of the other address");
    assert_eq!(ask("inside.test").await, Err(RequestFailure::AddressNotAllowed));
    assert_eq!(ask("empty.test").await, Err(RequestFailure::DnsFailed));
    assert_eq!(ask("unknown.test").await, Err(RequestFailure::DnsFailed));
    let both = || (outside.load(Ordering::SeqCst), inside.load(Ordering::SeqCst));
    eventually("both requests are counted", async || (both().0 == 2).then_some(())).await;
    assert_eq!(both(), (2, 0));
}
