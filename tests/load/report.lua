-- What wrk has measured, in one line: answers a second, median and 99th percentile in milliseconds, failures.
done = function(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("figures %.1f %.2f %.2f %d\n", summary.requests * 1e6 / summary.duration,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
