//! Tokens of another system: asked for when needed, once more when refused, and never bought.

use std::collections::{HashMap, VecDeque};
use std::time::Instant as StdInstant;

use async_trait::async_trait;
use secrecy::ExposeSecret;
use serde_json::json;

use super::super::fixture::{APPID, Plenty, Script, World};
use super::super::{Answer, Reply, Request, Wire};
use super::external::{LEFT_ALONE, LEFT_ALONE_BRIEFLY, RESTARTS_WITHIN};
use super::*;
use crate::domain::Endpoint::{
    ApiAuthorizerToken, ApiComponentToken, ApiGetAuthorizerInfo, ApiGetAuthorizerList, CheckMobile,
};
use crate::domain::ports::{ForeignToken, Holder, SourceFault};

type Said = Result<Option<ForeignToken>, SourceFault>;

/// A source that answers by script, and otherwise with the same token for ever.
#[derive(Default)]
struct Source {
    next: Mutex<VecDeque<Said>>,
    asked: Mutex<Vec<Holder>>,
    knows_the_platform: bool,
}

fn token(text: &str, good_for_secs: Option<u64>) -> Said {
    let good_for = good_for_secs.map(Duration::from_secs);
    Ok(Some(ForeignToken { access_token: text.to_owned().into(), good_for }))
}

fn away() -> Said {
    Err(SourceFault("the external token source is away".to_owned()))
}

#[async_trait]
impl TokenSource for Source {
    async fn token(&self, component_appid: &str, holder: &Holder) -> Said {
        assert_eq!(component_appid, "wx9999999999999999");
        lock(&self.asked).push(holder.clone());
        lock(&self.next).pop_front().unwrap_or_else(|| token("fake-foreign", None))
    }

    fn knows_the_platform(&self) -> bool {
        self.knows_the_platform
    }
}

struct Foreign {
    script: Script,
    source: Arc<Source>,
    wire: Wire,
    platform: Platform,
}

impl Foreign {
    async fn new(knows_the_platform: bool) -> Self {
        let world = World::new().await;
        let source = Arc::new(Source { knows_the_platform, ..Source::default() });
        let tokens = Arc::clone(&source) as Arc<dyn TokenSource>;
        let wire = Wire::with_external_tokens(world.wire.wechat().clone(), tokens, Arc::new(Plenty), HashMap::new());
        let platform = Platform { secret: None, ..world.platform };
        Self { script: world.script, source, wire, platform }
    }

    fn says(&self, answers: impl IntoIterator<Item = Said>) {
        lock(&self.source.next).extend(answers);
    }

    fn asked(&self) -> usize {
        lock(&self.source.asked).len()
    }

    async fn ask(&self) -> Answer {
        let deadline = StdInstant::now() + Duration::from_secs(10);
        let request = Request::CheckMobile { push_tmpl: true };
        self.wire.call_with_token(&self.platform, APPID, None, &request, deadline).await
    }

    async fn fresh(&self, appid: &str) -> Result<StoredToken, CallError> {
        self.wire.tokens().fresh(&self.platform, appid, None).await
    }

    fn external(&self) -> &External {
        let Keeper::External(external) = &self.wire.tokens().0 else { panic!("the tokens are external") };
        external
    }

    fn pass(&self, secs: u64) {
        self.external().pass(Duration::from_secs(secs));
    }

    fn assert_nothing_was_bought(&self) {
        assert!(self.script.calls(ApiComponentToken).is_empty() && self.script.calls(ApiAuthorizerToken).is_empty());
    }
}

fn fault(error: Option<CallError>) -> TokenFault {
    match error {
        Some(CallError::NoToken(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_is_made_with_the_token_that_is_handed_out_and_asked_for_once_a_minute() {
    let world = Foreign::new(false).await;
    for _ in 0..3 {
        assert_eq!(world.ask().await.result, Ok(Reply::CheckMobile { has_mobile: true }));
    }
    let sent: Vec<_> = world.script.calls(CheckMobile).iter().map(|call| call.query["access_token"].clone()).collect();
    assert_eq!(sent, ["fake-foreign"; 3]);
    assert_eq!(*lock(&world.source.asked), [Holder::Merchant(APPID.to_owned())]);
    world.assert_nothing_was_bought();
}

#[tokio::test]
async fn a_token_is_remembered_for_a_minute_at_most_and_never_past_its_end() {
    let world = Foreign::new(false).await;
    world.says([token("fake-short", Some(5)), token("fake-long", Some(7200)), token("fake-next", None)]);
    for (wait_secs, text) in
        [(0, "fake-short"), (4, "fake-short"), (2, "fake-long"), (59, "fake-long"), (2, "fake-next")]
    {
        world.pass(wait_secs);
        assert_eq!(world.fresh(APPID).await.unwrap().access_token.expose_secret(), text);
    }
    assert_eq!(world.asked(), 3);
}

#[tokio::test]
async fn a_refused_token_is_asked_for_once_more_and_the_call_repeated_with_the_other() {
    for code in [40001, 42001, 40014] {
        let world = Foreign::new(false).await;
        world.says([token("fake-old", Some(7200)), token("fake-new", Some(7200))]);
        world.script.next(CheckMobile, json!({"errcode": code}));
        assert!(world.ask().await.result.is_ok());
        let sent: Vec<_> =
            world.script.calls(CheckMobile).iter().map(|call| call.query["access_token"].clone()).collect();
        assert_eq!(sent, ["fake-old", "fake-new"]);
        assert_eq!(world.asked(), 2);
        world.assert_nothing_was_bought();
    }
}

#[tokio::test]
async fn a_source_that_still_gives_the_refused_token_hands_out_a_dead_one() {
    let world = Foreign::new(false).await;
    world.script.next(CheckMobile, json!({"errcode": 40001}));
    let answer = world.ask().await;
    let TokenFault::Dead(sentence) = fault(answer.result.err()) else { panic!("not dead") };
    assert!(sentence.contains("hands out a dead token") && sentence.contains(APPID), "{sentence}");
    assert!(!sentence.contains("fake-foreign"), "{sentence}");
    assert_eq!((world.asked(), world.script.calls(CheckMobile).len()), (2, 1));
    world.assert_nothing_was_bought();
}

#[tokio::test]
async fn two_tokens_refused_in_a_row_are_dead_ones_and_there_is_no_third() {
    let world = Foreign::new(false).await;
    world.says([token("fake-old", None), token("fake-new", None), token("fake-newest", None)]);
    for _ in 0..2 {
        world.script.next(CheckMobile, json!({"errcode": 42001}));
    }
    let answer = world.ask().await;
    assert!(matches!(fault(answer.result.err()), TokenFault::Dead(_)));
    assert_eq!((world.asked(), world.script.calls(CheckMobile).len()), (2, 2));
}

#[tokio::test]
async fn a_token_that_is_over_by_its_keeper_s_own_word_or_unknown_is_not_tried() {
    let world = Foreign::new(false).await;
    world.says([token("fake-over", Some(0)), Ok(None)]);
    for words in ["says itself that its token is over", "knows no token"] {
        let TokenFault::NotHandedOut(sentence) = fault(world.ask().await.result.err()) else { panic!("handed out") };
        assert!(sentence.contains(words) && sentence.contains(APPID), "{sentence}");
    }
    assert!(world.script.calls(CheckMobile).is_empty());
}

#[tokio::test]
async fn a_source_that_fails_in_a_row_is_left_alone_for_moments_and_one_failure_hurts_one_merchant() {
    let world = Foreign::new(false).await;
    tokio::time::pause();
    world.says([away()]);
    assert!(matches!(fault(world.fresh("wx1").await.err()), TokenFault::SourceSilent(_)));
    assert!(world.fresh("wx2").await.is_ok(), "the next merchant is asked for");
    world.says((0..100).map(|_| away()));
    let appids: Vec<String> = (0..50).map(|n| format!("wxm{n}")).collect();
    let began = Instant::now();
    let answers = futures_util::future::join_all(appids.iter().map(|appid| world.fresh(appid))).await;
    // Eight are asked for; the others wait, of them eight are asked for again, and nobody waits twice.
    assert!((LEFT_ALONE_BRIEFLY..LEFT_ALONE).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(world.asked(), 2 + 2 * 8);
    let tried = answers.into_iter().map(|answer| fault(answer.err()));
    let tried =
        tried.filter(|fault| *fault == TokenFault::SourceSilent("the external token source is away".to_owned()));
    assert_eq!(tried.count(), 7, "in a longer row it is the source that failed");
    lock(&world.source.next).clear();
    for n in 0..20 {
        assert!(world.fresh(&format!("wxm{n}")).await.is_ok());
    }
}

#[tokio::test]
async fn nobody_waits_for_a_source_that_has_been_silent_for_longer_than_it_takes_to_restart() {
    let world = Foreign::new(false).await;
    tokio::time::pause();
    world.says((0..1_000).map(|_| away()));
    let began = Instant::now();
    let over = |error| matches!(fault(error), TokenFault::SourceResting { over: true, .. });
    while !over(world.fresh("wx1").await.err()) {}
    let silent = began.elapsed();
    assert!((RESTARTS_WITHIN..RESTARTS_WITHIN + 2 * LEFT_ALONE).contains(&silent), "{silent:?}");
    assert!(world.asked() < 500, "{} questions", world.asked());
    let began = Instant::now();
    for n in 0..50 {
        assert!(over(world.fresh(&format!("wxm{n}")).await.err()));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    world.pass(6);
    lock(&world.source.next).clear();
    assert!(world.fresh("wx1").await.is_ok());
    world.says([away()]);
    assert!(matches!(fault(world.fresh("wx2").await.err()), TokenFault::SourceSilent(_)), "a new row begins");
}

#[tokio::test]
async fn what_is_remembered_of_many_merchants_is_bounded() {
    let world = Foreign::new(false).await;
    for n in 0..5_000 {
        world.fresh(&format!("wx{n}")).await.unwrap();
    }
    assert!(world.external().remembered_count() <= 4096);
    // Who was just asked for is remembered still.
    let asked = world.asked();
    world.fresh("wx4999").await.unwrap();
    assert_eq!(world.asked(), asked);
}

#[tokio::test]
async fn the_platform_s_own_token_comes_from_the_same_source_or_not_at_all() {
    let world = Foreign::new(true).await;
    world.says([token("fake-component", None), token("fake-other", None)]);
    world.script.next(ApiGetAuthorizerList, json!({"errcode": 42001}));
    world.script.next(ApiGetAuthorizerList, json!({"total_count": 0}));
    assert!(world.wire.authorizer_list(&world.platform, 0, 500).await.is_ok());
    let calls = world.script.calls(ApiGetAuthorizerList);
    let sent: Vec<_> = calls.iter().map(|call| call.query["component_access_token"].as_str()).collect();
    assert_eq!(sent, ["fake-component", "fake-other"]);
    assert_eq!(*lock(&world.source.asked), [Holder::Component, Holder::Component]);
    world.says([token("fake-other", None)]);
    world.script.next(ApiGetAuthorizerInfo, json!({"errcode": 40001}));
    let error = world.wire.authorizer_info(&world.platform, APPID).await.err();
    assert!(matches!(fault(error), TokenFault::Dead(sentence) if sentence.contains("the platform itself")));

    let world = Foreign::new(false).await;
    let error = world.wire.authorizer_list(&world.platform, 0, 500).await.err();
    assert!(
        matches!(fault(error), TokenFault::NoPlatformToken(sentence) if sentence.contains("WXPATROL_COMPONENT_TOKEN_URL"))
    );
    assert_eq!(world.asked(), 0);
    assert!(world.wire.wechat().start_push_ticket(&world.platform).await.is_err());
    world.assert_nothing_was_bought();
}
