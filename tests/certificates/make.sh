#!/bin/sh
# Makes the certificates of the TLS tests anew: an authority, ours, a peer's, and one of a stranger. Valid until 2126.
set -eu
cd "$(dirname "$0")"
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj "/CN=$1" \
        -keyout "$1.key" -out "$1.pem" 2>/dev/null
}
signed() { # name, authority, the host it names
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
    printf 'subjectAltName=DNS:%s\n' "$3" > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 36500 -extfile "$1.ext" \
        -out "$1.pem" 2>/dev/null
    rm "$1.csr" "$1.ext" "$2.srl"
}
authority authority
authority stranger
signed ocs authority ocs.example.net
signed client authority client.example.net
signed foreign stranger client.example.net
rm authority.key stranger.key
