-- How much wrk has read, whole answers or not, in one line.
done = function(summary, latency, requests)
    io.write(string.format("gibibytes %.3f\n", summary.bytes / 1073741824))
end
