"""The numbered statements of how a money-safe charging server behaves, as tables that a biller can check."""

from __future__ import annotations

import pytest

from tests.scenario.table import Table
from tests.scenario.world import World

SCENARIOS = {
    "29-31 a grant is covered, a report is debited, the rest is released [G-24]": """
        balance 1.00
        I s1 T1 ask             -> 30       | B 1.00 R 0.30 A 0.70
        U s1 used 30 ask        -> 30       | B 0.70 R 0.30 A 0.40
        T s1 used 12            -> ok       | B 0.58 R 0
    """,
    "11 a repeated CCR-I gets the stored answer [B-91]": """
        balance 1.00
        I s1 T1 ask             -> 30       | R 0.30
        I s1 ask #0             -> 30       | R 0.30
    """,
    "12 a repeated CCR-U is debited once [G-4]": """
        balance 1.00
        I s1 T1 ask             -> 30
        U s1 used 30 ask        -> 30       | B 0.70 R 0.30
        U s1 used 30 ask #1     -> 30       | B 0.70 R 0.30
    """,
    "14 a repeated CCR-T is answered and debits nothing [G-7] [B-93]": """
        balance 1.00
        I s1 T1 ask             -> 30
        T s1 used 12            -> ok       | B 0.88 R 0
        T s1 used 12 #1         -> ok       | B 0.88 R 0
    """,
    "15 after the retention time it is unknown [G-7]": """
        balance 1.00
        I s1 T1 ask             -> 30
        T s1 used 12            -> ok       | B 0.88
        T s1 #7                 -> SESSION_UNKNOWN   | B 0.88
    """,
    "18 a late report is added and opens no second grant [G-5]": """
        balance 1.00
        I s1 T1 ask             -> 30
        U s1 used 10 ask #1     -> 30       | B 0.90 R 0.30
        U s1 used 10 ask #3     -> 30       | B 0.80 R 0.30
        U s1 used 5 ask #2      -> ok       | B 0.75 R 0.30
    """,
    "19 a request after the termination changes no balance [G-6]": """
        balance 1.00
        I s1 T1 ask             -> 30
        T s1 used 10 #5         -> ok       | B 0.90 R 0
        U s1 used 10 ask #4     -> SESSION_UNKNOWN   | B 0.90 R 0
        U s1 used 10 ask #4     -> SESSION_UNKNOWN   | B 0.90 R 0
    """,
    "20-21 gaps and a first number of 1 are no fault [G-3]": """
        balance 1.00
        I s1 T1 ask #1          -> 30
        U s1 used 10 ask #5     -> 30       | B 0.90 R 0.30
    """,
    "22 the same number with other content is refused [G-4]": """
        balance 1.00
        I s1 T1 ask             -> 30
        U s1 used 10 ask #1     -> 30       | B 0.90
        U s1 used 20 ask #1     -> CONTRADICTION     | B 0.90 R 0.30
    """,
    "23 an update for a session never seen": """
        balance 1.00
        U s9 T1 used 10 ask #3  -> SESSION_UNKNOWN   | B 1.00 R 0
        U s9 used 10 ask #3     -> SESSION_UNKNOWN   | B 1.00 R 0
    """,
    "24 a new CCR-I under an open name closes the old session": """
        balance 1.00
        I s1 T1 ask             -> 30       | R 0.30
        I s1 ask 10 #0          -> 10       | B 1.00 R 0.10
    """,
    "33 less is granted when less is wanted": """
        balance 1.00
        I s1 T1 ask 10          -> 10       | R 0.10
    """,
    "32 no more than the quota": """
        balance 1.00
        I s1 T1 ask 3600        -> 30       | R 0.30
    """,
    "34 what does not pay the first increment gets nothing": """
        balance 0.20
        I s1 T2 ask             -> CREDIT_LIMIT_REACHED | B 0.20 R 0
    """,
    "36 started minutes are paid once": """
        balance 1.00
        I s1 T2 ask             -> 30       | B 1.00 R 0.30
        U s1 used 30 ask        -> 30       | B 0.70 R 0
        T s1 used 30            -> ok       | B 0.70 R 0
    """,
    "37 the fee and the first second must be affordable": """
        balance 0.10
        I s1 T3 ask             -> CREDIT_LIMIT_REACHED | R 0
        top-up 0.01
        I s1 ask #0             -> 1 final  | R 0.11 A 0
    """,
    "40-41 a free destination is allowed with a negative balance": """
        balance 0
        take 0.50
        I s1 free ask           -> 30       | B -0.50 R 0
        T s1 used 100           -> ok       | B -0.50
    """,
    "41 and for a suspended account": """
        balance 1.00
        suspend
        I s1 free ask           -> 30
        I s2 T1 ask             -> SERVICE_DENIED    | R 0
    """,
    "42-43 no tariff is told per group": """
        balance 1.00
        I s1 nowhere ask        -> RATING_FAILED     | R 0
    """,
    "a barred destination is refused": """
        balance 1.00
        I s1 barred ask         -> DESTINATION_BARRED | R 0
    """,
    "47 a report without a wish gets no grant [G-22] [G-56]": """
        balance 1.00
        I s1 T1 ask             -> 30
        U s1 used 30            -> ok       | B 0.70 R 0
    """,
    "49 a smaller grant is the final one (statement 35) [G-50]": """
        balance 0.15
        I s1 T1 ask             -> 15 final | R 0.15 A 0
    """,
    "52-53 use beyond the grant is debited and has to be paid first [G-25]": """
        balance 0.30
        I s1 T1 ask             -> 30 final | R 0.30
        U s1 used 37 ask        -> CREDIT_LIMIT_REACHED | B -0.07 R 0
        T s1 used 0             -> ok
        I s2 T1 ask             -> CREDIT_LIMIT_REACHED
        top-up 0.05
        I s3 T1 ask             -> CREDIT_LIMIT_REACHED | B -0.02
        top-up 0.10
        I s4 T1 ask             -> 8 final  | R 0.08
    """,
    "55 zero use costs nothing, not even the fee": """
        balance 1.00
        I s1 T3 ask             -> 30       | R 0.40
        T s1 used 0             -> ok       | B 1.00 R 0
    """,
    "56 zero used replaces the reservation": """
        balance 1.00
        I s1 T1 ask             -> 30       | R 0.30
        U s1 used 0 ask         -> 30       | B 1.00 R 0.30
    """,
    "57 the fee is charged once": """
        balance 1.00
        I s1 T3 ask             -> 30       | R 0.40
        U s1 used 0 ask         -> 30       | B 1.00 R 0.40
        U s1 used 5 ask         -> 30       | B 0.85 R 0.30
        T s1 used 5             -> ok       | B 0.80 R 0
    """,
    "58 started mebibytes are counted on the total": """
        balance 1.00
        I s1 D1 ask             -> 1048576  | R 0.05
        U s1 used 524288 ask    -> 1048576  | B 0.95
        U s1 used 524288 ask    -> 1048576  | B 0.95
        U s1 used 524288 ask    -> 1048576  | B 0.90
        T s1 used 524288        -> ok       | B 0.90 R 0
    """,
    "62 use of a group that had no grant is debited [G-93]": """
        balance 1.00
        I s1 D1                 -> ok       | R 0
        U s1 used 1048576       -> ok       | B 0.95 R 0
    """,
    "64 an absurd report is refused whole": """
        balance 1.00
        I s1 T1 ask             -> 30
        U s1 used 9223372036854775807 ask  -> INVALID_VALUE | B 1.00 R 0.30
    """,
    "66-68 parallel sessions share what is there, and only once (statements 3, 4, 72)": """
        balance 0.75
        I s1 T1 ask             -> 30       | R 0.30
        I s2 T1 ask             -> 30       | R 0.60
        I s3 T1 ask             -> 15 final | R 0.75 A 0
        I s4 T1 ask             -> CREDIT_LIMIT_REACHED | R 0.75
        U s1 used 30 ask        -> CREDIT_LIMIT_REACHED | B 0.45 R 0.45 A 0
        T s2 used 10            -> ok       | B 0.35 R 0.15 A 0.20
        U s1 ask                -> 20 final | B 0.35 R 0.35
    """,
    "79 a suspended account is debited and gets no more (statement 63) [G-2]": """
        balance 1.00
        I s1 T1 ask             -> 30
        suspend
        U s1 used 30 ask        -> SERVICE_DENIED | B 0.70 R 0
        T s1 used 3             -> ok       | B 0.67 R 0
    """,
    "95 the last message is paid once (statement 16) [G-80] [G-82]": """
        balance 0.08
        E m1 S1 ask 1           -> 1        | B 0 R 0
        E m2 S1 ask 1           -> CREDIT_LIMIT_REACHED | B 0
        E m1 ask 1 #0           -> 1        | B 0
    """,
    "96 no partial debit [G-80]": """
        balance 0.20
        E m1 S1 ask 3           -> CREDIT_LIMIT_REACHED | B 0.20
    """,
    "101 a failed delivery costs nothing": """
        balance 1.00
        I m1 S1 ask             -> 1        | R 0.08
        T m1 used 0             -> ok       | B 1.00 R 0
    """,
    "107 postpaid down to the limit": """
        balance 0 limit 20.00
        take 19.95
        I s1 T1 ask             -> 5 final  | B -19.95 R 0.05 A 0
        T s1 used 5             -> ok       | B -20.00 R 0
        I s2 T1 ask             -> CREDIT_LIMIT_REACHED
    """,
    "112-113 silence ends the session; a late report changes no balance": """
        balance 1.00
        I s1 T1 ask             -> 30       | R 0.30
        wait 599
        close silent sessions
        U s1 used 0 ask         -> 30       | R 0.30
        wait 300
        close silent sessions               | R 0.30
        wait 301
        close silent sessions               | B 1.00 R 0
        T s1 used 25            -> SESSION_UNKNOWN | B 1.00 R 0
        T s1 used 25 #2         -> SESSION_UNKNOWN | B 1.00 R 0
    """,
    "client-expectations 2.8 the CCR-T after a refused CCR-I is answered": """
        balance 0
        I s1 T1 ask             -> CREDIT_LIMIT_REACHED
        T s1 used 0             -> SESSION_UNKNOWN | B 0 R 0
    """,
    "client-expectations 2.7 the session outlives a refused update": """
        balance 0.30
        I s1 T1 ask             -> 30 final
        U s1 used 28 ask        -> 2 final   | B 0.02 R 0.02
        U s1 used 2 ask         -> CREDIT_LIMIT_REACHED | B 0
        T s1 used 1             -> ok        | B -0.01 R 0
    """,
}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_scenario(world: World, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards."""
    await Table(world).play(SCENARIOS[name])
