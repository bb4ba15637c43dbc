-- schema_step_exists.sql: whether any migration of ours has ever run here.
select to_regclass('wxpatrol_data.schema_step') is not null
