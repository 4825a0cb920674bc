"""The limits that settings must keep, by name, and how they agree with one another.

What only one room needs is declared in that room; here stands what an operator may set, or what two rooms share.
"""

from __future__ import annotations

from typing import Final

from balance.money import AMOUNT_MAX

PARTITIONS_MAX: Final = 4096
CLUSTER_SLOTS: Final = 16_384  # Valkey Cluster; more partitions than slots would share them for nothing

MESSAGE_OCTETS_MIN: Final = 4096  # an IMS CCR with Service-Information takes 800 to 3000
MESSAGE_OCTETS_MAX: Final = 1 << 20
MESSAGE_LENGTH_MAX: Final = (1 << 24) - 1  # Message Length has 24 bits (RFC 6733, section 3)

WATCHDOG_S_MIN: Final = 6  # RFC 3539, section 3.4.1: Tw must not be lower
WATCHDOG_S_MAX: Final = 3600

IN_FLIGHT_MAX: Final = 65_536
CONNECTIONS_MAX: Final = 4096

VALIDITY_S_MIN: Final = 10
VALIDITY_S_MAX: Final = 7 * 86_400
SUPERVISION_FACTOR_MIN: Final = 2  # Tcc = 2 x Validity-Time (RFC 8506, section 13)
SUPERVISION_FACTOR_MAX: Final = 10

QUOTA_SECONDS_MAX: Final = 7 * 86_400
QUOTA_OCTETS_MAX: Final = 1 << 40
QUOTA_EVENTS_MAX: Final = 1_000_000

CLIENT_RETRY_S_MAX: Final = 600  # a client with a disk buffer sends again for minutes, not for hours
TOMBSTONE_S_MIN: Final = CLIENT_RETRY_S_MAX
TOMBSTONE_S_MAX: Final = 31 * 86_400

REPLY_CACHE_S_MIN: Final = 5  # RFC 5080, section 2.2.2: at least 5 to 30 seconds
REPLY_CACHE_S_MAX: Final = 300
RING_S_MAX: Final = 3600
SESSION_S_MAX: Final = 7 * 86_400
INTERIM_S_MIN: Final = 60  # RFC 2869, section 2.1

BATCH_MAX: Final = 100_000
SECRET_OCTETS_MIN: Final = 8
WORKERS_MAX: Final = 64

DRAIN_S: Final = 10.0  # the daemon's time to answer what is in flight
STOP_GRACE_S: Final = 30.0  # after that the supervisor ends it

assert PARTITIONS_MAX <= CLUSTER_SLOTS, "each partition is one hash tag, so one slot"
assert MESSAGE_OCTETS_MAX <= MESSAGE_LENGTH_MAX, "what we accept fits the header's length field"
assert SUPERVISION_FACTOR_MIN * VALIDITY_S_MIN > WATCHDOG_S_MIN, "a session outlives the detection of a dead peer"
assert TOMBSTONE_S_MIN >= CLIENT_RETRY_S_MAX, "a late repeat finds the answer that was given"
assert TOMBSTONE_S_MIN >= REPLY_CACHE_S_MAX, "records outlive packets"
assert QUOTA_SECONDS_MAX <= 2**32 - 1, "CC-Time is Unsigned32 (RFC 8506, section 8.21)"
assert QUOTA_OCTETS_MAX <= AMOUNT_MAX, "octets and money share the range of 63 bits"
assert STOP_GRACE_S > DRAIN_S, "nobody is ended while he drains"
