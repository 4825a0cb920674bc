"""Mail by SMTP."""

from __future__ import annotations

import hashlib
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Final

import aiosmtplib

from ocs.billing.moments import moment
from ocs.delivery.attempts import ARRIVED, Attempt, Outcome
from ocs.delivery.queue import Letter
from ocs.delivery.settings import Mail
from ocs.delivery.words import Said

FIRST_PERMANENT: Final = 500  # 4yz: try again; 5yz: do not (RFC 5321, section 4.2.1)
# What SMTP servers say of us rather than of the message: bad credentials can be repaired, and the mail is still good.
ABOUT_US: Final = {530, 534, 535, 538}


def is_address(text: str) -> bool:
    """Whether a text can be a mail address: one name, one domain, nothing around it."""
    name, at, domain = text.rpartition("@")
    try:
        return bool(at and name and domain and text.isprintable() and Address(addr_spec=text).domain)
    except (MessageError, ValueError, IndexError):
        return False


def message_of(mail: Mail, letter: Letter, said: Said, now_ms: int) -> EmailMessage:
    """The mail as it goes out; the same letter has the same Message-ID each time. Raises ValueError."""
    _, sender = parseaddr(mail.sender)
    message = EmailMessage(policy=SMTP)
    message["From"] = mail.sender
    message["To"] = letter.receiver
    message["Subject"] = said.subject
    message["Date"] = format_datetime(moment(now_ms))
    name = hashlib.blake2b(letter.message_id.encode(), digest_size=16).hexdigest()
    message["Message-ID"] = f"<{name}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: holiday notices do not answer it
    message.set_content(said.text)
    for each in letter.attachments:
        main, _, sub = each.media_type.partition("/")
        message.add_attachment(each.content, maintype=main, subtype=sub, filename=each.name)
    return message


async def send(mail: Mail, message: EmailMessage) -> Attempt:
    """Hand a mail to the server. ARRIVED means that the server has taken it over."""
    try:
        await aiosmtplib.send(
            message,
            hostname=mail.host,
            port=mail.port,
            username=mail.user or None,
            password=mail.password or None,
            use_tls=mail.security == "tls",
            start_tls=mail.security == "starttls",
            timeout=mail.timeout_s,
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        return _refused(error.recipients[0].code, error.recipients[0].message)
    except aiosmtplib.SMTPResponseException as error:
        return _refused(error.code, error.message)
    except (aiosmtplib.SMTPException, OSError) as error:
        return Attempt(Outcome.LATER, f"{type(error).__name__}: {error}")
    return ARRIVED


def _refused(code: int, text: str) -> Attempt:
    is_final = code >= FIRST_PERMANENT and code not in ABOUT_US
    return Attempt(Outcome.NEVER if is_final else Outcome.LATER, f"{code} {text}")
