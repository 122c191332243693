-- lua5.4 test_health.lua, in this folder: what health.lua makes of objects as the operator leaves them.
local script = assert(io.open("health.lua")):read("a")

local function health_of(object)
  return assert(load(script, "health.lua", "t", {obj = object}))()
end

local function environment(phase, message)
  return {
    metadata = {name = "x", generation = 3},
    status = {phase = phase, message = message, observedGeneration = 3},
  }
end

local cases = {
  {"one that serves", environment("Ready", "everything is as specified"), "Healthy", "everything is as specified"},
  {"a rollout", environment("Progressing", "api: 1 of 3 pods are current, 3 of 4 available"), "Progressing",
    "api: 1 of 3 pods are current, 3 of 4 available"},
  {"a new one", environment("Pending", "database: x-postgres-0 is starting"), "Progressing",
    "database: x-postgres-0 is starting"},
  {"one that is seeded", environment("Seeding", "seed: loading"), "Progressing", "seed: loading"},
  {"one that fails", environment("Degraded", "api: cannot pull the image"), "Degraded", "api: cannot pull the image"},
  {"one that sleeps", environment("Asleep", "asleep; a request wakes it"), "Healthy", "asleep; a request wakes it"},
  {"one that waits for its turn", environment("Queued", "3rd of 5"), "Progressing", "3rd of 5"},
  {"one that is stopped", environment("Suspended", "no pods while suspended"), "Suspended", "no pods while suspended"},
  {"one without a status", {metadata = {generation = 1}}, "Progressing", "the operator has not looked at it yet"},
  {"one with an empty status", {metadata = {generation = 1}, status = {}}, "Progressing",
    "the operator has not looked at it yet"},
}

local deleted = environment("Degraded", "api: cannot pull the image")
deleted.metadata.deletionTimestamp = "2026-01-01T00:00:00Z"
table.insert(cases, {"one that is being deleted", deleted, "Progressing", "being deleted"})

local changed = environment("Ready", "everything is as specified")
changed.metadata.generation = 4
table.insert(cases, {"one that was changed just now", changed, "Progressing",
  "the operator has not looked at the last change yet"})

for _, case in ipairs(cases) do
  local name, object, status, message = table.unpack(case)
  local health = health_of(object)
  assert(health.status == status and health.message == message,
    name .. ": " .. health.status .. ": " .. health.message)
end
