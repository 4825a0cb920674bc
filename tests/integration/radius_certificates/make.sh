#!/bin/sh
# Certificates for the RadSec tests, valid from 2020 to 2120: an authority, the server, a client, a client whose
# certificate is void, and a stranger of another authority. The results are checked in.
set -eu
cd "$(dirname "$0")"
rm -f ./*.pem ./*.key
work=$(mktemp -d)
from=20200101000000Z
until=21200101000000Z
cat > "$work/ca.cnf" <<END
[ca]
default_ca = here
[here]
dir = $work
database = $work/index.txt
new_certs_dir = $work
serial = $work/serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE
END
: > "$work/index.txt"
echo 01 > "$work/serial"

key_and_request() { # file, name
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$1.key" -out "$work/$1.csr" 2>/dev/null
}
issue() { # file, more options of openssl ca
    name=$1
    shift
    openssl ca -batch -notext -config "$work/ca.cnf" -startdate $from -enddate $until -in "$work/$name.csr" \
        -out "$name.pem" "$@" 2>/dev/null
}
authority() { # file, name
    key_and_request "$1" "$2"
    issue "$1" -selfsign -keyfile "$1.key" -extensions authority
}
signed() { # file, DNS name, authority
    key_and_request "$1" "$2"
    printf 'subjectAltName=DNS:%s\n' "$2" > "$work/names"
    issue "$1" -keyfile "$3.key" -cert "$3.pem" -extfile "$work/names"
}

authority authority "RadSec test authority"
authority other "Another authority"
signed server localhost authority
signed client sbc.example.net authority
signed void sbc.example.net authority
signed stranger sbc.example.net other
openssl ca -config "$work/ca.cnf" -revoke void.pem -keyfile authority.key -cert authority.pem 2>/dev/null
openssl ca -config "$work/ca.cnf" -gencrl -crl_lastupdate $from -crl_nextupdate $until -keyfile authority.key \
    -cert authority.pem -out revocations.pem 2>/dev/null
rm -rf "$work" authority.key other.key other.pem
