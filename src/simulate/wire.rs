//! From a connection to an answer: the listener whose connections can be cut, and the handler that counts, asks the
//! script, answers and spoils the answer where the script says so.
//!
//! A call counts as arrived before its body is read, unless only the body says which platform it is of. Nothing is logged for a call.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, header};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::answer::{Call, answer};
use super::control;
use super::endpoint::Endpoint;
use super::gauge::Gauge;
use super::oddity::Oddity;
use super::platforms::Platforms;
use super::spoil::{Spoilt, echo_body, error_body, spoil};
use super::world::World;

pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

/// Accepts connections and gives each its scissors.
pub(super) struct Gate(pub TcpListener);

/// Cuts the connection at its next write, before any byte of the answer.
#[derive(Clone)]
pub(super) struct Scissors(Arc<AtomicBool>);

/// A connection that can be cut.
pub(super) struct Wire {
    stream: TcpStream,
    cut: Arc<AtomicBool>,
}

impl Listener for Gate {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, addr)) => {
                    // Answers are small and whole; waiting to fill a packet only adds latency.
                    let _ = stream.set_nodelay(true);
                    return (Wire { stream, cut: Arc::default() }, addr);
                }
                // Out of descriptors, or the caller is gone already: give the system a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Gate>> for Scissors {
    fn connect_info(stream: IncomingStream<'_, Gate>) -> Self {
        Self(Arc::clone(&stream.io().cut))
    }
}

impl Wire {
    fn check(&self) -> std::io::Result<()> {
        if self.cut.load(Ordering::Acquire) {
            // Without lingering the close that follows is a reset.
            let _ = self.stream.set_zero_linger();
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Counts a call as in flight until it is dropped, also when the caller goes away.
struct InFlight<'a>(&'a World);

impl<'a> InFlight<'a> {
    fn enter(world: &'a World) -> Self {
        let now = world.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        world.in_flight_max.fetch_max(now, Ordering::Relaxed);
        Self(world)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers one HTTP request.
pub(super) async fn respond(
    State(platforms): State<Arc<Platforms>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if let Some(control_path) = path.strip_prefix("/_sim/") {
        let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
        return control::respond(&platforms, &parts.method, control_path, parts.uri.query().unwrap_or(""), &body).await;
    }
    let Some(endpoint) = Endpoint::from_path(path) else {
        return json(error_body(&platforms.first, 40066));
    };
    let query = parts.uri.query().unwrap_or("");
    let (world, body) = platforms.called(endpoint, query, body).await;
    let admitted = world.gauge(endpoint).arrive(world.start);
    let _in_flight = InFlight::enter(world);
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        world.gauge(endpoint).unreadable();
        return scissors.cut();
    };
    let call = Call::read(world, endpoint, parts.method == Method::POST, query, &body);
    let spoilt = if admitted { heed(world, &call) } else { Answered::plain(45011, error_body(world, 45011)) };

    let latency = Duration::from_micros(world.latency_micros.load(Ordering::Relaxed)) + spoilt.delay;
    let mut waiting = Abandoned(Some(world.gauge(endpoint)));
    if !latency.is_zero() && stopped_within(world, latency).await {
        return scissors.cut();
    }
    waiting.0 = None;
    match (spoilt.errcode, spoilt.subject) {
        (Some(errcode), subject) => {
            world.gauge(endpoint).answered(errcode);
            if let Some(place) = subject.filter(|_| errcode == 0) {
                world.merchant(place).answered_well |= endpoint.bit();
            }
        }
        (None, _) => world.gauge(endpoint).unreadable(),
    }
    match spoilt.answer {
        Spoilt::Response(response) => response,
        Spoilt::Cut => scissors.cut(),
        Spoilt::Never => {
            world.stopping.cancelled().await;
            scissors.cut()
        }
    }
}

/// A call whose caller goes away before its answer is counted as one without a readable answer.
struct Abandoned<'a>(Option<&'a Gauge>);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(gauge) = self.0 {
            gauge.unreadable();
        }
    }
}

/// What a call is answered, and how it is counted.
struct Answered {
    /// `None`: no careful reader can read it.
    errcode: Option<i64>,
    subject: Option<u32>,
    delay: Duration,
    answer: Spoilt,
}

impl Answered {
    fn plain(errcode: i64, body: String) -> Self {
        Self { errcode: Some(errcode), subject: None, delay: Duration::ZERO, answer: Spoilt::Response(json(body)) }
    }
}

/// Asks the script, lets the call have its effect, and spoils the answer.
fn heed(world: &World, call: &Call<'_>) -> Answered {
    let subject = call.subject(world);
    let (oddity, unheard) = match world.script.next(subject, call.endpoint) {
        Some((oddity, unheard)) => (Some(oddity), unheard),
        None => (by_nature(world, call, subject), false),
    };
    let ordinary = match oddity {
        Some(Oddity::Errcode(errcode) | Oddity::Echo(errcode)) => Err(errcode),
        Some(_) if unheard => Err(-1),
        _ => answer(world, call),
    };
    let (errcode, body) = match ordinary {
        Ok(body) => (0, body),
        Err(errcode) => (errcode, error_body(world, errcode)),
    };
    let Some(oddity) = oddity else {
        return Answered { subject, ..Answered::plain(errcode, body) };
    };
    let body = match oddity {
        Oddity::Echo(errcode) => echo_body(world, errcode, &call.repeated()),
        Oddity::EchoPage(_) => call.repeated(),
        _ => body,
    };
    let readable = oddity.readable() || matches!(oddity, Oddity::Errcode(_) | Oddity::Echo(_));
    let delay = match oddity {
        Oddity::DelayMs(ms) => Duration::from_millis(ms),
        _ => Duration::ZERO,
    };
    Answered {
        errcode: readable.then_some(errcode),
        subject,
        delay,
        answer: spoil(&world.plan.component_appid, oddity, errcode, body),
    }
}

fn by_nature(world: &World, call: &Call<'_>, subject: Option<u32>) -> Option<Oddity> {
    let place = subject.filter(|_| world.plan.quirks)?;
    let messages = call.messages();
    let first = {
        let mut merchant = world.merchant(place);
        let called = if messages { &mut merchant.called_to_message } else { &mut merchant.called };
        let first = *called & call.endpoint.bit() == 0;
        *called |= call.endpoint.bit();
        first
    };
    Oddity::by_nature(&world.plan, place, call.endpoint, messages, first)
}

/// True: the server is stopping, do not answer.
async fn stopped_within(world: &World, wait: Duration) -> bool {
    tokio::time::timeout(wait, world.stopping.cancelled()).await.is_ok()
}

impl Scissors {
    /// The response is never seen: writing it is what cuts the connection.
    fn cut(&self) -> Response {
        self.0.store(true, Ordering::Release);
        Response::new(Body::empty())
    }
}

/// HTTP 200 with the content type that WeChat sends.
pub(super) fn json(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let kind = header::HeaderValue::from_static("application/json; encoding=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
