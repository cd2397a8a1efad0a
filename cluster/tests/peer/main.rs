//! Calls between nodes over real sockets of this machine: what two nodes promise each other, and what
//! strangers and broken nodes cannot do.

mod support;

mod raw;

mod handshake;

mod calls;

mod bounds;

mod reset;

mod drain;

mod garbage;
