-- lua/msgraph/sim/fits.lua - whether a record is one of those asked for.

--- Whether the fields of a record equal those of a filter.
---@param record table
---@param filter? table
---@return boolean
return function(record, filter)
  for name, wanted in pairs(filter or {}) do
    if record[name] ~= wanted then return false end
  end
  return true
end
