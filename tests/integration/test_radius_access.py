"""Who is let in, over real sockets: digests and challenges, trunks by their address, lines that guess passwords."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from msgspec import structs

from protocols.radius.authenticators import hide_password
from protocols.radius.digest import stored_digests
from protocols.radius.packet import decode
from protocols.radius.words import named_attributes
from tests.integration.radius_standin import ALICE, Running, running
from tests.wire.radius_packets import COUNTING, access_request, attributes_of, dictionary, named, status_server

pytestmark = pytest.mark.integration

URI = "sip:+442012345@example.net"
CALL: dict[str, Any] = {"User-Name": "alice", "Called-Station-Id": "442012345", "NAS-Identifier": "gw1"}


def digest(nonce: str, password: str = "wonder", count: int = 1, **changed: Any) -> dict[str, Any]:
    """RFC 2617 with qop auth, computed by the book and not by our code."""

    def hashed(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode()).hexdigest()

    nc = f"{count:08x}"
    first, second = hashed("alice", "example.net", password), hashed("INVITE", URI)
    fields = {
        "Digest-Response": hashed(first, nonce, nc, "c1", "auth", second),
        "Digest-Realm": "example.net", "Digest-Nonce": nonce, "Digest-Method": "INVITE", "Digest-URI": URI,
        "Digest-Qop": "auth", "Digest-Algorithm": "MD5", "Digest-CNonce": "c1", "Digest-Nonce-Count": nc,
        "Digest-Username": "alice",
    }  # fmt: skip
    return fields | {name.replace("_", "-"): value for name, value in changed.items()}


class Asker:
    """Sends Access-Requests, each in a packet of its own."""

    def __init__(self, server: Running) -> None:
        self._server = server
        self._identifier = 0

    async def ask(self, values: dict[str, Any], *, sign: bool = True, expected: int = 1) -> tuple[int, dict[str, str]]:
        """The reply's code and its attributes in words; code 0 is silence, which is to be ``expected`` (0 replies)."""
        self._identifier += 1
        request = access_request(named(values), self._identifier, sign=sign)
        replies = await self._server.raw(request, 0, expected=expected)
        if not replies:
            return 0, {}
        packet = decode(replies[0])
        assert replies[0][20] == 80, "Message-Authenticator comes first [R-20]"
        return packet.code, {each.name: each.text.strip('"') for each in named_attributes(packet, dictionary())}


async def test_r81_a_digest_with_the_nonce_of_the_proxy() -> None:
    """SIP proxies challenge themselves: one request, one answer, with the proof that we know the password, too."""
    async with running() as server:
        asker = Asker(server)
        code, said = await asker.ask({**CALL, **digest("n1")})
        assert (code, said["Session-Timeout"]) == (2, "540")
        whole = digest("n1")
        first = hashlib.md5(b"alice:example.net:wonder").hexdigest()
        second = hashlib.md5(f":{URI}".encode()).hexdigest()
        proof = f"{first}:n1:{whole['Digest-Nonce-Count']}:c1:auth:{second}"
        assert said["Digest-Response-Auth"] == hashlib.md5(proof.encode()).hexdigest()
        code, said = await asker.ask({**CALL, **digest("n1", "guess", 2)})
        assert (code, said["h323-return-code"], "Digest-Response-Auth" in said) == (3, "h323-return-code=2", False)


async def test_r84_digests_stand_for_the_password() -> None:
    """A subscriber of whom H(A1) is kept: digests of that realm and PAP are checked by it, CHAP cannot be."""
    kept = stored_digests({"example.net": hashlib.md5(b"alice:example.net:wonder").hexdigest().upper()})
    async with running() as server:
        server.core.known = (*ALICE.identities, "sip:alice@example.net")
        server.core.subscriber = structs.replace(ALICE, password=kept, identities=server.core.known)
        asker = Asker(server)
        code, said = await asker.ask({**CALL, **digest("n1")})
        assert (code, "Digest-Response-Auth" in said) == (2, True)
        assert (await asker.ask({**CALL, **digest("n1", "guess", 2)}))[0] == 3
        assert (await asker.ask({**CALL, **digest("n1", count=3, **{"Digest-Realm": "other.net"})}))[0] == 3
        for name, word, expected in (
            ("alice", b"wonder", 2),
            ("alice@example.net", b"wonder", 2),
            ("alice", b"guess", 3),
            ("49151", b"wonder", 3),
        ):
            hidden = hide_password(word, COUNTING, b"s3cret")
            assert (await asker.ask({**CALL, "User-Name": name, "User-Password": f"0x{hidden.hex()}"}))[0] == expected
        chap = b"\x01" + hashlib.md5(b"\x01wonder" + COUNTING).digest()
        assert (await asker.ask({**CALL, "CHAP-Password": f"0x{chap.hex()}"}))[0] == 3


async def test_r83_the_number_to_rate_is_the_one_called_not_the_one_in_the_uri() -> None:
    """A proxy may have changed it after the phone made its digest."""
    async with running() as server:
        assert (await Asker(server).ask({**CALL, "Called-Station-Id": "4930123", **digest("n1")}))[0] == 2
        assert server.core.requests[0].destination == "4930123"


async def test_r23_a_digest_has_to_be_signed_whatever_the_settings() -> None:
    """RFC 5090, section 2.2; the draft's clients do not know how."""
    async with running(require_message_authenticator="no") as server:
        asker = Asker(server)
        assert await asker.ask({**CALL, **digest("n1")}, sign=False, expected=0) == (0, {})
        draft = "".join(
            f"{kind:02x}{len(text) + 2:02x}{text.encode().hex()}"
            for kind, text in ((10, "alice"), (1, "example.net"), (2, "n1"), (3, "INVITE"), (4, URI))
        )
        first = hashlib.md5(b"alice:example.net:wonder").hexdigest()
        second = hashlib.md5(f"INVITE:{URI}".encode()).hexdigest()
        response = hashlib.md5(f"{first}:n1:{second}".encode()).hexdigest()
        code, said = await asker.ask({**CALL, "Attr-206": response, "Attr-207": f"0x{draft}"}, sign=False)
        assert (code, said["Session-Timeout"]) == (2, "540")


async def test_r82_our_own_challenge_is_answered_once_and_not_heard_again() -> None:
    """Method and URI ask for it; the answer with our nonce is judged; a lower nonce-count is an eavesdropper's [R-49]."""
    async with running(realms=("example.net",), nonces="ours") as server:
        asker = Asker(server)
        wish = {"Digest-Method": "INVITE", "Digest-URI": URI}
        code, said = await asker.ask({**CALL, **wish})
        assert (code, said["Digest-Realm"], said["Digest-Qop"]) == (11, "example.net", "auth")
        nonce = said["Digest-Nonce"]
        state = {"State": said["State"]}
        assert (await asker.ask({**CALL, **state, **digest(nonce, count=2)}))[0] == 2
        assert (await asker.ask({**CALL, **state, **digest(nonce, count=2)}))[0] == 2
        assert (await asker.ask({**CALL, **state, **digest(nonce, count=1)}))[0] == 3
        assert server.counted("access", "digest_heard_before") == 1
        # A nonce of somebody else, or of yesterday, gets a fresh one; with State there is an end.
        code, said = await asker.ask({**CALL, **digest("n1")})
        assert (code, said["Digest-Stale"]) == (11, "true")
        assert (await asker.ask({**CALL, **state, **digest("n1")}))[0] == 3
        assert (await asker.ask({**CALL, **state, **wish}))[0] == 3


@pytest.mark.parametrize(
    ("changed", "result"),
    [
        ({"Digest_Realm": "elsewhere.net"}, "wrong_realm"),
        ({"Digest_Algorithm": "SHA-256"}, "unsupported_digest"),
        ({"Digest_CNonce": ""}, "incomplete_digest"),
        ({"SIP_AOR": "sip:bob@example.net"}, "wrong_aor"),
    ],
)
async def test_rfc_5090_what_is_refused(changed: dict[str, Any], result: str) -> None:
    """A realm that is not this client's, algorithms we do not have, what is left out, another one's address."""
    async with running(realms=("example.net",)) as server:
        values = {name: value for name, value in {**CALL, **digest("n1", **changed)}.items() if value}
        assert (await Asker(server).ask(values))[0] == 3
        assert server.counted("access", result) == 1


async def test_r13_a_trunk_may_be_known_by_its_address_alone() -> None:
    """Where the operator says so: neither user nor password; the fixed word that some switches send is not looked at."""
    async with running(credentials="none", account_from=("Packet-Src-IP-Address",)) as server:
        server.core.known = ("ip:127.0.0.1",)
        code, _ = await Asker(server).ask(
            {
                "User-Name": "cisco",
                "User-Password": "0x" + "00" * 16,
                **{k: v for k, v in CALL.items() if k != "User-Name"},
            }
        )
        assert code == 2
        assert server.core.requests[0].identities == ("ip:127.0.0.1", "name:127.0.0.1")


async def test_r48_a_line_that_guesses_has_to_wait() -> None:
    """Other lines go on; the right password does not help before the time is over."""
    async with running() as server:
        asker = Asker(server)
        line = {**CALL, "Calling-Station-Id": "49151"}
        for count in range(10):
            code, said = await asker.ask({**line, **digest("n1", f"guess {count}", count + 1)})
            assert said["h323-return-code"] == "h323-return-code=2"
        code, said = await asker.ask({**line, **digest("n1", count=99)})
        assert (code, said["h323-return-code"]) == (3, "h323-return-code=10")
        assert (await asker.ask({**CALL, "Calling-Station-Id": "49152", **digest("n1", count=100)}))[0] == 2
        assert set(ALICE.identities) & set(server.core.requests[0].identities)


async def test_r40_a_reject_says_what_can_be_played() -> None:
    """A return code for the gateway's announcements, a sentence for people, and nothing that would serve a call."""
    async with running() as server:
        code, said = await Asker(server).ask({**CALL, "User-Name": "nobody", **digest("n1")})
        del said["Message-Authenticator"]
        assert (code, said) == (3, {"h323-return-code": "h323-return-code=1", "Reply-Message": "account unknown"})


async def test_r101_status_server_can_be_switched_off_for_a_client() -> None:
    """Then there is silence."""
    async with running(status_server=False) as server:
        assert [await server.raw(status_server(), port, expected=0) for port in (0, 1)] == [[], []]


async def test_r5_proxy_state_comes_back_in_a_challenge() -> None:
    """Unchanged and in order, as in every reply."""
    async with running(realms=("example.net",), nonces="ours", limit_proxy_state=False) as server:
        body = named(CALL) + attributes_of({108: "INVITE", 109: URI, 33: [b"one", b"two"]})
        (reply,) = await server.raw(access_request(body), 0)
        assert decode(reply).attributes[33] == (b"one", b"two")


async def test_a_realm_that_is_no_text_is_answered_with_the_clients_name() -> None:
    """Found by fuzzing: octets that are no text are four times as long in words, and fit no attribute of the challenge."""
    async with running(nonces="ours") as server:
        body = named(CALL) + attributes_of({104: b"\xff" * 100, 108: "INVITE", 109: URI})
        (reply,) = await server.raw(access_request(body), 0)
        packet = decode(reply)
        assert packet.code == 11
        assert packet.attributes[104] == (b"example.net",), "the domain of what is called"
