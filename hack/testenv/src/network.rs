//! The network of the nodes of [`Raft`](crate::Raft): a way to each of them for the others, and a load balancer for
//! clients. A node can be cut off. All threads end with the process.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Between two looks whether bytes may pass again.
const HELD_PAUSE: Duration = Duration::from_millis(50);
/// So often it is looked for the node that has made a connection.
const LOOKS: usize = 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What may pass, and where clients are led.
#[derive(Debug)]
pub(crate) struct Network {
    /// Files with the process ID of each node.
    pid_files: Vec<PathBuf>,
    cut_off: Mutex<Option<usize>>,
    balanced: Mutex<Balanced>,
}

#[derive(Debug, Default)]
struct Balanced {
    /// The nodes that new connections lead to, the next one first.
    nodes: Vec<usize>,
    open: Vec<TcpStream>,
}

impl Network {
    pub(crate) fn new(pid_files: Vec<PathBuf>) -> Self {
        let nodes = (0..pid_files.len()).collect();
        let balanced = Mutex::new(Balanced { nodes, open: Vec::new() });
        Self { pid_files, cut_off: Mutex::default(), balanced }
    }

    /// Opens a port by which other nodes reach the port of a node.
    pub(crate) fn way_to(self: &Arc<Self>, node: usize, port: u16) -> Result<u16> {
        let network = self.clone();
        listen(move |client| {
            let network = network.clone();
            thread::spawn(move || {
                // The kernel's table may miss a socket while others come and go. A node whose connection is dropped
                // makes another.
                let Some(from) = (0..LOOKS).find_map(|_| network.node_behind(&client)) else { return };
                let passes = move || network.passes(from, node);
                while !passes() {
                    thread::sleep(HELD_PAUSE);
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
                join(client, server, passes);
            });
        })
    }

    /// Opens a port by which clients reach the nodes at these addresses, one after the other.
    pub(crate) fn balance(self: &Arc<Self>, addresses: Vec<String>) -> Result<u16> {
        let network = self.clone();
        listen(move |client| {
            let Some(server) = network.next_node(&addresses) else { return };
            let mut balanced = lock(&network.balanced);
            balanced.open.extend([&client, &server].into_iter().filter_map(|stream| stream.try_clone().ok()));
            drop(balanced);
            thread::spawn(move || join(client, server, || true));
        })
    }

    /// Opens a port that leads to the one of these addresses that `is_active`, or to the first one if none is.
    pub(crate) fn follow(addresses: Vec<String>, is_active: fn(&str) -> bool) -> Result<u16> {
        listen(move |client| {
            let active = addresses.iter().find(|address| is_active(address)).or(addresses.first());
            if let Some(server) = active.and_then(|address| TcpStream::connect(address).ok()) {
                thread::spawn(move || join(client, server, || true));
            }
        })
    }

    pub(crate) fn lead_clients_to(&self, nodes: &[usize]) {
        lock(&self.balanced).nodes = nodes.to_vec();
    }

    pub(crate) fn end_connections_of_clients(&self) {
        // One that has ended already cannot be ended.
        lock(&self.balanced).open.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    pub(crate) fn cut_off(&self, node: Option<usize>) {
        *lock(&self.cut_off) = node;
    }

    /// A connection to the node whose turn it is, or to the next one that accepts it.
    fn next_node(&self, addresses: &[String]) -> Option<TcpStream> {
        let turns = lock(&self.balanced).nodes.len();
        (0..turns).find_map(|_| {
            let mut balanced = lock(&self.balanced);
            balanced.nodes.rotate_left(1);
            let address: SocketAddr = addresses[*balanced.nodes.last()?].parse().ok()?;
            drop(balanced);
            TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).ok()
        })
    }

    /// Whether bytes pass between two nodes.
    fn passes(&self, from: usize, to: usize) -> bool {
        lock(&self.cut_off).is_none_or(|node| from != node && to != node)
    }

    /// The node that has made a connection.
    fn node_behind(&self, client: &TcpStream) -> Option<usize> {
        let inode = inode_of(client.peer_addr().ok()?.port())?;
        self.pid_files.iter().position(|file| {
            let pid = fs::read_to_string(file).unwrap_or_default();
            has_socket(&Path::new("/proc").join(pid.trim()), &inode)
        })
    }
}

/// The inode of the socket that is connected from a port of loopback (`/proc/net/tcp`: the address in hexadecimal
/// digits).
fn inode_of(port: u16) -> Option<String> {
    let local = format!("0100007F:{port:04X}");
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let mut lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    lines.find_map(|line| {
        let fields = fields(line);
        fields.get(1)?.ends_with(&local).then(|| fields.get(9).cloned())?
    })
}

/// Whether a process has the socket with this inode.
fn has_socket(process: &Path, inode: &str) -> bool {
    let name = format!("socket:[{inode}]");
    let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.as_os_str() == name.as_str())
}

/// Calls `serve` with each connection to a port, which is returned.
fn listen(serve: impl Fn(TcpStream) + Send + 'static) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("a port on loopback")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || listener.incoming().flatten().for_each(serve));
    Ok(port)
}

/// Copies bytes both ways, and holds them while they may not pass.
fn join(client: TcpStream, server: TcpStream, passes: impl Fn() -> bool + Clone + Send + 'static) {
    let (Ok(from_server), Ok(to_client)) = (server.try_clone(), client.try_clone()) else { return };
    let passes_back = passes.clone();
    thread::spawn(move || copy(from_server, to_client, passes_back));
    copy(client, server, passes);
}

fn copy(mut from: TcpStream, mut to: TcpStream, passes: impl Fn() -> bool) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes);
        while !passes() {
            thread::sleep(HELD_PAUSE);
        }
        match read {
            Ok(count) if count > 0 && to.write_all(&bytes[..count]).is_ok() => {}
            Ok(0) => break drop(to.shutdown(Shutdown::Write)),
            _ => break drop(to.shutdown(Shutdown::Both)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
