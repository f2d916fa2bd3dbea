-- Return an answer that names the operation it is for, by the first 6 bytes of its id as a number: the caller refuses another's.

local function answer(...) return { unpack_ms(ARGV[2], 1), ... } end
