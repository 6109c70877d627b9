"""What is probably wrong where no server was reached: gRPC tells what it met, not what to do about it."""

from typing import Final

_REFUSED: Final = "Connection refused"
# A server is on 127.0.0.1 alone by default: of localhost's two addresses gRPC tells what it met at one, by chance.
_LOCALHOST: Final = "ipv6:%5B::1%5D:"
_TELLS_MORE: Final = " If it is, 127.0.0.1 in the place of localhost gets a message that tells more"
# What ends a connection with bytes unread resets it, which overtakes the end and whatever was answered.
_RESET: Final = "Connection reset by peer"
_ENDED_PLAIN: Final = (
    "what listens there ended the connection; if it speaks TLS, begin the endpoint with https://, or give ca_cert"
)
_ENDED_TLS: Final = (
    "what listens there ended the connection; if it asks for a certificate, give client_cert and client_key"
)
# Part of what gRPC says of a failed connection, whether TLS was spoken (None: either way), and what that means.
_HINTS: Final[tuple[tuple[str, bool | None, str], ...]] = (
    (_REFUSED, None, "nothing listens there; is the server running (adamem serve), and on this port?"),
    ("No such file or directory", None, "there is no such socket; is the server running (adamem serve)?"),
    ("errors resolving", None, "the endpoint's host is not known"),
    ("DNS resolution failed", None, "the endpoint's host is not known"),
    ("Expected SETTINGS frame", None, "what listens there speaks no gRPC; is it the port of HTTP?"),
    (
        "WRONG_VERSION_NUMBER",
        True,
        "what listens there speaks no TLS; begin the endpoint with http://, without ca_cert",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        True,
        "the server's certificate is not trusted; ca_cert names the file that signs it",
    ),
    ("Hostname Verification", True, "the server's certificate is for another name than the endpoint's"),
    ("Socket closed", False, _ENDED_PLAIN),
    (_RESET, False, _ENDED_PLAIN),
    ("Socket closed", True, _ENDED_TLS),
    (_RESET, True, _ENDED_TLS),
)
_NOT_CONNECTED: Final = ("failed to connect", "errors resolving", "DNS resolution failed")


def connection_hint(details: str, *, tls: bool) -> str:
    """What to look at, for what gRPC says of a call that reached no server; "" where it cannot be told."""
    if details.startswith(_NOT_CONNECTED):
        for part, spoken, hint in _HINTS:
            if part in details and spoken in (None, tls):
                return hint + (_TELLS_MORE if part is _REFUSED and _LOCALHOST in details else "")
    return ""
