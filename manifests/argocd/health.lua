-- How healthy a RatesEnvironment is, for Argo CD: `obj` is the object. Its Lua is 5.1 without libraries.
local health = {status = "Progressing", message = "the operator has not looked at it yet"}
if obj.metadata.deletionTimestamp ~= nil then
  health.message = "being deleted"
  return health
end
local status = obj.status
if status == nil or status.phase == nil then
  return health
end
if status.observedGeneration ~= obj.metadata.generation then
  health.message = "the operator has not looked at the last change yet"
  return health
end
-- Pending, Queued, Seeding and Progressing are on their way, also a rollout whose pods are not ready yet.
-- Nothing is wrong with one that sleeps: the next request wakes it.
local known = {Ready = "Healthy", Asleep = "Healthy", Degraded = "Degraded", Suspended = "Suspended"}
health.status = known[status.phase] or "Progressing"
health.message = status.message or status.phase
return health
