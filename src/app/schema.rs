//! `migrate`: the schema, which every start brings up to date, and the roles that may use it.

use super::{App, AppError};
use crate::{
    cli::Migrate,
    store::{
        migrate,
        roles::{self, Renewal},
    },
};

/// The SQL, for a review or for whoever has the rights that this login lacks.
pub(super) fn printed(flags: &Migrate) -> String {
    if flags.roles { roles::printed() } else { migrate::printed() }
}

impl App {
    /// The schema is up to date, as always when the app is open; now the runbook, the roles, and the word that says so.
    pub(super) async fn migrated(&self, flags: &Migrate) -> Result<(), AppError> {
        self.store.renew_runbook().await?;
        if flags.roles {
            self.store.make_roles().await?;
            tell!(
                "migrate: the schema is up to date; put logins into wxpatrol_worker or wxpatrol_reader with `grant \
                 wxpatrol_worker to LOGIN`"
            );
            return self.did([("up_to_date", true.into()), ("roles", true.into())]);
        }
        let renewal = self.store.renew_roles().await?;
        match renewal {
            Renewal::Unused | Renewal::NotAllowed => tell!("migrate: the schema is up to date"),
            Renewal::Done => tell!("migrate: the schema is up to date, and so are the rights of its roles"),
        }
        self.did([("up_to_date", true.into()), ("roles", (renewal == Renewal::Done).into())])
    }
}
