-- Count the send in the scopes of the guard.
if count_send then count_send(start) end
