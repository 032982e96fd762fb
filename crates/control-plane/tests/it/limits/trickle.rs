//! A connection that is read one byte a second, into the smallest buffer that the system gives.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
    time::{Interval, interval},
};

pub(super) struct Trickle {
    stream: TcpStream,
    second: Interval,
}

impl Trickle {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // The system takes its own smallest size instead.
        socket.set_recv_buffer_size(1).unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], address.port()));
        Self { stream: socket.connect(loopback).await.unwrap(), second: interval(Duration::from_secs(1)) }
    }
}

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        ready!(self.stream.poll_read_ready(context))?;
        ready!(self.second.poll_tick(context));
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        // Ready and yet nothing there: the next byte has to wait for another second, which is slow too.
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut one))?;
        buffer.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Trickle {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
