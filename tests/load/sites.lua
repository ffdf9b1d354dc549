-- Asks a hundred users after another, each of one of SITES hosts; ends with one line: how many were answered, and failures.
local requests, at = {}, 0

init = function()
    local sites = tonumber(os.getenv("SITES"))
    for user = 1, 100 do
        requests[user] = wrk.format("GET", "/v2/", {
            ["Host"] = string.format("site%d.test", (user - 1) % sites + 1),
            ["Authorization"] = "Basic " .. LOGINS[user],
        })
    end
end

request = function()
    at = at % 100 + 1
    return requests[at]
end

done = function(summary)
    local errors = summary.errors
    io.write(string.format("figures %d %d\n", summary.requests,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
