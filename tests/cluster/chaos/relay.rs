//! A port of one network that leads to the same port of another, and can be held: then bytes wait in
//! the middle of the way, as on a broken line, and arrive when it is whole again.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::network::Namespace;
use crate::support::LOOK_EVERY;

/// How long nobody is let in after the far side did not take a connection.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// The way; it ends with this.
pub struct Relay {
    line: Arc<Line>,
}

/// What all connections share.
#[derive(Default)]
struct Line {
    requests_held: AtomicBool,
    answers_held: AtomicBool,
    ended: AtomicBool,
    /// Both ends of each connection.
    open: Mutex<Vec<Arc<[TcpStream; 2]>>>,
}

impl Relay {
    /// Lets what runs in `at` reach a port of `to` on its own loopback.
    pub fn start(at: &Namespace, to: &Namespace, port: u16) -> Relay {
        let listener = at.within(|| TcpListener::bind(("127.0.0.1", port)));
        let listener = listener.unwrap();
        listener.set_nonblocking(true).unwrap();
        let line = Arc::new(Line::default());
        let accepting = line.clone();
        to.within(|| thread::spawn(move || accepting.accept(&listener, port)));
        Relay { line }
    }

    /// From now on requests, answers or both wait, or go on.
    pub fn hold(&self, requests: bool, answers: bool) {
        self.line.requests_held.store(requests, Ordering::SeqCst);
        self.line.answers_held.store(answers, Ordering::SeqCst);
    }

    /// Breaks all connections off.
    pub fn reset(&self) {
        self.line.reset();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.line.ended.store(true, Ordering::SeqCst);
        self.line.reset();
    }
}

impl Line {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn reset(&self) {
        for ends in self.open.lock().unwrap().drain(..) {
            close(&ends);
        }
    }

    fn accept(self: Arc<Line>, listener: &TcpListener, port: u16) {
        while !self.has_ended() {
            match listener.accept() {
                Ok((near, _)) => {
                    let line = self.clone();
                    thread::spawn(move || line.carry(near, port));
                }
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Carries the bytes of one connection, both ways.
    fn carry(self: Arc<Line>, near: TcpStream, port: u16) {
        self.wait(&self.requests_held);
        let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else {
            return thread::sleep(REFUSED_PAUSE);
        };
        near.set_nonblocking(false).unwrap();
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let ends = Arc::new([near, far]);
        self.open.lock().unwrap().push(ends.clone());
        if self.has_ended() {
            close(&ends);
        }
        thread::scope(|scope| {
            scope.spawn(|| self.pump(&ends[0], &ends[1], &self.requests_held));
            self.pump(&ends[1], &ends[0], &self.answers_held);
        });
        let mut open = self.open.lock().unwrap();
        open.retain(|other| !Arc::ptr_eq(other, &ends));
    }

    fn pump(&self, mut from: &TcpStream, mut to: &TcpStream, held: &AtomicBool) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            self.wait(held);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // The other side hears of the end no sooner than of the bytes before it.
        self.wait(held);
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    fn wait(&self, held: &AtomicBool) {
        while held.load(Ordering::SeqCst) && !self.has_ended() {
            thread::sleep(LOOK_EVERY);
        }
    }
}

fn close(ends: &[TcpStream; 2]) {
    for end in ends {
        let _ = end.shutdown(Shutdown::Both);
    }
}
