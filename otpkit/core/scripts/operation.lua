-- The operation that an answer is for, as a number: the first 6 bytes of its id. Each answer begins with it, and the caller
-- refuses another's.

local operation = unpack_ms(ARGV[2], 1)
