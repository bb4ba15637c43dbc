-- What WeChat was asked before an event came must not be kept over the event: an info, a page of the list, a refusal that the
-- merchant is not authorized. Half applied: the column stands and nobody reads it.

alter table merchant add column word_at timestamptz;
comment on column merchant.word_at is
  'When WeChat last said that it authorizes the platform or no more (an event, a refusal), by Postgres''s clock: answers to what was asked before count for nothing. Null: it was never said.';
