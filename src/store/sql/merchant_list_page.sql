-- merchant_list_page.sql: the next merchants of the operator's own list, through the cursor that was declared over it.
fetch forward 1000 from merchant_list
