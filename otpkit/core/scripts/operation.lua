-- Define the operation as a number: the first 6 bytes of its id. Each reply begins with it, and the caller refuses the
-- reply of another operation.

local operation = unpack_ms(ARGV[2], 1)
