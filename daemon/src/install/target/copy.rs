//! A target that is to be a copy of another file.

use super::{Target, owner_of};
use crate::install::atomic::Basis;
use crate::install::content::Content;
use crate::install::error::Failure;
use crate::install::original::Original;
use crate::install::place::Place;
use crate::install::{Action, Cause, Identity, Installed, TargetError};

/// How a target compares with what it is to be a copy of.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::install) enum Compared {
    /// It has the same bytes, and mode and owner as configured.
    Same(Identity),
    /// It has not, or there is none.
    Differs(Option<Identity>),
}

impl Target {
    /// Compares the file with `original`, without a look at the bytes if it still is the one that was `known` to be
    /// the same. What [`Target::replace`] would refuse is an error here.
    pub(in crate::install) fn compare(
        &self,
        original: &Original,
        known: Option<&Identity>,
    ) -> Result<Compared, TargetError> {
        let missing = self.options.create_directory.is_some();
        match self.try_compare(original, known) {
            Err(failure) if missing && failure.cause() == Cause::MissingDirectory => {
                Ok(Compared::Differs(None))
            }
            compared => compared.map_err(|failure| self.failed(Action::Check, failure)),
        }
    }

    fn try_compare(
        &self,
        original: &Original,
        known: Option<&Identity>,
    ) -> Result<Compared, Failure> {
        let place = Place::find(&self.path, &self.options)?;
        let Some((file, stat)) = place.open(true)? else {
            return Ok(Compared::Differs(None));
        };
        let identity = Identity::of(&stat);
        // A change of mode or owner is another identity as well.
        let same = known == Some(&identity)
            || (self.is_as_configured(stat.st_mode & 0o7777, owner_of(&stat))
                && original.is_in(&file)?);
        Ok(if same {
            Compared::Same(identity)
        } else {
            Compared::Differs(Some(identity))
        })
    }

    /// [`Target::replace_if`] by a copy of `original`.
    pub(in crate::install) fn copy_if(
        &self,
        seen: Option<&Identity>,
        original: &Original,
    ) -> Result<Installed, TargetError> {
        self.install(Basis::Seen(seen), Content::Copy(original))
    }
}
