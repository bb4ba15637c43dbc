-- A token of the platform that is known to be dead is known to every process, not only to the one whose calls showed it. An
-- older binary finds out for itself, as before. Half applied: apply again.

alter table credential add column refused_version bigint;
comment on column credential.refused_version is 'The platform''s own row: the version of the token that calls about several merchants refused, with which nobody calls any more; null, or another than version: the stored one is not known to be dead.';
