-- foreign_begin.sql: begins the transaction in which a configured query reads another system's tokens: it can not write.
begin read only
