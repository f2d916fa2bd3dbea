-- The node of the region may not have counted yet the guess that this wrong code was.
local moves = now - unpack_ms(failure, 1) < MOVES_MS and moves_of(op, 16) or ''
if moves ~= '' then return { operation, 'wrong', byte(failure, 7), 1, moves, apart } end
