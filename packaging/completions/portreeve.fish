# fish completion for portreeve: commands, their flags with what they mean, and files where a flag takes one.

set -l all serve auth check passwd cert health doctor
set -l settings serve auth check health
set -l gate serve check health

complete -c portreeve -f
complete -c portreeve -s h -l help -d 'display usage information'
complete -c portreeve -n "not __fish_seen_subcommand_from $all" -s V -l version -d 'print the version'
complete -c portreeve -n "not __fish_seen_subcommand_from $all" -a serve -d 'be the gate'
complete -c portreeve -n "not __fish_seen_subcommand_from $all" -a auth -d 'be only the auth service'
complete -c portreeve -n "not __fish_seen_subcommand_from $all" -a check -d 'report every fault, bind nothing'
complete -c portreeve -n "not __fish_seen_subcommand_from $all" -a passwd -d 'change a password file'
complete -c portreeve -n "not __fish_seen_subcommand_from $all" -a cert -d 'make a private CA and a server certificate'
complete -c portreeve -n "not __fish_seen_subcommand_from $all" -a health -d 'whether a running gate is well'
complete -c portreeve -n "not __fish_seen_subcommand_from $all" -a doctor -d 'play a client against a running gate, name what is wrong'

complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l config -r -F -d 'read settings from FILE too, one name value a line; a flag or a variable wins over it'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l listen -x -d 'where to accept clients: https://ADDR:PORT, http://ADDR:PORT on a loopback address, or unix:PATH'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l insecure-http -d 'allow http:// on any address, because something in front of it ends TLS'
complete -c portreeve -n "__fish_seen_subcommand_from $gate" -l backend -x -d 'where the registry is: http://HOST:PORT, https://HOST:PORT or unix:PATH; several are tried in order'
complete -c portreeve -n "__fish_seen_subcommand_from $gate" -l backend-ca -r -F -d 'PEM certificates that an https:// backend must chain to'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l htpasswd -r -F -d 'check passwords against this file, as Apache\'s htpasswd writes it'
complete -c portreeve -n "__fish_seen_subcommand_from $gate" -l auth-backend -x -d 'ask this HTTP API who may pass; exactly one of this and --htpasswd is needed'
complete -c portreeve -n "__fish_seen_subcommand_from $gate" -l auth-cache -x -d 'how long an answer of the API holds, for an API that says nothing and decides by credentials alone'
complete -c portreeve -n "__fish_seen_subcommand_from $gate" -l auth-timeout -x -d 'limit for one whole call of the API'
complete -c portreeve -n "__fish_seen_subcommand_from $gate" -l auth-ca -r -F -d 'PEM certificates that an https:// API must chain to'
complete -c portreeve -n "__fish_seen_subcommand_from $gate" -l auth-probe -x -a 'on off' -d 'ask the API about a made-up credential at start, and object if it is let in'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l realm -x -d 'the name that a client shows when it asks for a password'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l tls-cert -r -F -d 'PEM certificate chain; several are chosen by the name that the client asks for'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l tls-key -r -F -d 'PEM private key of the --tls-cert in the same position'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l tls-self-signed -x -a '(__fish_complete_directories)' -d 'instead of a certificate: make a private CA and a server certificate, and keep and renew them in DIR'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l tls-name -x -d 'a further name or address for the certificate of --tls-self-signed'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l trusted-proxy -x -d 'peers whose X-Forwarded-For, X-Real-IP, X-Forwarded-Proto and X-Forwarded-Host are believed'
complete -c portreeve -n "__fish_seen_subcommand_from $gate" -l backend-authorization -x -a 'drop user pass' -d 'what the backend sees of the credentials: nothing, the user without the password, or all of it'
complete -c portreeve -n "__fish_seen_subcommand_from $gate" -l paths -x -a 'strict as-sent' -d 'refuse paths that can be read in two ways wherever the path decides; as-sent: under /v2/ alone, for an API that copes'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l workers -x -d 'requests in flight at once'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l max-connections -x -d 'open client connections, idle ones included; less if the file limit is lower'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l max-connections-per-address -x -d 'open connections of one client address; 0 is no limit, trusted proxies have none'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l header-timeout -x -d 'for the TLS handshake and the head of a request, in total'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l idle-timeout -x -d 'for a connection without a request'
complete -c portreeve -n "__fish_seen_subcommand_from $gate" -l body-timeout -x -d 'for a body in which nothing moves, either way; its total time has no limit'
complete -c portreeve -n "__fish_seen_subcommand_from $gate" -l response-timeout -x -d 'for the backend to begin its answer'
complete -c portreeve -n "__fish_seen_subcommand_from $gate" -l connect-timeout -x -d 'for connecting to a backend'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l drain-timeout -x -d 'for requests in flight to end when the gate is told to stop'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l admin -x -d 'where to serve /healthz, /readyz, /metrics and a status page: http://127.0.0.1:PORT or unix:PATH'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l insecure-admin -d 'allow --admin on an address that is not loopback, and under any host name'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l health-path -x -d 'a path that the gate answers itself, without credentials: 200 while it is ready, else 503; for balancers and kubelet'
complete -c portreeve -n "__fish_seen_subcommand_from $settings" -l log -x -a 'text json' -d 'form of the access log, which goes to standard output'

complete -c portreeve -n "__fish_seen_subcommand_from passwd" -l stdin -d 'read the password from standard input, as one line'
complete -c portreeve -n "__fish_seen_subcommand_from passwd" -l cost -x -d 'what a check of the new password costs, 4 to 16'
complete -c portreeve -n "__fish_seen_subcommand_from passwd" -l delete -d 'remove the user'
complete -c portreeve -n "__fish_seen_subcommand_from passwd" -l list -d 'list the users'
complete -c portreeve -n "__fish_seen_subcommand_from passwd" -l verify -d 'say whether a password is the user\'s'
complete -c portreeve -n "__fish_seen_subcommand_from passwd" -F

complete -c portreeve -n "__fish_seen_subcommand_from cert" -a '(__fish_complete_directories)'

complete -c portreeve -n "__fish_seen_subcommand_from doctor" -l user -x -d 'whose password to try, and to push and pull as'
complete -c portreeve -n "__fish_seen_subcommand_from doctor" -l password-stdin -d 'read the password from standard input, as one line'
complete -c portreeve -n "__fish_seen_subcommand_from doctor" -l ca -r -F -d 'PEM certificates to trust instead of the system\'s'
complete -c portreeve -n "__fish_seen_subcommand_from doctor" -l repository -x -d 'where to push'
complete -c portreeve -n "__fish_seen_subcommand_from doctor" -l json -d 'one JSON object a step, for programs'
