//! The platforms of one simulation: each a [`World`] of its own, and which of them a call belongs to.
//!
//! With one platform every call is its own. With several a call's token says whose it is, and a call that needs no token
//! names its platform in the body.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::answer;
use super::endpoint::{Endpoint, Wants};
use super::merchant::Mark;
use super::plan::Plan;
use super::wire::BODY_BYTES_MAX;
use super::world::World;

/// Every platform of a simulation, in the order of their plans; at least one.
pub(super) struct Platforms {
    pub first: Arc<World>,
    others: Vec<Arc<World>>,
}

#[derive(Deserialize)]
struct Named {
    component_appid: String,
}

impl Platforms {
    pub(super) fn new(first: Plan, others: Vec<Plan>, stopping: &CancellationToken) -> Self {
        let world = |plan, number| Arc::new(World::new(plan, Mark(number), stopping.clone()));
        Self { first: world(first, 0), others: others.into_iter().zip(1..).map(|(plan, n)| world(plan, n)).collect() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<World>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The platform of this appid.
    pub(super) fn named(&self, component_appid: &str) -> Option<&Arc<World>> {
        self.all().find(|world| world.plan.component_appid == component_appid)
    }

    /// Whose call it is, and its body. A call that says nothing of the kind is the first platform's to refuse.
    pub(super) async fn called(&self, endpoint: Endpoint, query: &str, body: Body) -> (&Arc<World>, Body) {
        if self.others.is_empty() {
            return (&self.first, body);
        }
        if endpoint.wants() != Wants::Nothing {
            let token = answer::token(query, endpoint);
            let mark = token.as_deref().and_then(Mark::read).map_or(Mark::default(), |(mark, _)| mark);
            return (self.all().find(|world| world.mark == mark).unwrap_or(&self.first), body);
        }
        let bytes = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_else(|_| Bytes::new());
        let named = serde_json::from_slice::<Named>(&bytes).ok();
        let world = named.and_then(|named| self.named(&named.component_appid)).unwrap_or(&self.first);
        (world, Body::from(bytes))
    }
}
