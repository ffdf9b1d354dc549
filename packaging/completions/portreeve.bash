# shellcheck shell=bash disable=SC2207
# bash completion for portreeve: commands, their flags, and files where a flag takes one.

_portreeve() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local commands="serve auth check passwd cert health doctor may readonly"
    local everywhere="--help
        --config --listen --insecure-http --htpasswd --realm --guesses --guesses-exempt --tls-cert --tls-key
        --tls-self-signed --tls-name --acme --acme-dir --acme-directory --acme-email --acme-ca --acme-profile
        --proxy-protocol --trusted-proxy --max-requests --workers --max-connections --max-connections-per-address
        --header-timeout
        --idle-timeout --drain-timeout --admin --insecure-admin --health-path --log
        --sandbox"
    local serve="
        --backend --backend-ca --auth-backend --auth-cache --auth-timeout --auth-ca --auth-probe --access --token-key --external-url
        --site --sites --client-ca --client-auth --backend-authorization --paths --allow --preflight
        --body-timeout --response-timeout --connect-timeout"
    local passwd="--help --stdin --cost --delete --list --verify"
    local may="--help --access --group"
    local readonly="--help --admin --for --wait"
    local doctor="--help --user --password-stdin --ca --repository --json"

    # A flag and its value, joined by =, come in three words.
    [[ $word = "=" ]] && word=
    [[ $previous = "=" ]] && previous=${COMP_WORDS[COMP_CWORD - 2]}
    COMPREPLY=()
    case $previous in
    --config | --backend-ca | --htpasswd | --auth-ca | --tls-cert | --tls-key | --acme-ca | --ca | --access | --token-key | --site | --client-ca)
        compopt -o filenames
        COMPREPLY=($(compgen -f -- "$word"))
        return
        ;;
    --tls-self-signed | --acme-dir | --sites)
        compopt -o filenames
        COMPREPLY=($(compgen -d -- "$word"))
        return
        ;;
    --auth-probe) COMPREPLY=($(compgen -W "on off" -- "$word")) && return ;;
    --backend-authorization) COMPREPLY=($(compgen -W "drop user pass" -- "$word")) && return ;;
    --client-auth) COMPREPLY=($(compgen -W "optional required" -- "$word")) && return ;;
    --paths) COMPREPLY=($(compgen -W "strict as-sent" -- "$word")) && return ;;
    --sandbox) COMPREPLY=($(compgen -W "on off require" -- "$word")) && return ;;
    --log) COMPREPLY=($(compgen -W "text json" -- "$word")) && return ;;
    --insecure-http | --insecure-admin | --preflight) COMPREPLY=($(compgen -W "yes no $everywhere" -- "$word")) && return ;;
    esac
    case ${COMP_WORDS[1]} in
    "$word") COMPREPLY=($(compgen -W "$commands --help --version" -- "$word")) ;;
    serve | check | health) COMPREPLY=($(compgen -W "$everywhere $serve" -- "$word")) ;;
    auth) COMPREPLY=($(compgen -W "$everywhere" -- "$word")) ;;
    passwd)
        if [[ $word = -* ]]; then
            COMPREPLY=($(compgen -W "$passwd" -- "$word"))
        else
            compopt -o filenames
            COMPREPLY=($(compgen -f -- "$word"))
        fi
        ;;
    cert)
        if [[ $word = -* ]]; then
            COMPREPLY=($(compgen -W "--help" -- "$word"))
        elif ((COMP_CWORD == 2)); then
            compopt -o filenames
            COMPREPLY=($(compgen -d -- "$word"))
        fi
        ;;
    doctor) COMPREPLY=($(compgen -W "$doctor" -- "$word")) ;;
    may)
        if [[ $word = -* ]]; then
            COMPREPLY=($(compgen -W "$may" -- "$word"))
        else
            COMPREPLY=($(compgen -W "pull push create delete path" -- "$word"))
        fi
        ;;
    readonly)
        if [[ $word = -* ]]; then
            COMPREPLY=($(compgen -W "$readonly" -- "$word"))
        else
            COMPREPLY=($(compgen -c -- "$word"))
        fi
        ;;
    esac
}

complete -F _portreeve portreeve
