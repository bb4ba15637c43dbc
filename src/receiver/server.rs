//! The HTTP side of the receiver: one address, every path, POST alone. Behind it stands whatever ends TLS.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode},
};
use futures_util::StreamExt as _;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tokio_util::sync::CancellationToken;

use super::{BODY_BYTES_MAX, Envelope, KeyRing, Refusal};
use crate::{
    domain::event::News,
    serving,
    store::{Store, StoreError, events::Taken},
};

/// How long a body may take to come.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// How long a push that is being taken may take at the end: its body, and a moment to keep it. WeChat repeats one that got no
/// answer.
const GRACE: Duration = Duration::from_secs(15);
/// A body that is too large is read on for so long, so that whoever sends it hears why it is refused.
const DRAINED_BYTES_MAX: usize = 16 << 20;
/// Pushes that are read and kept at once. WeChat sends a few a minute.
const AT_ONCE: usize = 64;
/// Refusals are logged at most this often, since anybody can send nonsense; and so are pushes that can not be kept, of which
/// each comes again and again while Postgres is away.
const LOGGED_EVERY: Duration = Duration::from_secs(10);

/// What takes pushes.
pub struct Receiver {
    /// Where events are kept.
    store: Store,
    /// The keys of each platform.
    keys: Arc<dyn KeyRing>,
    /// Whether plain JSON, which nobody signed, may be believed.
    plain_json: bool,
    /// Tells who works on events.
    noted: watch::Sender<()>,
    slots: Semaphore,
    refused: Said,
    not_kept: Said,
}

/// What happens often, counted, and said now and then.
#[derive(Default)]
struct Said {
    count: AtomicU64,
    at: Mutex<Option<Instant>>,
}

impl Said {
    /// Counts once more; `Some`: it is time to say it, and it was so often.
    fn again(&self) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut at = self.at.lock().expect("nobody panics while holding the instant");
        if at.is_some_and(|at| at.elapsed() < LOGGED_EVERY) {
            return None;
        }
        *at = Some(Instant::now());
        Some(count)
    }
}

/// How a push is answered.
enum Answer {
    /// WeChat is content.
    Success,
    /// What was sent is at fault.
    Refused(Refusal),
    /// We are: WeChat comes again.
    Away(StoreError),
    /// Too many at once: WeChat comes again.
    Busy,
}

impl Receiver {
    /// A receiver that keeps events in `store`, and changes `noted` when there is work to do.
    #[must_use]
    pub fn new(store: Store, keys: Arc<dyn KeyRing>, plain_json: bool, noted: watch::Sender<()>) -> Self {
        Self {
            store,
            keys,
            plain_json,
            noted,
            slots: Semaphore::new(AT_ONCE),
            refused: Said::default(),
            not_kept: Said::default(),
        }
    }

    /// Listens, and serves until `stop`; answers where it listens, and the work.
    ///
    /// # Errors
    /// The address can not be listened on.
    pub async fn serve(
        self,
        addr: SocketAddr,
        stop: CancellationToken,
    ) -> std::io::Result<(SocketAddr, impl Future<Output = ()>)> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        tracing::info!(%addr, "the receiver of authorization events listens");
        let service = Router::new().fallback(answer).with_state(Arc::new(self));
        Ok((addr, serving::serve(listener, service, stop, GRACE)))
    }

    async fn take(&self, request: Request) -> Answer {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = match tokio::time::timeout(BODY_PATIENCE, body(request)).await {
            Ok(Ok(body)) => body,
            Ok(Err(refusal)) => return Answer::Refused(refusal),
            Err(_) => return Answer::Refused(Refusal::TooSlow),
        };
        // After the body: whoever sends slowly holds up nobody.
        let Ok(_slot) = self.slots.try_acquire() else { return Answer::Busy };
        match self.keep(&query, &body).await {
            Ok(Ok(())) => Answer::Success,
            Ok(Err(refusal)) => Answer::Refused(refusal),
            Err(error) => Answer::Away(error),
        }
    }

    async fn keep(&self, query: &str, body: &[u8]) -> Result<Result<(), Refusal>, StoreError> {
        let envelope = match Envelope::read(body) {
            Ok(envelope) => envelope,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(recipient) = self.keys.recipient(envelope.component_appid()).await? else {
            return Ok(Err(Refusal::UnknownPlatform));
        };
        let received = match envelope.open(query, recipient.keys.as_ref(), self.plain_json, self.store.now()) {
            Ok(received) => received,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let event = &received.event;
        let taken =
            self.store.take_event(recipient.platform, event, received.mark.as_deref(), recipient.own_tokens).await?;
        if taken == Taken::Replayed {
            return Ok(Err(Refusal::Replayed));
        }
        let outcome = if taken == Taken::Kept { "kept" } else { "changes_nothing" };
        metrics::counter!("wxpatrol_pushes_total", "outcome" => outcome).increment(1);
        let (info_type, merchant) = (event.news.info_type(), event.news.merchant());
        match &event.news {
            News::Ticket(_) => tracing::debug!(created_at = %event.created_at, outcome, "a ticket came"),
            News::Authorized(_) | News::Unauthorized { .. } | News::Other { .. } => {
                tracing::info!(info_type, merchant.id = merchant, created_at = %event.created_at, outcome, "an event came");
            }
        }
        if taken == Taken::Kept && matches!(event.news, News::Authorized(_)) {
            self.noted.send_replace(());
        }
        Ok(Ok(()))
    }

    fn say_refused(&self, refusal: Refusal) {
        metrics::counter!("wxpatrol_pushes_total", "outcome" => refusal.word()).increment(1);
        if let Some(refused) = self.refused.again() {
            tracing::warn!(%refusal, refused_so_far = refused, "a push to the event URL was refused");
        }
    }

    fn say_not_kept(&self, error: &StoreError) {
        metrics::counter!("wxpatrol_pushes_total", "outcome" => "database_away").increment(1);
        if let Some(not_kept) = self.not_kept.again() {
            tracing::warn!(%error, not_kept_so_far = not_kept, "a push could not be kept; WeChat repeats it");
        }
    }
}

async fn answer(State(receiver): State<Arc<Receiver>>, request: Request) -> (StatusCode, String) {
    if request.method() != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, "WeChat posts here\n".to_owned());
    }
    match receiver.take(request).await {
        Answer::Success => (StatusCode::OK, "success".to_owned()),
        Answer::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too many pushes at once: come again\n".to_owned()),
        Answer::Refused(refusal) => {
            receiver.say_refused(refusal);
            (StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST), format!("refused: {refusal}\n"))
        }
        Answer::Away(error) => {
            receiver.say_not_kept(&error);
            (StatusCode::SERVICE_UNAVAILABLE, "the database is away: come again\n".to_owned())
        }
    }
}

/// The body, at most [`BODY_BYTES_MAX`] of it.
async fn body(request: Request) -> Result<Vec<u8>, Refusal> {
    let mut stream = request.into_body().into_data_stream();
    let mut body = Vec::new();
    let mut came = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Refusal::Malformed("the body broke off"))?;
        came += chunk.len();
        if came > DRAINED_BYTES_MAX {
            break;
        }
        if came <= BODY_BYTES_MAX {
            body.extend_from_slice(&chunk);
        }
    }
    if came > BODY_BYTES_MAX { Err(Refusal::TooLarge) } else { Ok(body) }
}
