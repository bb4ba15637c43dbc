-- Suspects go in company that shrinks with what they lost; only the comments said otherwise. Half applied: apply again.

comment on column item.abandoned is 'Times in a row that a lease ended without a word: the process died, or was stopped. From two on the item is claimed with few others of its kind (64, then 8), at four alone, at five it is parked for a day. 0 after any record.';
comment on column wxpatrol.ages.suspects is 'Items that lost their process at least twice in a row: they are claimed in small groups, at last alone.';
