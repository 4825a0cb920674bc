"""radclient: a call from authorization to Stop, with PAP and CHAP words of its own, Status-Server, a wrong secret."""

from __future__ import annotations

from typing import Final

from world import CENT_A_SECOND, SECRET, Client, InteropError, World

NAME: Final = "radclient"
CALL: Final = {
    "User-Name": '"4915100000001"',
    "Calling-Station-Id": '"4915100000001"',
    "Called-Station-Id": f'"{CENT_A_SECOND}555"',
    "NAS-Identifier": '"gw1"',
}


def play(world: World) -> None:
    """What a switch says of one call; the balance falls by 0.61."""
    world.open_account(NAME, ["e164:4915100000001"], "5.00")
    accept = send(world, "auth", world.ports.authentication, CALL | {"User-Password": '"arctangent"'})
    wants(accept, "Received Access-Accept", "Session-Timeout = 500", "Message-Authenticator = 0x")
    wants(accept, 'h323-credit-time = "h323-credit-time=500"', 'h323-return-code = "h323-return-code=0"')
    world.check_money(NAME, "5.00", "5.00")
    call = CALL | {"Acct-Session-Id": '"r1"', "Proxy-State": "0x70726f7879"}
    for status, seconds in (("Start", ""), ("Interim-Update", "30"), ("Stop", "61")):
        use = {"Acct-Session-Time": seconds} if seconds else {}
        answer = send(world, "acct", world.ports.accounting, call | {"Acct-Status-Type": status} | use)
        wants(answer, "Received Accounting-Response", "Proxy-State = 0x70726f7879")
    world.check_money(NAME, "4.39")
    (record,) = world.check_records(NAME, 1)
    world.check("the number called in the record", record["destination"], f"{CENT_A_SECOND}555")
    for kind, port, answer in (
        ("status", world.ports.authentication, "Access-Accept"),
        ("status", world.ports.accounting, "Accounting-Response"),
    ):
        wants(send(world, kind, port, {"Message-Authenticator": "0x00"}), f"Received {answer}")
    chap = send(world, "auth", world.ports.authentication, CALL | {"CHAP-Password": '"arctangent"'})
    wants(chap, "Received Access-Accept", "Session-Timeout = 439")
    unknown = send(world, "auth", world.ports.authentication, CALL | {"User-Name": '"nobody"'}, fails=True)
    wants(unknown, "Received Access-Reject", 'h323-return-code = "h323-return-code=1"')
    silence = send(world, "acct", world.ports.accounting, call | {"Acct-Status-Type": "Start"}, "wrong", fails=True)
    if "Received" in silence:
        raise InteropError(f"a wrong secret was answered: {silence}")


def send(
    world: World, kind: str, port: int, attributes: dict[str, str], secret: str = SECRET, *, fails: bool = False
) -> str:
    """Send one packet; what radclient shows. With ``fails`` a refusal or silence is no error."""
    lines = "".join(f"{name} = {value}\n" for name, value in attributes.items())
    command = ["radclient", "-x", "-r", "1", "-t", "2", f"127.0.0.1:{port}", kind, secret]
    try:
        return world.run(command, lines)
    except InteropError as error:
        if fails:
            return str(error)
        raise


def wants(answer: str, *words: str) -> None:
    """Raises InteropError when one of the words is missing."""
    for each in words:
        if each not in answer:
            raise InteropError(f"radclient does not show {each!r}:\n{answer}")


CLIENT: Final = Client(NAME, ["radclient"], ["freeradius-utils"], play)
