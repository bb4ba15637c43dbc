-- Only words: the column counts one thing more. An older binary starts it anew. Half applied: apply again.

comment on column item.slowed is 'Times in a row that the item was put off without a try: WeChat said slow down, or the source of tokens was silent.';
