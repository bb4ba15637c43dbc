-- Which keys a live process has, so that `wxpatrol keys rotate` waits for processes that would not open what the new key
-- seals. Older programs leave both empty, and count as not having the new key. Half applied: apply again.

alter table process
  add column key_ids text[],
  add column sealing_key_id text;
comment on column process.key_ids is 'The ids of the keys that it opens sealed values with, the configured one first; null: it has none, or is older than this column.';
comment on column process.sealing_key_id is 'The id of the key that it seals with; null as key_ids.';
