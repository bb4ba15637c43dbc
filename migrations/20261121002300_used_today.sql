-- Words only: the count of a day is of slots, and those that no call was made with are given back. Half applied: apply again.

comment on column wxpatrol.limits.used_today is 'Calls on this day of platform time, with those that are being made; slots without a call are given back within moments (those of a killed process are not). null: none were counted.';
