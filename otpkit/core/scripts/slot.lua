-- A scope that refuses lets one send through in this time.

local SLOT_MS = 600000
