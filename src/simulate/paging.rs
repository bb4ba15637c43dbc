//! The authorizer list while it is read page by page: what changes between two pages, and whom it names twice or not at all.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::gauge::hold;
use super::refusal::WorldError;
use super::world::World;

/// What happens to a merchant when a page has been answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListChange {
    /// It takes its authorization back: everybody behind it moves up by one.
    Withdraw(String),
    /// It authorizes (again): everybody behind it moves down by one.
    Authorize(String),
}

/// What is scripted about the list.
#[derive(Default)]
pub(super) struct Paging {
    /// Named a second time, at the end.
    twice: BTreeSet<u32>,
    /// Their entries have no appid.
    nameless: BTreeSet<u32>,
    /// What happens after each of the next pages.
    after_pages: VecDeque<Vec<ListChange>>,
}

impl World {
    /// From now on the list names the merchant twice, at its place and at its end, and counts it twice.
    ///
    /// # Errors
    /// When the merchant is unknown.
    pub fn list_twice(&self, appid: &str, twice: bool) -> Result<(), WorldError> {
        let place = self.place(appid)?;
        switch(&mut hold(&self.paging).twice, place, twice);
        Ok(())
    }

    /// From now on the merchant's entry in the list has no appid.
    ///
    /// # Errors
    /// When the merchant is unknown.
    pub fn list_nameless(&self, appid: &str, nameless: bool) -> Result<(), WorldError> {
        let place = self.place(appid)?;
        switch(&mut hold(&self.paging).nameless, place, nameless);
        Ok(())
    }

    /// What happens after each of the next pages of the list, in their order; an empty entry lets one pass. Replaces what was
    /// scripted before.
    ///
    /// # Errors
    /// When a merchant is unknown.
    pub fn change_list_after_pages(&self, pages: Vec<Vec<ListChange>>) -> Result<(), WorldError> {
        for change in pages.iter().flatten() {
            let (ListChange::Withdraw(appid) | ListChange::Authorize(appid)) = change;
            self.place(appid)?;
        }
        hold(&self.paging).after_pages = pages.into();
        Ok(())
    }

    /// Who is named a second time at the end of the list.
    pub(super) fn listed_twice(&self) -> Vec<u32> {
        hold(&self.paging).twice.iter().copied().collect()
    }

    /// Whose entries have no appid.
    pub(super) fn listed_nameless(&self) -> BTreeSet<u32> {
        hold(&self.paging).nameless.clone()
    }

    /// A page was written.
    pub(super) fn page_answered(&self) {
        let changes = hold(&self.paging).after_pages.pop_front().unwrap_or_default();
        for change in changes {
            let changed = match &change {
                ListChange::Withdraw(appid) => self.withdraw(appid),
                ListChange::Authorize(appid) => self.authorize(appid),
            };
            changed.expect("its appid was looked up when it was scripted");
        }
    }
}

fn switch(places: &mut BTreeSet<u32>, place: u32, on: bool) {
    if on {
        places.insert(place);
    } else {
        places.remove(&place);
    }
}
