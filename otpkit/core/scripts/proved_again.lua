-- The nodes may not have moved yet what this verification moves.
local moves = now - unpack_ms(proof, 1) < MOVES_MS and moves_of(op, 32) or ''
if moves ~= '' then
  return { operation, 'proved', unpack_ms(proof, 1), unpack_ms(proof, 7), byte(proof, 13), 1, moves, apart }
end
