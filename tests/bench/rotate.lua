-- For wrk: requests of many users in turn. Arguments: a file of Authorization values, one a line.
local values = {}
local turn = 0

function init(arguments)
    for line in io.lines(arguments[1]) do
        values[#values + 1] = wrk.format(nil, nil, { Authorization = line, Host = "localhost" })
    end
end

function request()
    turn = turn % #values + 1
    return values[turn]
end
